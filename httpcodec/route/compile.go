package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kroxy-ev/config"
)

// Problem is something that is wrong with a route.
type Problem struct {
	Path   string // of the key, such as "http.routes[1].match.host[0]"
	What   string
	Remedy string
}

// Compile makes a Table of routes. If anything is wrong with them it returns no table but all problems that it found.
func Compile(routes []config.Route) (t *Table, problems []Problem) {
	c := compile(routes)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return c.table, nil
}

func compile(routes []config.Route) *compiler {
	c := &compiler{
		table: &Table{
			rules:  make([]rule, len(routes)),
			places: make([]place, 1),
			steps:  make(map[step]int32),
			routes: make(map[pair][]int32, len(routes)),
		},
		parsed:   make([]*patterns, len(routes)),
		programs: make(programs),
	}
	for i := range routes {
		c.parsed[i] = c.parse(&routes[i])
		c.enter(int32(i), c.parsed[i])
	}
	first := c.table.routes[pair{anyName, anyPath}]
	c.table.takesAll = len(first) > 0 && first[0] == 0 && len(c.table.rules[0]) == 0
	return c
}

type compiler struct {
	table      *Table
	parsed     []*patterns // one per route
	problems   []Problem
	normalizer Normalizer
	programs   programs

	names, paths int32 // the last ids assigned to patterns
}

// patterns is what a route demands, in the forms in which things are compared. Empty fields demand nothing.
type patterns struct {
	hosts, snis []string

	exact, prefixes []string
	regexes         regexes
	directories     []string // one per regex

	quick, slow []condition // everything else
}

// parse converts a route's match to the forms in which things are compared.
func (c *compiler) parse(route *config.Route) *patterns {
	p, m := new(patterns), route.Match
	if m == nil {
		return p
	}
	p.hosts = c.namePatterns(route, "host", m.Host)
	p.snis = c.namePatterns(route, "sni", m.SNI)
	p.exact = c.pathPatterns(route, "path", m.Path)
	p.prefixes = c.pathPatterns(route, "path_prefix", m.PathPrefix)
	for i, s := range m.PathRegex {
		re, err := c.programs.path(s)
		if err != nil {
			c.failRegex(route, keyOf("path_regex", m.PathRegex, i), s, err)
			continue
		}
		p.regexes, p.directories = append(p.regexes, re), append(p.directories, re.directory)
	}
	if len(m.Method) > 0 {
		p.quick = append(p.quick, methods(m.Method))
	}
	var http, https bool
	for i, s := range m.Scheme {
		switch strings.ToLower(s) {
		case "http":
			http = true
		case "https":
			https = true
		default:
			c.fail(route, keyOf("scheme", m.Scheme, i), fmt.Sprintf("unknown scheme %q", s), `use "http" or "https"`)
		}
	}
	if http != https {
		p.quick = append(p.quick, tls(https))
	}
	if len(m.ListenPort) > 0 {
		p.quick = append(p.quick, ports(m.ListenPort))
	}
	if len(m.Client) > 0 {
		p.quick = append(p.quick, networks(m.Client))
	}
	for i := range m.Header {
		v := c.value(route, "header", &m.Header[i])
		v.name = strings.ToLower(v.name)
		p.slow = append(p.slow, &headerField{v})
	}
	for i := range m.Cookie {
		p.slow = append(p.slow, &cookie{c.value(route, "cookie", &m.Cookie[i])})
	}
	for i := range m.Query {
		p.slow = append(p.slow, &argument{c.value(route, "query", &m.Query[i])})
	}
	return p
}

// keyOf returns the key of the i-th text. A single text may stand without an array.
func keyOf(key string, texts []string, i int) string {
	if len(texts) == 1 {
		return key
	}
	return fmt.Sprintf("%s[%d]", key, i)
}

func (c *compiler) fail(route *config.Route, key, what, remedy string) {
	c.problems = append(c.problems, Problem{route.Path + ".match." + key, what, remedy})
}

