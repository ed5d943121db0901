package route

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"kroxy-ev/config"
)

// query is a request as the slow matcher sees it.
type query struct {
	host, target, method, sni string
	fields                    fields
	client                    string
	tls                       bool
	port                      uint16
}

// fields are a head's fields: names in lower case, and values.
type fields [][2]string

func (f fields) NextField(low string, from int) ([]byte, int) {
	for i := from; i < len(f); i++ {
		if f[i][0] == low {
			return []byte(f[i][1]), i + 1
		}
	}
	return nil, 0
}

// set makes r a request like q. Ok is false if the target is refused.
func (q *query) set(r *Request) (ok bool) {
	r.Host, r.Method, r.SNI, r.TLS, r.Port = []byte(q.host), []byte(q.method), []byte(q.sni), q.tls, q.port
	r.Client, _ = netip.ParseAddr(q.client)
	return r.SetTarget(q.fields, []byte(q.target)) == nil
}

// slowFind tries one route after another in the plainest way.
func slowFind(routes []config.Route, q *query) int {
	var n Normalizer
	rawPath, rawQuery, _ := strings.Cut(q.target, "?")
	b, _ := n.Path([]byte(rawPath))
	path := string(b)
	args := map[string][]string{}
	for _, part := range strings.Split(rawQuery, "&") {
		name, text, _ := strings.Cut(part, "=")
		name, _ = url.QueryUnescape(name)
		text, _ = url.QueryUnescape(text)
		if part != "" {
			args[name] = append(args[name], text)
		}
	}
	cookies, headers := map[string][]string{}, map[string][]string{}
	for _, f := range q.fields {
		headers[f[0]] = append(headers[f[0]], f[1])
		if f[0] == "cookie" {
			for _, part := range strings.Split(f[1], "; ") {
				name, text, _ := strings.Cut(part, "=")
				cookies[name] = append(cookies[name], text)
			}
		}
	}
	client, _ := netip.ParseAddr(q.client)
	scheme := map[bool]string{false: "http", true: "https"}[q.tls]

	for i, route := range routes {
		m := route.Match
		if m == nil {
			return i
		}
		if slowAny(m.Host, func(p string) bool { return slowName(p, q.host) }) &&
			slowAny(m.SNI, func(p string) bool { return slowName(p, q.sni) }) &&
			slowAny(m.Path, func(p string) bool { return path == p }) &&
			slowAny(m.PathPrefix, func(p string) bool {
				if strings.HasSuffix(p, "/") {
					return strings.HasPrefix(path, p)
				}
				return path == p || strings.HasPrefix(path, p+"/")
			}) &&
			slowAny(m.PathRegex, func(p string) bool { return regexp.MustCompile("^(?:" + p + ")$").MatchString(path) }) &&
			slowAny(m.Method, func(p string) bool { return q.method == p }) &&
			slowAny(m.Scheme, func(p string) bool { return scheme == p }) &&
			slowAny(m.Client, func(p netip.Prefix) bool { return p.Contains(client) }) &&
			slowAny(m.ListenPort, func(p uint16) bool { return p == q.port }) &&
			slowFields(m.Header, headers, strings.ToLower) &&
			slowFields(m.Query, args, strings.Clone) &&
			slowFields(m.Cookie, cookies, strings.Clone) {
			return i
		}
	}
	return -1
}

func slowAny[T any](of []T, is func(T) bool) bool { return len(of) == 0 || slices.ContainsFunc(of, is) }

func slowName(pattern, name string) bool {
	pattern, name = strings.TrimSuffix(strings.ToLower(pattern), "."), strings.TrimSuffix(strings.ToLower(name), ".")
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(name, suffix) && name != suffix
	}
	return name == pattern
}

func slowFields(of []config.FieldMatch, have map[string][]string, fold func(string) string) bool {
	for _, m := range of {
		values := have[fold(m.Name)]
		switch {
		case m.Present != nil:
			if *m.Present != (len(values) > 0) {
				return false
			}
		case m.Regex != "":
			if !slices.ContainsFunc(values, regexp.MustCompile("^(?:"+m.Regex+")$").MatchString) {
				return false
			}
		case !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(m.Values, v) }):
			return false
		}
	}
	return true
}
