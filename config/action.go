package config

import (
	"slices"
	"strconv"
	"strings"

	"kroxy-ev/logformat"
)

// Redirect is a response that redirects the client.
type Redirect struct {
	To     string // a template
	Status int    // 301, 302, 303, 307 or 308
}

// Respond is a fixed response.
type Respond struct {
	Status  int
	Body    string
	Headers []Header
}

// Rewrite changes the target of a request to a host.
type Rewrite struct {
	StripPrefix string // removed from the path
	AddPrefix   string // prepended to the path
	Path        string // template that replaces the path; "" keeps the path
	Query       string // template that replaces the query if HasQuery
	HasQuery    bool
}

const (
	redirectExample = `an object: { "to": "https://$host$request_uri" }`
	respondExample  = `an object: { "status": 403 }`
	rewriteExample  = `an object: { "strip_prefix": "/api" }`
)

// redirects are the valid statuses of a redirect.
var redirects = []string{"301", "302", "303", "307", "308"}

func (o object) redirect() *Redirect {
	n, path := o.child("redirect")
	in, ok := o.object(n, path, ofRedirect, redirectExample)
	if !ok {
		return nil
	}
	in.unknown()
	r := &Redirect{Status: 308}
	if in.require("to", "", `a URL or a path such as "https://$host$request_uri"`) {
		r.To = in.text("to")
		n, path := in.child("to")
		in.oneLine(n, path, r.To)
		if begins := func(s string) bool { return strings.HasPrefix(r.To, s) }; r.To != "" && !slices.ContainsFunc([]string{"/", "$", "http://", "https://"}, begins) {
			in.fail(n, path, quote(r.To)+" is neither a URL nor a path", `write one such as "https://$host$request_uri"`)
		}
		in.template(n, path, logformat.OnRequest)
	}
	if n, path := in.child("status"); n != nil {
		if s := n.literal(); (n.kind == kindNumber || n.fromEnv()) && slices.Contains(redirects, s) {
			r.Status, _ = strconv.Atoi(s)
		} else {
			in.fail(n, path, "must be the status of a redirect, not "+n.describe(), "write "+join(redirects))
		}
	}
	return r
}

// oneLine reports control characters in s, the text of n, which is put into a
// header field or a request line.
func (o object) oneLine(n *node, path, s string) {
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 && n.kind == kindString {
		o.fail(n, path, "a control character, which cannot be in a header", "remove "+quote(s[i:i+1])+" from it")
	}
}

func (o object) respond() *Respond {
	n, path := o.child("respond")
	in, ok := o.object(n, path, ofRespond, respondExample)
	if !ok {
		return nil
	}
	in.unknown()
	r := &Respond{Status: int(in.integer("status")), Body: in.text("body"), Headers: in.headerFields("headers")}
	n, path = in.child("body")
	if n != nil {
		in.template(n, path, logformat.OnRequest)
	}
	if r.Body != "" && (r.Status == 204 || r.Status == 205 || r.Status == 304) {
		in.fail(n, path, "a response with the status "+strconv.Itoa(r.Status)+" has no content", "remove it, or write another status")
	}
	return r
}

// rewrite decodes "rewrite", merged over all levels; nil if there is nothing.
func (o object) rewrite() *Rewrite {
	var r *Rewrite
	if !o.says("rewrite") {
		return nil
	}
	for _, level := range o.levels("rewrite") {
		m := level.node.get("rewrite")
		if m == nil {
			continue
		}
		if m.value.kind == kindNull && r != nil {
			r = nil
			continue
		}
		in, ok := o.object(&m.value, keyPath(level.path, "rewrite"), ofRewrite, rewriteExample)
		if !ok {
			continue
		}
		in.unknown()
		if r == nil {
			r = &Rewrite{}
		}
		r.StripPrefix = in.part("strip_prefix", r.StripPrefix, true)
		r.AddPrefix = in.part("add_prefix", r.AddPrefix, true)
		r.Path = in.part("path", r.Path, true)
		r.Query = in.part("query", r.Query, false)
		if m := in.node.get("query"); m != nil {
			r.HasQuery = m.value.kind != kindNull
		}
	}
	return r
}

// part decodes a part of a target; slash says that it must begin with a slash, as
// parts of the path do. Outer is the value of the outer level.
func (o object) part(key, outer string, slash bool) string {
	n, path := o.child(key)
	if n == nil {
		return outer
	}
	if n.kind == kindNull && outer != "" {
		return ""
	}
	s := o.text(key)
	o.oneLine(n, path, s)
	if key == "path" || key == "query" {
		o.template(n, path, logformat.OnRequest)
	}
	if slash && n.kind == kindString && !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "$") {
		o.fail(n, path, quote(s)+" does not begin with a slash, as every path does", "write "+quote("/"+s))
	}
	return s
}
