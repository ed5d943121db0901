package policy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/fieldname"
	"kroxy-ev/logformat"
)

// Headers are compiled edits of header fields. They are immutable and may be shared. A nil *Headers changes nothing.
//
// In requests a name stands for all names that hosts may take for it (package fieldname); in responses it stands for itself in
// any case.
type Headers struct {
	lines   []line
	drops   []string // names, folded by folding, of fields that are not forwarded
	folding *fieldname.Folding
	lengths uint64 // bit n%64 is set if drops has a name of n bytes
	own     Own
	need    logformat.Need
	fixed   bool
}

// line is a field line to be written.
type line struct {
	own   Own
	start []byte // "Name: "
	value *logformat.Template
}

func (l *line) name() []byte { return l.start[:len(l.start)-len(": ")] }

// Own is a set of fields that the proxy itself writes or examines.
type Own uint8

// The fields.
const (
	Host Own = 1 << iota
	ForwardedFor
	ForwardedHost
	ForwardedProto
	Date
	ContentType
)

// owns has the names of these fields, folded.
var owns = map[string]Own{
	"host": Host, "x-forwarded-for": ForwardedFor, "x-forwarded-host": ForwardedHost, "x-forwarded-proto": ForwardedProto,
	"date": Date, "content-type": ContentType,
}

// CompileRequestHeaders compiles the edits of requests.
func CompileRequestHeaders(e config.HeaderEdits) (*Headers, []Problem) {
	return compile(edits{HeaderEdits: e, key: "request_headers", set: "request_headers.set", folding: &fieldname.Alike, place: logformat.ToHost})
}

// CompileResponseHeaders compiles the edits of responses.
func CompileResponseHeaders(e config.HeaderEdits) (*Headers, []Problem) {
	return compile(edits{HeaderEdits: e, key: "response_headers", set: "response_headers.set", folding: &fieldname.Case, place: logformat.ToClient})
}

// edits is the input of compile.
type edits struct {
	config.HeaderEdits
	key, set string // configuration paths of the edits and of Set
	folding  *fieldname.Folding
	place    logformat.Mode
}

func compile(e edits) (*Headers, []Problem) {
	h := &Headers{folding: e.folding, fixed: true}
	var p problems
	for _, f := range e.Set {
		if f.Kroxy && config.Frames(f.Name) {
			continue
		}
		l := e.line(&p, e.set, f)
		if i := slices.IndexFunc(h.lines, func(o line) bool { return bytes.EqualFold(o.start, l.start) }); i >= 0 {
			h.lines[i] = l
		} else {
			h.lines = append(h.lines, l)
		}
		h.drop(f.Name)
	}
	for _, f := range e.Add {
		if l := e.line(&p, e.key+".add", f); l.own&Host != 0 {
			p.add(e.key+".add."+f.Name, "a request must have only one Host", `write it in "set"`)
		} else {
			h.lines = append(h.lines, l)
		}
	}
	for i, name := range e.Remove {
		at := e.key + ".remove[" + strconv.Itoa(i) + "]"
		e.name(&p, at, name)
		if e.own(name)&Host != 0 {
			p.add(at, "a request must have a Host", `remove it, or write another one in "set"`)
		}
		h.drop(name)
	}
	if p != nil || len(h.lines)+len(h.drops) == 0 {
		return nil, p
	}
	for _, l := range h.lines {
		h.fixed = h.fixed && l.value.Fixed()
		h.need |= l.value.Need()
	}
	return h, nil
}

// line compiles a field line. At is the path of its object.
func (e *edits) line(p *problems, at string, f config.Header) line {
	place := e.place
	if f.Kroxy {
		at, place = "headers", logformat.Kroxy
	}
	at += "." + f.Name
	e.name(p, at, f.Name)
	value := strings.Trim(f.Value, " \t")
	if !httpguts.ValidHeaderFieldValue(value) {
		p.add(at, "a control character in a header value", "remove it")
	}
	return line{e.own(f.Name), []byte(f.Name + ": "), p.template(at, value, place)}
}

// name checks whether the named field may be changed.
func (e *edits) name(p *problems, at, name string) {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		p.add(at, `"`+name+`" is not a header field name`, `write letters, digits and '-' without a colon or a space, such as "X-Real-IP"`)
	case config.Frames(name):
		p.add(at, `"`+name+`" describes one connection or the length of a message, which the proxy decides itself`, "remove it")
	}
}

// own returns the bit of a field that the proxy itself writes: Date or Content-Type in responses, any other of owns in requests.
func (e *edits) own(name string) Own {
	o := owns[e.folding.Of(name)]
	if e.folding == &fieldname.Case {
		return o & (Date | ContentType)
	}
	return o &^ (Date | ContentType)
}

func (h *Headers) drop(name string) {
	low := h.folding.Of(name)
	if slices.Contains(h.drops, low) {
		return
	}
	h.drops = append(h.drops, low)
	h.lengths |= 1 << (len(low) % 64)
	h.own |= owns[low]
}

// Drops reports whether a field of the message is not forwarded, because a field of that name is set or removed.
func (h *Headers) Drops(name []byte) bool {
	if h == nil || h.lengths>>(len(name)%64)&1 == 0 {
		return false
	}
	for _, low := range h.drops {
		if h.folding.Equal(name, low) {
			return true
		}
	}
	return false
}

// Decide reports whether h sets or removes any of the given fields.
func (h *Headers) Decide(o Own) bool { return h != nil && h.own&o != 0 }

// Fixed reports whether no line has variables, so that Append needs no record.
func (h *Headers) Fixed() bool { return h == nil || h.fixed }

// Need returns what a record must have.
func (h *Headers) Need() logformat.Need {
	if h == nil {
		return 0
	}
	return h.need
}

// Append appends the field lines except Host. It allocates only to grow dst.
func (h *Headers) Append(dst []byte, r *logformat.Record) []byte {
	if h == nil {
		return dst
	}
	for i := range h.lines {
		if l := &h.lines[i]; l.own != Host {
			dst = l.append(dst, r)
		}
	}
	return dst
}

// AppendUnless is Append without the lines that other drops.
func (h *Headers) AppendUnless(dst []byte, r *logformat.Record, other *Headers) []byte {
	if h == nil {
		return dst
	}
	for i := range h.lines {
		if l := &h.lines[i]; !other.Drops(l.name()) {
			dst = l.append(dst, r)
		}
	}
	return dst
}

// AppendHost appends the Host line, if there is one.
func (h *Headers) AppendHost(dst []byte, r *logformat.Record) []byte {
	for i := range h.lines {
		if l := &h.lines[i]; l.own == Host {
			dst = l.append(dst, r)
		}
	}
	return dst
}

func (l *line) append(dst []byte, r *logformat.Record) []byte {
	dst = append(dst, l.start...)
	dst = l.value.Append(dst, r)
	return append(dst, "\r\n"...)
}
