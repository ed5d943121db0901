package policy

import (
	"kroxy-ev/config"
	"kroxy-ev/httpcodec/fieldname"
	"kroxy-ev/logformat"
)

// Respond answers with a fixed response.
type Respond struct {
	Status  int      // 200 to 599
	Headers *Headers // nil for none

	body *logformat.Template // nil for none
}

// CompileRespond compiles a fixed response.
func CompileRespond(c *config.Respond) (*Respond, []Problem) {
	var p problems
	r := &Respond{Status: c.Status}
	if c.Status < 200 || c.Status > 599 {
		p.add("respond.status", "not the status of a response", "write a number from 200 to 599")
	}
	if c.Body != "" {
		if !r.MayHaveBody() {
			p.add("respond.body", "a response of this status has no body", "remove it, or write another status")
		}
		r.body = p.template("respond.body", c.Body, logformat.OnRequest)
	}
	list, more := compile(edits{HeaderEdits: config.HeaderEdits{Set: c.Headers}, set: "respond.headers", folding: &fieldname.Case, place: logformat.OnRequest})
	r.Headers = list
	return r, append(p, more...)
}

// MayHaveBody reports whether a response with that status may have content (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5).
func (p *Respond) MayHaveBody() bool { return p.Status != 204 && p.Status != 205 && p.Status != 304 }

// HasBody reports whether the configuration has a body.
func (p *Respond) HasBody() bool { return p.body != nil }

// AppendBody appends the body. It allocates only to grow dst.
func (p *Respond) AppendBody(dst []byte, r *logformat.Record) []byte {
	if p.body == nil {
		return dst
	}
	return p.body.Append(dst, r)
}

// Need returns what a record must have.
func (p *Respond) Need() logformat.Need {
	need := p.Headers.Need()
	if p.body != nil {
		need |= p.body.Need()
	}
	return need
}
