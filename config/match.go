package config

import (
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Match is the conditions of a route. All conditions that are set must hold; each
// holds if any of its values matches.
type Match struct {
	Host       []string // names in lower case, without port and trailing dot; "*.a.example" matches any name below a.example
	Path       []string // whole paths
	PathPrefix []string // matched by whole segments; with a trailing '/' only what is below
	PathRegex  []string // RE2, for the whole path
	Method     []string
	SNI        []string // like Host
	Header     []FieldMatch
	Query      []FieldMatch
	Cookie     []FieldMatch
	Client     []netip.Prefix
	Scheme     []string // "http" or "https"
	ListenPort []uint16
}

// FieldMatch is a match of one field by name; exactly one of Values, Present and
// Regex is set.
type FieldMatch struct {
	Name    string
	Values  []string
	Present *bool  // whether the field must or must not be present
	Regex   string // RE2, for the whole value
}

// match decodes "match" of a route; nil matches everything.
func (o object) match() *Match {
	n, path := o.child("match")
	if n == nil {
		return nil
	}
	in, ok := o.object(n, path, ofMatch, `an object: { "path_prefix": "/api" }`)
	if !ok {
		return nil
	}
	in.unknown()
	if len(n.members) == 0 {
		return nil
	}
	m := &Match{Client: in.clients(), SNI: in.hostPatterns("sni"), ListenPort: in.ports()}
	if in.modes&inHTTP == 0 {
		return m
	}
	m.Host = in.hostPatterns("host")
	m.Path, m.PathPrefix = in.paths("path"), in.paths("path_prefix")
	m.PathRegex = in.each("path_regex", `"/users/[0-9]+"`, func(n *node, path, s string) string {
		if in.checkRegex(n, path, s) && !takesPaths(s) {
			in.warn(n.pos, path, "it matches no path: every path begins with a slash, and the expression must match the whole path", "write "+quote(anywhere(s)))
		}
		return s
	})
	m.Method = in.each("method", `"GET"`, in.method)
	m.Scheme = in.each("scheme", `"http" or "https"`, func(n *node, path, s string) string {
		if s != "http" && s != "https" {
			in.fail(n, path, "unknown scheme "+quote(s), `write "http" or "https"`)
		}
		return s
	})
	m.Header, m.Query, m.Cookie = in.fields("header"), in.fields("query"), in.fields("cookie")
	return m
}

// each decodes a string or an array of strings; one converts each of them.
func (o object) each(key, example string, one func(n *node, path, s string) string) (list []string) {
	n, path := o.child(key)
	if n == nil {
		return nil
	}
	o.texts(n, path, example, func(n *node, path, s string) { list = append(list, one(n, path, s)) })
	return list
}

func (o object) hostPatterns(key string) []string {
	const example = `a name such as "a.example", or "*.a.example" for all names below it`
	return o.each(key, example, func(n *node, path, s string) string {
		pattern, what := hostPattern(s)
		if what != "" {
			o.fail(n, path, quote(s)+" "+what, "write "+example)
		}
		return pattern
	})
}

// hostPattern returns the canonical form of a name, or of "*." and a name, or what
// is wrong with it.
func hostPattern(s string) (pattern, what string) {
	name, wild := strings.CutPrefix(s, "*.")
	switch {
	case s == "":
		return "", "is not a name"
	case s == "*":
		return "", `means every name: leave the key out for that`
	case strings.Contains(name, "*"):
		return "", `has a "*" that is not before the first dot`
	}
	if !wild && strings.HasPrefix(name, "[") {
		if i := strings.IndexByte(name, ']'); i > 0 {
			name = name[:i+1]
		}
	} else if host, port := splitAddress(name); port != "" && strings.Count(name, ":") == 1 {
		name = host
	}
	name, what, _ = hostName(name)
	if what != "" {
		_, what, _ = strings.Cut(what, `" `)
		return "", what
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if addr, err := netip.ParseAddr(name); err == nil && wild {
		return "", "has an address after the " + quote("*.") + ": " + addr.String()
	}
	if wild {
		name = "*." + name
	}
	return name, ""
}

func (o object) paths(key string) []string {
	return o.each(key, `a path such as "/api"`, func(n *node, path, s string) string {
		switch {
		case !strings.HasPrefix(s, "/"):
			o.fail(n, path, quote(s)+" does not begin with a slash, as every path does", "write "+quote("/"+s))
		case strings.ContainsAny(s, "?#"):
			o.fail(n, path, quote(s)+" has more than a path in it", `write the path alone; "query" is for what follows the question mark`)
		case strings.HasSuffix(s, "/*"):
			o.warn(n.pos, path, quote(s)+` does not match the paths below it: here "*" is an ordinary character`, `write "path_prefix": `+quote(s[:len(s)-1]))
		case strings.HasSuffix(s, "*"):
			o.warn(n.pos, path, quote(s)+` does not match all paths with that prefix: here "*" is an ordinary character`, `write "path_regex": `+quote(regexp.QuoteMeta(s[:len(s)-1])+".*"))
		}
		return s
	})
}

func (o object) method(n *node, path, s string) string {
	switch upper := strings.ToUpper(s); {
	case s == "" || strings.IndexFunc(s, notToken) >= 0:
		o.fail(n, path, quote(s)+" is not a method", `write one such as "GET"`)
	case s != upper:
		o.fail(n, path, quote(s)+" is not a method that clients send: case matters", "write "+quote(upper))
	}
	return s
}

// checkRegex reports an expression that does not compile.
func (o object) checkRegex(n *node, path, s string) (good bool) {
	_, err := regexp.Compile(s)
	if err != nil {
		what := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		o.fail(n, path, quote(s)+" is not a regular expression: "+what, "correct it; the syntax is that of RE2, without lookahead and back references")
	}
	return err == nil
}

// takesPaths reports whether an expression can match strings that begin like request targets: with a slash, or with the "*" of OPTIONS.
func takesPaths(s string) bool {
	e, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return true // checkRegex reports it
	}
	prog, err := syntax.Compile(e.Simplify())
	if err != nil {
		return true
	}
	seen := make([]bool, len(prog.Inst))
	var may func(at uint32) bool
	may = func(at uint32) bool {
		if seen[at] {
			return false
		}
		seen[at] = true
		switch in := &prog.Inst[at]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			return may(in.Out) || may(in.Arg)
		case syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstNop:
			return may(in.Out)
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			return in.MatchRune('/') || in.MatchRune('*')
		}
		return false // it matches nothing, or only the empty string, which is not a path
	}
	return may(uint32(prog.Start))
}

