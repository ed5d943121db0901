package route

import (
	"net/netip"
	"regexp"
	"slices"
)

// condition is a requirement of a route that the Table's index does not cover.
type condition interface {
	holds(r *Request) bool
}

type (
	hostNames  []string // patterns in the form of namePattern
	sniNames   []string
	exactPaths []string
	prefixes   []string // in normal form
	regexes    []*pathRegex
	methods    []string
	networks   []netip.Prefix
	tls        bool
	ports      []uint16
)

func (c hostNames) holds(r *Request) bool { return anyTakesName(c, r.name) }
func (c sniNames) holds(r *Request) bool  { return anyTakesName(c, r.sni) }

func anyTakesName(patterns []string, name []byte) bool {
	for _, p := range patterns {
		if takesName(p, name) {
			return true
		}
	}
	return false
}

func (c exactPaths) holds(r *Request) bool {
	for _, p := range c {
		if string(r.Path) == p {
			return true
		}
	}
	return false
}

func (c prefixes) holds(r *Request) bool {
	for _, p := range c {
		if hasPathPrefix(r.Path, p) {
			return true
		}
	}
	return false
}

// hasPathPrefix reports whether path equals prefix or is below it. If prefix ends with a slash, path must be below it. Both
// must be in normal form.
func hasPathPrefix[T string | []byte](path T, prefix string) bool {
	n := len(prefix)
	return len(path) >= n && string(path[:n]) == prefix && (len(path) == n || path[n] == '/' || prefix[n-1] == '/')
}

func (c regexes) holds(r *Request) bool { return c.match(r.Path) }

func (c regexes) match(path []byte) bool {
	for _, re := range c {
		if re.matches(path) {
			return true
		}
	}
	return false
}

func (c methods) holds(r *Request) bool {
	for _, m := range c {
		if string(r.Method) == m {
			return true
		}
	}
	return false
}

func (c networks) holds(r *Request) bool {
	for _, p := range c {
		if p.Contains(r.Client) {
			return true
		}
	}
	return false
}

func (c tls) holds(r *Request) bool   { return r.TLS == bool(c) }
func (c ports) holds(r *Request) bool { return slices.Contains(c, r.Port) }

// value is a requirement for a header field, a query argument or a cookie. If several have the name, one of them must fit.
type value struct {
	name    string   // of a header field in lower case
	absent  bool     // there must be none
	texts   []string // the value must be one of these, unless nil
	pattern *regexp.Regexp
}

func (v *value) fits(b []byte) bool {
	switch {
	case v.pattern != nil:
		return v.pattern.Match(b)
	case v.texts != nil:
		for _, text := range v.texts {
			if string(b) == text {
				return true
			}
		}
		return false
	}
	return true
}

type (
	headerField struct{ value }
	argument    struct{ value }
	cookie      struct{ value }
)

func (c *headerField) holds(r *Request) bool {
	for at := 0; ; {
		b, next := r.nextField(c.name, at)
		if next == 0 {
			return c.absent
		}
		if c.fits(b) {
			return !c.absent
		}
		at = next
	}
}

func (c *argument) holds(r *Request) bool {
	for name, b := range r.Args().All() {
		if string(name) == c.name && c.fits(b) {
			return !c.absent
		}
	}
	return c.absent
}

func (c *cookie) holds(r *Request) bool {
	for name, b := range r.Cookies().Cookies() {
		if string(name) == c.name && c.fits(b) {
			return !c.absent
		}
	}
	return c.absent
}
