package config

import (
	"slices"
	"strings"

	"kroxy-ev/logformat"
)

// Header is one header field. Name is an RFC 9110 token; Value has no control
// characters but may contain variables.
type Header struct {
	Name, Value string
	// Kroxy is set for fields in "headers". Their variables have Kroxy's meaning, unknown variables are plain text, and a field for which Frames is
	// true is left out, with a warning.
	Kroxy bool
}

// HeaderEdits change the fields of a message: first Remove, then Set, then Add.
type HeaderEdits struct {
	Set    []Header // replace existing fields; no two names differ only in letter case
	Add    []Header // are added to existing fields
	Remove []string
}

// framing are the fields that describe one connection or the length of one message
// (RFC 9110 section 7.6.1, RFC 9112 section 6), which a proxy
// decides itself; Expect concerns both.
var framing = []string{
	"connection", "content-length", "expect", "http2-settings", "keep-alive",
	"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// Frames reports whether only the proxy may set or remove a field. The name is
// compared as lenient hosts may read it, ignoring letter case and
// the kind of separators.
func Frames(name string) bool {
	return slices.Contains(framing, strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		}
		return '-'
	}, name))
}

// framingProblem returns what is wrong with changing such a field.
func framingProblem(name string) (what, remedy string) {
	return quote(name) + " describes one connection or the length of a message, which the proxy decides itself", "remove it"
}

const (
	headerNameRemedy = `write letters, digits and '-' without a colon or a space, such as "X-Real-IP"`
	headersExample   = `an object: { "Host": "$host" }`
	editsExample     = `an object: { "set": { "X-Real-IP": "$client_addr" }, "remove": ["X-Debug"] }`
)

// headerSet collects fields by name, from the outermost level inward.
type headerSet struct {
	place logformat.Mode // of their variables
	list  []Header
	first map[string]string // names as written in one object, by lower case
}

// clear removes the fields of the same kind as s: those from "headers", or all
// others.
func (s *headerSet) clear() {
	s.list = slices.DeleteFunc(s.list, func(h Header) bool { return h.Kroxy == (s.place == logformat.Kroxy) })
}

// put decodes a field at path in o, with the variables of place. A later field with
// the same name replaces an earlier one, and null removes it.
func (s *headerSet) put(o object, m *member, path string, place logformat.Mode) {
	if o.headerName(m, path, s.first, place) {
		s.first[strings.ToLower(m.key)] = m.key
	}
	i := slices.IndexFunc(s.list, func(h Header) bool { return strings.EqualFold(h.Name, m.key) })
	if i >= 0 {
		s.list = slices.Delete(s.list, i, i+1)
	}
	if i < 0 || m.value.kind != kindNull {
		if place == logformat.Kroxy {
			o.mistaken(&m.value, path)
		} else {
			o.template(&m.value, path, place)
		}
		s.list = append(s.list, Header{m.key, o.headerValue(&m.value, path), place == logformat.Kroxy})
	}
}

// headerName checks a field's name; first has the names that are already in the object.
func (o object) headerName(m *member, path string, first map[string]string, place logformat.Mode) bool {
	lower := strings.ToLower(m.key)
	switch before, twice := first[lower]; {
	case m.key == "" || strings.IndexFunc(m.key, notToken) >= 0:
		o.failAt(m.pos, path, quote(m.key)+" is not a header field name", headerNameRemedy)
		return false
	case Frames(m.key) && place == logformat.Kroxy:
		what, remedy := framingProblem(m.key)
		o.warn(m.pos, path, what, remedy)
	case Frames(m.key):
		what, remedy := framingProblem(m.key)
		o.failAt(m.pos, path, what, remedy)
	case twice && before != m.key:
		o.warn(m.pos, path, "the same header field as "+quote(before)+", which it replaces: letter case does not count", "remove one of the two")
	}
	return true
}

func (o object) headerValue(n *node, path string) string {
	value := o.str(n, path)
	if c := strings.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); c >= 0 {
		o.fail(n, path, "a control character in a header value", "remove "+quote(value[c:c+1])+" from it")
	}
	return value
}

// notToken reports whether r must not be in a token (RFC 9110 section 5.6.2).
func notToken(r rune) bool {
	return !isWord(r) && !strings.ContainsRune("!#$%&'*+-.^`|~", r)
}

// headerFields decodes an object of header fields that is not inherited.
func (o object) headerFields(key string) []Header {
	s := headerSet{place: logformat.OnRequest, first: map[string]string{}}
	o.put(key, &s)
	return s.list
}

// headerEdits decodes "request_headers", together with "headers", or
// "response_headers". Inner levels replace outer ones and, within one object,
// "set" replaces what is in "headers".
func (o object) headerEdits(key string) (e HeaderEdits) {
	if !o.says(key) && (key != "request_headers" || !o.says("headers")) {
		return e
	}
	place := logformat.ToClient
	if key == "request_headers" {
		place = logformat.ToHost
	}
	set, add := headerSet{place: place}, headerSet{place: place}
	for _, level := range o.levels(key) {
		set.first, add.first = map[string]string{}, map[string]string{}
		if key == "request_headers" {
			set.place = logformat.Kroxy
			level.put("headers", &set)
			set.place = place
		}
		if m := level.node.get(key); m != nil && m.value.kind == kindNull && level.inherited(key) != nil {
			set.clear()
			add.clear()
			e.Remove = nil
			continue
		}
		if edits, ok := level.edits(key); ok {
			edits.put("set", &set)
			edits.put("add", &add)
			edits.removals(&e)
		}
	}
	e.Set, e.Add = set.list, add.list
	return e
}

// levels returns o and the objects that it inherits a key from, from the outermost level inward.
func (o object) levels(key string) []object {
	list := []object{o}
	k := o.place.key(key)
	for from := o.outer; from != nil && from.place.has(k); from = from.outer {
		list = append(list, *from)
	}
	slices.Reverse(list)
	return list
}

// put adds the fields of the object key in o alone to s. Null clears s.
func (o object) put(key string, s *headerSet) {
	if m := o.node.get(key); m != nil && m.value.kind == kindNull && len(s.list) > 0 {
		s.clear()
		return
	}
	o.outer = nil
	o.merged(key, headersExample, func(m *member, path string) { s.put(o, m, path, s.place) })
}

// edits returns the object key in o alone.
func (o object) edits(key string) (object, bool) {
	m := o.node.get(key)
	if m == nil {
		return object{}, false
	}
	e, ok := o.object(&m.value, keyPath(o.path, key), ofEdits, editsExample)
	if ok {
		e.unknown()
	}
	return e, ok
}

// removals decodes "remove"; inner levels replace outer ones.
func (o object) removals(e *HeaderEdits) {
	n, path := o.child("remove")
	if n == nil {
		return
	}
	e.Remove = nil
	if n.kind == kindNull {
		return
	}
	o.texts(n, path, `["X-Debug"]`, func(n *node, path, s string) {
		switch {
		case s == "" || strings.IndexFunc(s, notToken) >= 0:
			o.fail(n, path, quote(s)+" is not a header field name", headerNameRemedy)
		case Frames(s):
			what, remedy := framingProblem(s)
			o.fail(n, path, what, remedy)
		}
		e.Remove = append(e.Remove, s)
	})
}