// anywhere returns the expression for all paths that end with what s matches.
func anywhere(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "^"), "$")
	if strings.Contains(s, "|") {
		s = "(?:" + s + ")"
	}
	return ".*" + s
}

func (o object) clients() (list []netip.Prefix) {
	const example = `["192.0.2.0/24", "::1"]`
	o.each("client", example, func(n *node, path, s string) string {
		p, ok := parsePrefix(s)
		if !ok {
			o.fail(n, path, quote(s)+" is neither an address nor a network", "write it as in "+example)
		} else {
			list = append(list, p)
		}
		return s
	})
	return list
}

func (o object) ports() (list []uint16) {
	n, path := o.child("listen_port")
	if n == nil {
		return nil
	}
	form := portForm(required)
	if n.kind != kindArray {
		return []uint16{uint16(form.decode(o, n, path).(int64))}
	}
	if len(n.elements) == 0 {
		o.fail(n, path, "there is nothing in it", "write a port, or remove it")
	}
	for i := range n.elements {
		list = append(list, uint16(form.decode(o, &n.elements[i], indexPath(path, i)).(int64)))
	}
	return list
}

// fields decodes conditions on fields: names and values.
func (o object) fields(key string) []FieldMatch {
	const example = `an object: { "X-Canary": "1" }`
	n, path := o.child(key)
	if n == nil {
		return nil
	}
	in, ok := o.object(n, path, own, example)
	if !ok {
		return nil
	}
	if len(n.members) == 0 {
		o.fail(n, path, "there is nothing in it", "write "+example+", or remove it")
	}
	var list []FieldMatch
	for i := range n.members {
		m := &n.members[i]
		if m.repeated {
			continue
		}
		at := keyPath(path, m.key)
		if key == "header" && (m.key == "" || strings.IndexFunc(m.key, notToken) >= 0) {
			o.failAt(m.pos, at, quote(m.key)+" is not a header field name", headerNameRemedy)
		}
		list = append(list, in.field(m, at))
	}
	return list
}

func (o object) field(m *member, path string) FieldMatch {
	f := FieldMatch{Name: m.key}
	switch v := &m.value; v.kind {
	case kindBool:
		present := string(v.raw) == "true"
		f.Present = &present
	case kindObject:
		in, _ := o.object(v, path, ofField, "")
		in.unknown()
		if in.require("regex", "", `a regular expression such as "v[0-9]+"`) {
			n, at := in.child("regex")
			f.Regex = in.text("regex")
			in.checkRegex(n, at, f.Regex)
		}
	case kindString, kindArray:
		o.texts(v, path, `"a value"`, func(_ *node, _, s string) { f.Values = append(f.Values, s) })
	default:
		o.fail(v, path, "must be a value, not "+v.describe(), `write a string, an array of strings, true if it must be present, false if it must not, or { "regex": "..." }`)
	}
	return f
}
