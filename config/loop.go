package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// destination is where a redirect leads, as far as its template does not depend on
// the request.
type destination struct {
	scheme   string // "" for that of the request
	host     string // "" for that of the request
	port     uint16 // 0 for that of the request
	path     string // "" for that of the request, with the query
	usual    bool   // the port is the default of the scheme
	relative bool   // scheme, host and port are those of the request
}

// parseDestination parses a redirect's template; ok is false if the destination
// depends on more of the request than its scheme, its host, and its
// whole target.
func parseDestination(to string) (d destination, ok bool) {
	const target = "$request_uri"
	rest := to
	if scheme, after, absolute := strings.Cut(to, "://"); absolute {
		if scheme != "$scheme" {
			d.scheme = strings.ToLower(scheme)
		}
		i := strings.IndexAny(after, "/?#")
		if j := strings.Index(after, target); i < 0 || j >= 0 && j < i {
			i = j
		}
		host := after
		rest = "/"
		if i >= 0 {
			host, rest = after[:i], after[i:]
		}
		d.usual = true
		if name, port := splitAddress(host); port != "" {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return d, false
			}
			host, d.port, d.usual = name, uint16(n), false
		}
		if host != "$host" {
			if strings.Contains(host, "$") {
				return d, false
			}
			d.host = strings.ToLower(strings.TrimSuffix(host, "."))
		}
	} else {
		d.relative = true
	}
	if rest == target {
		return d, true
	}
	d.path, _, _ = strings.Cut(rest, "#")
	d.path, _, _ = strings.Cut(d.path, "?")
	return d, strings.HasPrefix(d.path, "/") && !strings.HasPrefix(d.path, "//") && !strings.ContainsAny(rest, "$\r\n")
}

// leadsToItself reports whether s's route with that index can redirect a request to
// a place where the same route redirects it again, forever.
func (s *Server) leadsToItself(number int, paths *pathIndex) bool {
	r := &s.Routes[number]
	d, ok := parseDestination(r.Redirect.To)
	if !ok || !s.arrives(d, r.Match) {
		return false
	}
	m := r.Match
	if m != nil {
		switch {
		case d.host != "" && m.Host != nil && !slices.ContainsFunc(m.Host, func(p string) bool { return matchesName(p, d.host) }):
			return false
		case d.path != "" && (!paths.takes(m, d.path) || m.Query != nil):
			return false
		case r.Redirect.Status < 307 && m.Method != nil && !slices.Contains(m.Method, "GET"):
			return false // such a client comes back with GET
		}
	}
	if d.path == "" {
		return true // the target is unchanged
	}
	return !paths.anyTakes(d.path, number) // otherwise an earlier route may take it
}

// arrives reports whether a request redirected to d comes to s, and may match m.
func (s *Server) arrives(d destination, m *Match) bool {
	for _, l := range s.Listen {
		scheme, usual := "http", uint16(80)
		if l.TLS {
			scheme, usual = "https", 443
		}
		if d.relative {
			usual = l.Port
		} else if !d.usual {
			usual = d.port
		}
		switch {
		case d.scheme != "" && d.scheme != scheme, l.Port != usual:
		case m != nil && m.Scheme != nil && !slices.Contains(m.Scheme, scheme):
		case m != nil && m.ListenPort != nil && !slices.Contains(m.ListenPort, l.Port):
		default:
			return true
		}
	}
	return false
}

// matchesName reports whether a name matches a pattern.
func matchesName(pattern, name string) bool {
	if below, wild := strings.CutPrefix(pattern, "*"); wild {
		return strings.HasSuffix(name, below) && len(name) > len(below)
	}
	return pattern == name
}

// pathIndex finds those of a server's routes that match a path.
type pathIndex struct {
	routes          []Route
	exact, prefixes map[string][]int // routes by exact path and by prefix, ascending
	others          []int            // routes with neither
	regexes         map[string]*regexp.Regexp
}

func newPathIndex(routes []Route) *pathIndex {
	x := &pathIndex{routes: routes, exact: make(map[string][]int), prefixes: make(map[string][]int), regexes: make(map[string]*regexp.Regexp)}
	for i := range routes {
		switch m := routes[i].Match; {
		case m != nil && m.Path != nil:
			for _, p := range m.Path {
				x.exact[p] = append(x.exact[p], i)
			}
		case m != nil && m.PathPrefix != nil:
			for _, p := range m.PathPrefix {
				x.prefixes[p] = append(x.prefixes[p], i)
			}
		default:
			x.others = append(x.others, i)
		}
	}
	return x
}

// anyTakes reports whether a route before the one with that index matches a path.
func (x *pathIndex) anyTakes(path string, number int) bool {
	among := func(list []int) bool {
		for _, i := range list {
			if i >= number {
				break
			}
			if m := x.routes[i].Match; m == nil || x.takes(m, path) {
				return true
			}
		}
		return false
	}
	if among(x.exact[path]) || among(x.prefixes[path]) || among(x.others) {
		return true
	}
	for i := range path {
		if path[i] == '/' && (among(x.prefixes[path[:i]]) || among(x.prefixes[path[:i+1]])) {
			return true
		}
	}
	return false
}

// takes reports whether a path satisfies all conditions of m on paths.
func (x *pathIndex) takes(m *Match, path string) bool {
	prefix := func(p string) bool {
		rest, ok := strings.CutPrefix(path, p)
		return ok && rest != "" && (strings.HasSuffix(p, "/") || rest[0] == '/') || path == p && !strings.HasSuffix(p, "/") || p == "/"
	}
	regex := func(e string) bool {
		re, known := x.regexes[e]
		if !known {
			re, _ = regexp.Compile("^(?:" + e + ")$") // invalid expressions are reported elsewhere
			x.regexes[e] = re
		}
		return re != nil && re.MatchString(path)
	}
	return (m.Path == nil || slices.Contains(m.Path, path)) &&
		(m.PathPrefix == nil || slices.ContainsFunc(m.PathPrefix, prefix)) &&
		(m.PathRegex == nil || slices.ContainsFunc(m.PathRegex, regex))
}

// checkRedirects reports redirects of s that lead to themselves, or to each other.
func (o object) checkRedirects(c *Config, s *Server) {
	var paths *pathIndex
	var g *ring
	for i := range s.Routes {
		r := &s.Routes[i]
		if r.Redirect != nil && paths == nil {
			paths = newPathIndex(s.Routes)
			g = &ring{server: s, paths: paths, budget: ringBudget}
		}
		if r.Redirect == nil {
			continue
		}
		path := keyPath(keyPath(r.Path, "redirect"), "to")
		if s.leadsToItself(i, paths) && !g.passes(i) {
			o.failAt(c.root.locate(path), path, quote(r.Redirect.To)+" leads to this same route again, forever",
				`write another destination, or a "match" that leaves out what it leads to, such as "scheme": "http"`)
		} else if chain := g.from(i); chain != nil {
			var others []string
			for _, number := range chain[1:] {
				others = append(others, s.Routes[number].Path)
			}
			o.warn(c.root.locate(path), path, quote(r.Redirect.To)+" leads to "+strings.Join(others, ", then to ")+", and from there back to this route, forever",
				"write another destination for one of them")
		}
	}
}
