package logformat

import (
	"fmt"
	"strings"
)

// Template is a compiled text with variables for use outside a log: a header field, a redirect's target, a body. It is
// immutable and may be shared.
//
// A value with a byte that is not allowed in a field value (RFC 9110 section 5.5) counts as missing, so a peer cannot put CR,
// LF or NUL into a head. The whole value is omitted: without the bad bytes it might be mistaken for another value
// ("adm\x00in"). Refusing the request is not an option, since values from a response are known only long after the request was
// accepted. Values that have passed the scan of a head have no such bytes; the name in a TLS hello may.
type Template struct {
	parts []part
	need  Need
}

// CompileTemplate compiles text for a single place other than a log. Unknown variables are an error, which names all of them.
// In Kroxy's "headers", however, an unknown variable stands for itself, as in Kroxy, and text may directly follow $host, $addr
// and $request_id ("$hostname").
func CompileTemplate(text string, place Mode) (*Template, error) {
	c := compiler{mode: place}
	if place == Kroxy {
		c.addKnown(text)
	} else {
		c.add(text, (*variable).appendValue, asItIs)
	}
	if c.unknown != nil {
		return nil, fmt.Errorf("logformat: unknown %s; known here are $%s", strings.Join(c.unknown, ", "), strings.Join(Names(place), ", $"))
	}
	return &Template{c.f.parts, c.f.need}, nil
}

// addKnown adds text in which anything but a known variable is literal.
func (c *compiler) addKnown(text string) {
	for text != "" {
		from := strings.IndexByte(text, '$')
		if from < 0 {
			break
		}
		name := knownAt(text[from+1:], c.mode)
		if name == "" {
			c.text(text[:from+1])
		} else {
			c.text(text[:from])
			c.variable(name, (*variable).appendValue)
		}
		text = text[from+1+len(name):]
	}
	c.text(text)
}

// knownAt returns the name of the variable at the beginning of text; "" if there is none.
func knownAt(text string, m Mode) string {
	end := 0
	for end < len(text) && (isLetter(text[end]) || isDigit(text[end])) {
		end++
	}
	if find(text[:end], m) != nil {
		return text[:end]
	}
	for _, name := range [...]string{"host", "addr", "request_id"} {
		if strings.HasPrefix(text, name) {
			return name
		}
	}
	return ""
}

// Append appends the expanded text to dst. It allocates only to grow dst.
func (t *Template) Append(dst []byte, r *Record) []byte {
	for i := range t.parts {
		if p := &t.parts[i]; p.v == nil {
			dst = append(dst, p.text...)
		} else {
			dst = p.write(p.v, dst, r)
		}
	}
	return dst
}

// Need returns what a record must have.
func (t *Template) Need() Need { return t.need }

// Has reports whether the text has the given variable.
func (t *Template) Has(name string) bool {
	for i := range t.parts {
		if v := t.parts[i].v; v != nil && v.name == name {
			return true
		}
	}
	return false
}

// Fixed reports whether the text has no variables.
func (t *Template) Fixed() bool { return len(t.parts) == 0 || len(t.parts) == 1 && t.parts[0].v == nil }

// appendValue appends a value for a template.
func (v *variable) appendValue(dst []byte, r *Record) []byte {
	before := len(dst)
	switch {
	case v.bytes != nil:
		dst = append(dst, v.bytes(r)...)
	case v.word != nil:
		dst = append(dst, v.word(r)...)
	default:
		dst = v.appendSafe(dst, r, "ms")
	}
	for _, c := range dst[before:] {
		if c < ' ' && c != '\t' || c == 0x7f {
			return dst[:before]
		}
	}
	return dst
}
