// Package policy is what a route does with a request beside choosing a host: it answers by itself (redirect, respond), asks the
// host for another target (rewrite), and changes the fields of heads (request_headers, response_headers). One file is one policy.
//
// A policy is compiled once, is immutable then and shared by all loops, and writes bytes from a logformat.Record without
// allocating. The package does no I/O and knows no connections; httpcodec calls it where bytes are written anyhow.
//
// Bytes that a peer chose come into heads by variables only, and a value with CR, LF, NUL or another control character counts as
// missing (logformat.Template). What lands in a URI is percent-encoded as far as that is needed.
package policy

import (
	"kroxy-ev/config"
	"kroxy-ev/httpcodec/route"
	"kroxy-ev/logformat"
)

// Set is what one route does. The zero value does nothing.
type Set struct {
	// At most one of these is not nil: then no host is asked.
	Redirect *Redirect
	Respond  *Respond

	Rewrite  *Rewrite // nil: hosts are asked for what the client asked for
	Request  *Headers // of what goes to a host
	Response *Headers // of final responses, whoever made them
}

// Compile compiles what a route does. What it matches is right: it was compiled.
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

// Problem is something that a person has to correct in a route's configuration.
type Problem struct {
	Path         string // of the key, below the route's: "request_headers.set.Host"
	What, Remedy string
}

// problems collects them.
type problems []Problem

func (p *problems) add(path, what, remedy string) { *p = append(*p, Problem{path, what, remedy}) }

// template compiles a text. After an error it answers one without text.
func (p *problems) template(path, text string, place logformat.Mode) *logformat.Template {
	t, err := logformat.CompileTemplate(text, place)
	if err != nil {
		p.add(path, err.Error(), "correct its name, or take it out")
		return &logformat.Template{}
	}
	return t
}
