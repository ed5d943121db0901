package config

import (
	"slices"
	"strings"
)

// redirected is a request that a redirect has brought back, as far as it is known: a GET without content.
type redirected struct {
	listen int    // index of the listener it comes to
	host   string // "" if unknown
	path   string
}

// verdict is whether a route matches a redirected request.
type verdict uint8

const (
	misses verdict = iota
	matches
	undecided // that depends on what is not known
)

// ringBudget limits how many routes of a server are compared with arrivals, and ringLength how many routes a ring may have to be found.
const ringBudget, ringLength = 1 << 20, 8

// ring finds redirects that lead from route to route of a server and back, forever.
type ring struct {
	server *Server
	paths  *pathIndex
	budget int
}

// from returns the indexes of the routes that redirect a request of the route with that index, one after the other, back to it; nil if they do
// not, or if that is not certain. The route itself comes first. Each ring is found once, from its first route in the file.
func (g *ring) from(first int) []int {
	m := g.server.Routes[first].Match
	at := example(m)
	for at.listen = range g.server.Listen {
		if g.match(m, &at) != matches {
			continue
		}
		if chain := g.follow(first, at); chain != nil {
			return chain
		}
	}
	return nil
}

// passes reports whether an earlier route certainly takes what the route with that index redirects to this server.
func (g *ring) passes(number int) (sure bool) {
	m := g.server.Routes[number].Match
	begin := example(m)
	for begin.listen = range g.server.Listen {
		at := begin
		if g.match(m, &at) == misses || !g.server.redirects(number, &at) {
			continue
		}
		if taken := g.route(&at); taken < 0 || taken >= number {
			return false
		}
		sure = true
	}
	return sure
}

// follow follows the redirects, beginning with that of the first route, for a request that this route matches. A second round shows whether
// the first one ended where it began: a redirect may lead to another host or listener.
func (g *ring) follow(first int, at redirected) []int {
	for range 2 {
		if !g.server.redirects(first, &at) {
			return nil
		}
		begin, chain := at, []int{first}
		for {
			number := g.route(&at)
			if number == first {
				break
			}
			if number < first || len(chain) == ringLength || slices.Contains(chain, number) || !g.server.redirects(number, &at) {
				return nil
			}
			chain = append(chain, number)
		}
		if again := at; g.server.redirects(first, &again) && again == begin && len(chain) > 1 {
			return chain
		}
	}
	return nil
}

// redirects moves a request to where the route with that index redirects it. It returns false if that is not known, or is elsewhere.
func (s *Server) redirects(number int, at *redirected) bool {
	r := s.Routes[number].Redirect
	if r == nil {
		return false
	}
	d, ok := parseDestination(r.To)
	if !ok || strings.ContainsAny(d.path, "%\\") || strings.Contains(d.path, "//") || strings.Contains(d.path, "/.") { // the path is normalized
		return false
	}
	if d.path != "" {
		at.path = d.path
	}
	if d.relative {
		return true
	}
	if d.host != "" {
		if !s.names(d.host) {
			return false
		}
		at.host = d.host
	}
	tls := s.Listen[at.listen].TLS
	if d.scheme != "" {
		tls = d.scheme == "https"
	}
	port := d.port
	if d.usual {
		if port = 80; tls {
			port = 443
		}
	}
	at.listen = slices.IndexFunc(s.Listen, func(l Listen) bool { return l.Port == port && l.TLS == tls })
	return at.listen >= 0
}

// names reports whether a route of s is for that host by name: requests for it come to this server.
func (s *Server) names(host string) bool {
	return slices.ContainsFunc(s.Routes, func(r Route) bool {
		return r.Match != nil && slices.ContainsFunc(r.Match.Host, func(p string) bool { return matchesName(p, host) })
	})
}

// route returns the index of the route that takes a request; -1 if there is none, or it is not certain.
func (g *ring) route(at *redirected) int {
	routes := g.server.Routes
	best, sure := len(routes), false
	look := func(list []int) {
		for _, i := range list {
			if i >= best || g.budget == 0 {
				return
			}
			g.budget--
			if v := g.match(routes[i].Match, at); v != misses {
				best, sure = i, v == matches
				return
			}
		}
	}
	look(g.paths.others)
	look(g.paths.exact[at.path])
	look(g.paths.prefixes[at.path])
	for i := range at.path {
		if at.path[i] == '/' {
			look(g.paths.prefixes[at.path[:i]])
			look(g.paths.prefixes[at.path[:i+1]])
		}
	}
	if !sure || g.budget <= 0 {
		return -1
	}
	return best
}

// match decides whether m matches a redirected request.
func (g *ring) match(m *Match, at *redirected) verdict {
	if m == nil {
		return matches
	}
	l, scheme := &g.server.Listen[at.listen], "http"
	if l.TLS {
		scheme = "https"
	}
	v := matches
	switch {
	case m.Method != nil && !slices.Contains(m.Method, "GET"),
		m.Scheme != nil && !slices.Contains(m.Scheme, scheme),
		m.ListenPort != nil && !slices.Contains(m.ListenPort, l.Port):
		return misses
	case m.SNI != nil || m.Header != nil || m.Query != nil || m.Cookie != nil || m.Client != nil:
		v = undecided
	}
	if m.Host != nil {
		switch {
		case at.host == "":
			v = undecided
		case !slices.ContainsFunc(m.Host, func(p string) bool { return matchesName(p, at.host) }):
			return misses
		}
	}
	if !g.paths.takes(m, at.path) {
		return misses
	}
	return v
}

// example returns a request that m matches, as far as one is known.
func example(m *Match) redirected {
	const unlikely = "kroxy-ev-example" // no route is only for this
	at := redirected{path: "/" + unlikely}
	if m == nil {
		return at
	}
	if len(m.Host) > 0 {
		at.host = strings.Replace(m.Host[0], "*", unlikely, 1)
	}
	switch {
	case m.Path != nil:
		at.path = m.Path[0]
	case m.PathPrefix != nil:
		if at.path = m.PathPrefix[0]; strings.HasSuffix(at.path, "/") {
			at.path += unlikely
		}
	}
	return at
}