func (c *compiler) namePatterns(route *config.Route, key string, texts []string) (patterns []string) {
	for i, text := range texts {
		pattern, what := namePattern(text)
		if what != "" {
			c.fail(route, keyOf(key, texts, i), fmt.Sprintf("%q matches no name: %s", text, what),
				`write a name such as "www.example", or "*.example" for all names below it; a port is matched with "listen_port"`)
			continue
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}

func (c *compiler) pathPatterns(route *config.Route, key string, texts []string) (patterns []string) {
	for i, text := range texts {
		normal, err := c.normalizer.Path([]byte(text))
		what, remedy := "", ""
		switch {
		case !strings.HasPrefix(text, "/"):
			what, remedy = "a path must begin with a slash", fmt.Sprintf("write %q", "/"+text)
		case strings.ContainsAny(text, "?#"):
			what, remedy = "a path must not contain a query or a fragment", `match the query with "query"; a "?" within a path is written "%3F", and a "#" is "%23"`
		case errors.Is(err, ErrEscape):
			what, remedy = "a percent sign must be followed by two hexadecimal digits", `write "%25" for the sign itself`
		case err != nil:
			what, remedy = "a request with this path is refused before routing", "write the path without dot segments"
		default:
			patterns = append(patterns, string(normal))
			continue
		}
		c.fail(route, keyOf(key, texts, i), fmt.Sprintf("%q: %s", text, what), remedy)
	}
	return patterns
}

func (c *compiler) failRegex(route *config.Route, key, s string, err error) {
	c.fail(route, key, fmt.Sprintf("the regular expression %q does not compile: %s", s, strings.TrimPrefix(err.Error(), "error parsing regexp: ")),
		"write it in the syntax of RE2 (https://github.com/google/re2/wiki/Syntax)")
}

func (c *compiler) value(route *config.Route, key string, m *config.FieldMatch) value {
	v := value{name: m.Name, texts: m.Values, absent: m.Present != nil && !*m.Present}
	if m.Regex != "" {
		var err error
		if v.pattern, err = c.programs.value(m.Regex); err != nil {
			c.failRegex(route, key+"."+m.Name+".regex", m.Regex, err)
		}
	}
	return v
}

// enter enters a route into the table's index, and makes a rule of the conditions that the index does not check.
func (c *compiler) enter(i int32, p *patterns) {
	t := c.table
	t.asksHost = t.asksHost || len(p.hosts) > 0
	t.asksSNI = t.asksSNI || len(p.snis) > 0

	names, paths := []int32{anyName}, []int32{anyPath}
	var left patterns // the conditions that the index does not check
	switch {
	case len(p.hosts) > 0:
		names, left.snis = c.nameIDs(&t.hosts, p.hosts), p.snis
	case len(p.snis) > 0:
		names = c.nameIDs(&t.snis, p.snis)
	}
	switch {
	case len(p.exact) > 0:
		paths, left.prefixes = c.pathIDs(p.exact, true), p.prefixes
	case len(p.prefixes) > 0:
		paths = c.pathIDs(p.prefixes, false)
	case len(p.directories) > 0:
		paths = c.pathIDs(p.directories, false)
	}

	// A route's memory may grow with the sum of its patterns, not with their product.
	if n, m := len(names), len(paths); n*m > 64+4*(n+m) {
		if n < m {
			names, left.hosts, left.snis = []int32{anyName}, p.hosts, p.snis
		} else {
			paths, left.exact, left.prefixes = []int32{anyPath}, p.exact, p.prefixes
		}
	}

	rule := p.quick
	if len(left.hosts) > 0 {
		rule = append(rule, hostNames(left.hosts))
	}
	if len(left.snis) > 0 {
		rule = append(rule, sniNames(left.snis))
	}
	if len(left.exact) > 0 {
		rule = append(rule, exactPaths(left.exact))
	}
	if len(left.prefixes) > 0 {
		rule = append(rule, prefixes(left.prefixes))
	}
	rule = append(rule, p.slow...)
	if len(p.regexes) > 0 {
		rule = append(rule, p.regexes)
	}
	t.rules[i] = slices.Clip(rule)

	for _, name := range names {
		for _, path := range paths {
			c.enterPair(i, pair{name, path})
		}
	}
}

// enterPair enters a route under a pair, unless it is already there, or an earlier route takes everything with that pair.
func (c *compiler) enterPair(i int32, at pair) {
	list := c.table.routes[at]
	if n := len(list); n > 0 && (list[n-1] == i || len(c.table.rules[list[n-1]]) == 0) {
		return
	}
	c.table.routes[at] = append(list, i)
}

// nameIDs returns the ids of patterns. New patterns get new ids.
func (c *compiler) nameIDs(in *names, patterns []string) []int32 {
	ids := make([]int32, 0, len(patterns))
	for _, pattern := range patterns {
		id := in.add(pattern, c.names+1)
		c.names = max(c.names, id)
		ids = append(ids, id)
	}
	return ids
}

// pathIDs does the same for paths: exact ones or prefixes. "" matches any path.
func (c *compiler) pathIDs(patterns []string, exact bool) []int32 {
	ids := make([]int32, 0, len(patterns))
	for _, pattern := range patterns {
		if pattern == "" {
			ids = append(ids, anyPath)
			continue
		}
		id := c.pathID(pattern, exact)
		if *id == anyPath {
			c.paths++
			*id = c.paths
		}
		ids = append(ids, *id)
	}
	return ids
}

// pathID returns the location of a pattern's id.
func (c *compiler) pathID(pattern string, exact bool) *int32 {
	if exact {
		return &c.place(pattern).exact
	}
	if directory, ok := strings.CutSuffix(pattern, "/"); ok {
		return &c.place(directory).below
	}
	return &c.place(pattern).prefix
}

// place returns the place of a path, and creates it if needed. "" is the root. The pointer is valid until the next call.
func (c *compiler) place(path string) *place {
	t, at := c.table, int32(0)
	for path != "" {
		end := 1
		for end < len(path) && path[end] != '/' {
			end++
		}
		by := step{at, path[1:end]}
		to, known := t.steps[by]
		if !known {
			to = int32(len(t.places))
			t.places = append(t.places, place{})
			t.steps[by] = to
		}
		at, path = to, path[end:]
	}
	return &t.places[at]
}
