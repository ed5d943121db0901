package config

import (
	"slices"
	"strings"
	"time"
)

// Sticky configures the cookie that brings clients back to their host.
type Sticky struct {
	Cookie   string        // name, an RFC 9110 token
	TTL      time.Duration // how long browsers keep the cookie; 0 for a session cookie
	Path     string        // begins with a slash
	Domain   string        // without a leading dot; "" for the requested name only
	SameSite string        // "Lax", "Strict" or "None"
}

// sameSites are the values of the attribute (RFC 6265bis section 4.1.2.7), the default first.
var sameSites = []string{"Lax", "Strict", "None"}

// sameSite is one of sameSites, in any letter case.
type sameSite struct{}

func (sameSite) fallback() any { return sameSites[0] }
func (sameSite) spell() string { return "`" + sameSites[0] + "`" }

func (sameSite) schema(modes) schema {
	words := slices.Clone(sameSites)
	for _, w := range sameSites {
		words = append(words, strings.ToLower(w))
	}
	return schema{"enum": words}
}

func (s sameSite) decode(o object, n *node, path string) any {
	word := o.str(n, path)
	for _, w := range sameSites {
		if w == word || strings.ToLower(w) == word {
			return w
		}
	}
	if n.kind == kindString {
		o.fail(n, path, "unknown choice "+quote(word), "write "+list(sameSites))
	}
	return s.fallback()
}

// sticky decodes "sticky"; nil if there is none.
func (o object) sticky() *Sticky {
	if o.modes&inHTTP == 0 {
		return nil
	}
	in, is := o.section("sticky")
	if is != on {
		return nil
	}
	s := &Sticky{}
	in.fill(ofSticky, &target{sticky: s})
	s.Domain = strings.TrimPrefix(s.Domain, ".")
	return s
}

// checkCookies warns of groups of s whose cookies collide: a browser has one cookie of a name per site, so clients of both groups would lose it.
func (groups *groupSet) checkCookies(s *Server) {
	type jar struct{ cookie, path, domain, host string }
	const anyHost, some = "", "."
	had := make(map[jar]string) // the first group with such a cookie
	for i := range s.Routes {
		r := &s.Routes[i]
		for _, to := range r.To {
			c := to.Group.Sticky
			if c == nil {
				continue
			}
			hosts, meets := []string{anyHost}, []string{some}
			if r.Match != nil && len(r.Match.Host) > 0 && c.Domain == "" {
				hosts = r.Match.Host
				meets = append(slices.Clone(hosts), anyHost)
			}
			for _, host := range meets {
				if other, found := had[jar{c.Cookie, c.Path, c.Domain, host}]; found && other != to.Group.Name {
					groups.get(to.Group.Name).sharesCookie(c.Cookie, other)
					break
				}
			}
			for _, host := range append(slices.Clone(hosts), some) {
				if at := (jar{c.Cookie, c.Path, c.Domain, host}); had[at] == "" {
					had[at] = to.Group.Name
				}
			}
		}
	}
}

// sharesCookie warns that g has the same cookie as another group.
func (g *groupNode) sharesCookie(cookie, other string) {
	what := "its cookie " + quote(cookie) + " is that of the group " + quote(other) + " too, on the same site, so a client that uses both groups keeps neither host"
	if m := g.node.get("sticky"); m != nil {
		g.warn(m.pos, keyPath(g.path, "sticky"), what, `write another name: { "cookie": `+quote(cookie+"-"+g.name)+" }")
	} else {
		g.warn(g.node.pos, g.path, what, `add "sticky": { "cookie": `+quote(cookie+"-"+g.name)+" }")
	}
}

func checkCookie(s string) (what, remedy string) {
	if s == "" || strings.IndexFunc(s, notToken) >= 0 {
		return quote(s) + " is not the name of a cookie", `write letters, digits and '-', such as "kroxy"`
	}
	return "", ""
}

func checkCookiePath(s string) (what, remedy string) {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || r == ';' }
	switch i := strings.IndexFunc(s, bad); {
	case !strings.HasPrefix(s, "/"):
		return quote(s) + " does not begin with a slash, as every path does", "write " + quote("/"+s)
	case i >= 0:
		return quote(s) + " has " + quote(s[i:i+1]) + " in it, which cannot be in a cookie", "leave it out"
	}
	return "", ""
}

func checkCookieDomain(s string) (what, remedy string) {
	const write = `write the domain that all names end with, such as "example.com"`
	if s == "" {
		return "", ""
	}
	name, what, _ := hostName(strings.TrimPrefix(s, "."))
	if what != "" {
		return what, write
	}
	if isAddress(name) {
		return quote(s) + " is an address, and has no names below it", write + ", or remove it"
	}
	return "", ""
}
