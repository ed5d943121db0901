// Package policy implements what a route does with a request besides choosing a host. It can answer by itself (redirect,
// respond), change the request target (rewrite), and edit header fields (request_headers, response_headers). Each policy has
// its own file.
//
// A policy is compiled once, is immutable afterwards and shared by all loops, and writes bytes from a logformat.Record without
// allocating. The package does no I/O and knows nothing about connections; httpcodec calls it while it writes heads.
//
// Bytes chosen by a peer enter heads only through variables, and a value with CR, LF, NUL or another control character counts
// as missing (logformat.Template). Where they enter a URI they are percent-encoded if needed.
package policy

import (
	"kroxy-ev/config"
	"kroxy-ev/httpcodec/route"
	"kroxy-ev/logformat"
)

// Set has the policies of a route. The zero value does nothing.
type Set struct {
	// At most one of these is not nil. If one is, the request goes to no host.
	Redirect *Redirect
	Respond  *Respond

	Rewrite  *Rewrite // nil keeps the client's target
	Request  *Headers // edits of what goes to a host
	Response *Headers // edits of final responses, whether a host or the proxy made them
}

// Compile compiles the policies of a route. The route's match must be valid, which route.Compile has checked.
func Compile(r *config.Route) (Set, []Problem) {
	var s Set
	var all, found problems
	if r.Redirect != nil {
		s.Redirect, found = CompileRedirect(r.Redirect, route.Regexes(r))
		all = append(all, found...)
	}
	if r.Respond != nil {
		s.Respond, found = CompileRespond(r.Respond)
		all = append(all, found...)
	}
	if r.Rewrite != nil {
		s.Rewrite, found = CompileRewrite(r.Rewrite, route.Regexes(r))
		all = append(all, found...)
	}
	s.Request, found = CompileRequestHeaders(withRequestID(r, r.RequestHeaders))
	all = append(all, found...)
	s.Response, found = CompileResponseHeaders(withRequestID(r, r.ResponseHeaders))
	return s, append(all, found...)
}

// Problem is something that must be corrected in a route's configuration.
type Problem struct {
	Path         string // of the key, below the route's path, such as "request_headers.set.Host"
	What, Remedy string
}

// problems collects them.
type problems []Problem

func (p *problems) add(path, what, remedy string) { *p = append(*p, Problem{path, what, remedy}) }

// template compiles a text. After an error it returns an empty template.
func (p *problems) template(path, text string, place logformat.Mode) *logformat.Template {
	t, err := logformat.CompileTemplate(text, place)
	if err != nil {
		p.add(path, err.Error(), "correct the name, or remove it")
		return &logformat.Template{}
	}
	return t
}
