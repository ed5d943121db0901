package trace

import (
	"bytes"
	"encoding/hex"
)

// ID identifies a trace. Zero means none.
type ID [16]byte

// SpanID identifies a span of a trace. Zero means none.
type SpanID [8]byte

// Context is a position in a trace: a span, which is the parent of new spans.
type Context struct {
	Trace   ID
	Span    SpanID
	Sampled bool // its spans are recorded
}

const (
	contextLen  = 55 // length of a traceparent of version 00: "00-", 32 digits, "-", 16 digits, "-", 2 digits
	flagSampled = 1
)

// Parse parses the value of a traceparent field (W3C Trace Context section 3.2). It returns false if the value is invalid; a new trace must
// then begin. Of later versions it reads the parts that version 00 has.
func Parse(s []byte) (c Context, ok bool) {
	if len(s) < contextLen || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return c, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s[:2]) || !unhex(c.Trace[:], s[3:35]) || !unhex(c.Span[:], s[36:52]) || !unhex(flags[:], s[53:55]) {
		return Context{}, false
	}
	switch {
	case version[0] == 0xff, c.Trace == ID{}, c.Span == SpanID{}:
		return Context{}, false
	case version[0] == 0 && len(s) > contextLen, len(s) > contextLen && s[contextLen] != '-':
		return Context{}, false
	}
	c.Sampled = flags[0]&flagSampled != 0
	return c, true
}

// unhex decodes hexadecimal digits; letters must be lower-case.
func unhex(dst, src []byte) bool {
	for _, c := range src {
		if 'A' <= c && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, src)
	return err == nil
}

// Append appends c as the value of a traceparent field.
func (c *Context) Append(dst []byte) []byte {
	dst = hex.AppendEncode(append(dst, "00-"...), c.Trace[:])
	dst = hex.AppendEncode(append(dst, '-'), c.Span[:])
	if c.Sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}

// maxMembers is the maximum number of members of a tracestate (section 3.3.1.1), over all fields of that name.
const maxMembers = 32

// State validates the values of a message's tracestate fields. The zero value has seen none.
type State struct {
	members int
	bad     bool
}

// Add checks one value.
func (s *State) Add(value []byte) {
	for more := true; more; {
		var member []byte
		member, value, more = bytes.Cut(value, comma)
		if member = bytes.Trim(member, " \t"); len(member) == 0 {
			continue
		}
		s.members++
		s.bad = s.bad || !isMember(member)
	}
}

// Valid reports whether the values may be forwarded.
func (s *State) Valid() bool { return !s.bad && s.members <= maxMembers }

var comma, equals = []byte(","), []byte("=")

// isMember reports whether m is a valid key and value (section 3.3.1.3).
func isMember(m []byte) bool {
	key, value, ok := bytes.Cut(m, equals)
	if !ok || len(value) == 0 || len(value) > 256 {
		return false
	}
	for _, c := range value {
		if c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	tenant, system, several := bytes.Cut(key, at)
	if !several {
		return isKey(key, 256, false)
	}
	return isKey(tenant, 241, true) && isKey(system, 14, false)
}

var at = []byte("@")

func isKey(k []byte, most int, digit bool) bool {
	if len(k) == 0 || len(k) > most {
		return false
	}
	for i, c := range k {
		letter, number := 'a' <= c && c <= 'z', '0' <= c && c <= '9'
		switch {
		case letter, number && (i > 0 || digit):
		case i > 0 && (c == '_' || c == '-' || c == '*' || c == '/'):
		default:
			return false
		}
	}
	return true
}
