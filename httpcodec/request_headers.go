package httpcodec

import (
	"fmt"
	"slices"
	"strings"
)

// Header is a field that is set on every request sent to a host, in place of the client's fields of that name, and of names that
// hosts may take for it: letter case does not count, nor does which separators a name has, as in "X_Real-IP".
type Header struct {
	Name  string // a token
	Value string // in it "$host" is the host's name, "$addr" the client's address, "$request_id" the request's ID
}

// Headers are compiled, and safe for use by several loops at once. A nil *Headers is none.
type Headers struct {
	list    []header
	lengths uint64 // bit n: there is a name of n bytes, modulo 64
	ids     uint32 // bit n: there is a field with that fieldID
	idUsed  bool   // "$request_id" is in a value
}

type header struct {
	id     fieldID
	prefix string // "Name: "
	like   string // the name, for equalAlike
	parts  []part
}

// part is a piece of a value: text, or what a variable stands for.
type part struct {
	text     string
	variable string
}

// CompileHeaders makes Headers of list. Letter case of names does not count, and the last of a name wins. Fields that
// describe one connection or a message's framing (and Expect, which is of both) are the proxy's business: they are left
// out. An error says which header cannot be sent.
func CompileHeaders(list []Header) (*Headers, error) {
	h := &Headers{}
	for _, l := range list {
		if !validToken([]byte(l.Name)) {
			return nil, fmt.Errorf("httpcodec: header %q: the name is no token", l.Name)
		}
		if value := []byte(l.Value); valueEnd(value, 0) != len(value) {
			return nil, fmt.Errorf("httpcodec: header %q: a control character in the value", l.Name)
		}
		id := identify([]byte(l.Name))
		if id == fieldIdentityAlias {
			id = identifyAlike([]byte(l.Name))
		}
		if id > fieldOwn || id == fieldTrailer || id == fieldExpect {
			continue
		}
		c := header{id, l.Name + ": ", lowAlike(l.Name), compileParts(strings.Trim(l.Value, " \t"))}
		if i := h.index(l.Name); i >= 0 {
			h.list[i] = c
			continue
		}
		h.list = append(h.list, c)
		h.lengths |= 1 << (len(l.Name) % 64)
		if id != fieldOther {
			h.ids |= 1 << id
		}
	}
	h.idUsed = slices.ContainsFunc(h.list, func(l header) bool {
		return slices.ContainsFunc(l.parts, func(p part) bool { return p.variable == varRequestID })
	})
	return h, nil
}

func compileParts(value string) (parts []part) {
	for value != "" {
		i, variable := nextVariable(value)
		parts = append(parts, part{value[:i], variable})
		value = value[i+len(variable):]
	}
	return parts
}

// nextVariable finds the first variable in value; without one i is the length of value.
func nextVariable(value string) (i int, variable string) {
	for i = range len(value) {
		for _, v := range [...]string{"$host", "$addr", varRequestID} {
			if strings.HasPrefix(value[i:], v) {
				return i, v
			}
		}
	}
	return len(value), ""
}

const varRequestID = "$request_id"

// needsRequestID reports whether a value has the request's ID in it.
func (h *Headers) needsRequestID() bool { return h != nil && h.idUsed }

func (h *Headers) index(name string) int {
	for i := range h.list {
		if strings.EqualFold(h.list[i].prefix, name+": ") {
			return i
		}
	}
	return -1
}

// has reports whether readers may take name for one of h.
func (h *Headers) has(name []byte) bool {
	if h == nil || h.lengths>>(len(name)%64)&1 == 0 {
		return false
	}
	for i := range h.list {
		if equalAlike(name, h.list[i].like) {
			return true
		}
	}
	return false
}

func (h *Headers) hasID(id fieldID) bool { return h != nil && h.ids>>id&1 != 0 }

// append writes the field lines but for Host.
func (h *Headers) append(dst []byte, w *Rewrite) []byte {
	if h == nil {
		return dst
	}
	for i := range h.list {
		if h.list[i].id != fieldHost {
			dst = h.list[i].append(dst, w)
		}
	}
	return dst
}

// appendHost writes the Host line; there must be one.
func (h *Headers) appendHost(dst []byte, w *Rewrite) []byte {
	for i := range h.list {
		if h.list[i].id == fieldHost {
			dst = h.list[i].append(dst, w)
		}
	}
	return dst
}

func (h *header) append(dst []byte, w *Rewrite) []byte {
	dst = append(dst, h.prefix...)
	for _, p := range h.parts {
		dst = append(dst, p.text...)
		switch p.variable {
		case "$host":
			dst = append(dst, w.HostName...)
		case "$addr":
			dst = append(dst, w.ClientAddr...)
		case varRequestID:
			dst = append(dst, w.RequestID...)
		}
	}
	return append(dst, "\r\n"...)
}
