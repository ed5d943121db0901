package policy

import (
	"bytes"
	"regexp"
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// Redirect sends the client to another place.
type Redirect struct {
	Status int // 301, 302, 303, 307 or 308
	// NeedsHost says that the place depends on the host that the client asked for: a client that named none cannot be sent there.
	NeedsHost bool

	to *grouped
	// roots says that the text could name a host by what a client sent: it begins with a variable, or with a "/" and one.
	roots bool
}

// CompileRedirect compiles a redirect of a route that has these regular expressions, each of which matches whole paths.
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
		p.add("redirect.to", "there is no place to go to", `write where to: "https://$host$request_uri"`)
	}
	d.NeedsHost = d.to.has("host") || d.to.has("http_host")
	d.roots = strings.HasPrefix(to, "$") || strings.HasPrefix(to, "/$")
	return d, p
}

// AppendLocation appends the place, as the value of Location (RFC 9110 section 10.2.2). What may not be in a URI is
// percent-encoded. Normal is the path that routes are found by; it is not looked at unless NeedsPath says so.
//
// "$path" and "/$arg_next" are paths of this site: where a client's "//evil.example/" would make them the name of another host, all
// slashes but the first are left out.
func (d *Redirect) AppendLocation(dst, normal []byte, r *logformat.Record) []byte {
	from := len(dst)
	dst = d.to.append(dst, normal, r)
	if b := dst[from:]; d.roots && len(b) > 1 && b[0] == '/' && isSlash(b[1]) {
		rest := bytes.TrimLeft(b, `/\`)
		dst = dst[:from+1+copy(b[1:], rest)]
	}
	return escapeFrom(dst, from, &notURI)
}

// isSlash tells what browsers take for a slash.
func isSlash(c byte) bool { return c == '/' || c == '\\' }

// Need says what a record must have.
func (d *Redirect) Need() logformat.Need { return d.to.need() }

// NeedsPath reports whether there are groups of path_regex in the place.
func (d *Redirect) NeedsPath() bool { return d.to.regexes != nil }
