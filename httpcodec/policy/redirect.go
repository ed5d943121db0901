package policy

import (
	"bytes"
	"regexp"
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// Redirect sends the client to another URI.
type Redirect struct {
	Status int // 301, 302, 303, 307 or 308
	// NeedsHost says that the URI depends on the host that the client asked for, so a client that named none cannot be redirected.
	NeedsHost bool

	to *grouped
	// roots says that a client could make the text name another host: it begins with a variable, or with "/" and a variable.
	roots bool
}

// CompileRedirect compiles a redirect of a route with the given regular expressions, each of which matches whole paths.
func CompileRedirect(c *config.Redirect, regexes []*regexp.Regexp) (*Redirect, []Problem) {
	var p problems
	to := c.To
	d := &Redirect{Status: c.Status, to: p.grouped("redirect.to", to, regexes)}
	switch c.Status {
	case 301, 302, 303, 307, 308:
	default:
		p.add("redirect.status", "not the status of a redirect", "write 301, 302, 303, 307 or 308")
	}
	if to == "" {
		p.add("redirect.to", "the target is empty", `write where to: "https://$host$request_uri"`)
	}
	d.NeedsHost = d.to.has("host") || d.to.has("http_host")
	d.roots = strings.HasPrefix(to, "$") || strings.HasPrefix(to, "/$")
	return d, p
}

// AppendLocation appends the URI as the value of Location (RFC 9110 section 10.2.2), and percent-encodes bytes that are not
// allowed in a URI. Normal is the path by which routes are found; it is used only if NeedsPath returns true.
//
// "$path" and "/$arg_next" are meant as paths of this site. A client's "//evil.example/" would turn them into the name of
// another host, so all leading slashes but the first are removed.
func (d *Redirect) AppendLocation(dst, normal []byte, r *logformat.Record) []byte {
	from := len(dst)
	dst = d.to.append(dst, normal, r)
	if b := dst[from:]; d.roots && len(b) > 1 && b[0] == '/' && isSlash(b[1]) {
		rest := bytes.TrimLeft(b, `/\`)
		dst = dst[:from+1+copy(b[1:], rest)]
	}
	return escapeFrom(dst, from, &notURI)
}

// isSlash reports whether browsers take c for a slash.
func isSlash(c byte) bool { return c == '/' || c == '\\' }

// Need returns what a record must have.
func (d *Redirect) Need() logformat.Need { return d.to.need() }

// NeedsPath reports whether the URI has groups of path_regex.
func (d *Redirect) NeedsPath() bool { return d.to.regexes != nil }
