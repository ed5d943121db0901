package logformat

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// WordJSON is the format string that selects the JSON form.
const WordJSON = "json"

// Field is one member of the objects of a custom JSON format. Its value is a format string. If that consists of a single
// variable, the value is a number if the variable is numeric, and null if the variable is missing; otherwise it is a string.
type Field struct{ Name, Format string }

// Format is a compiled format. It is immutable and may be shared.
type Format struct {
	parts []part
	need  Need
	sent  []string // names of response fields
	json  bool
}

// part is a piece of a line. It is literal text if v is nil.
type part struct {
	v     *variable
	write func(v *variable, dst []byte, r *Record) []byte
	text  string
}

// Compile compiles a format string for a mode. A variable is "$" and its name, see [Variables]. Other text is copied unchanged,
// including control bytes: the operator chose the format. The word "json" selects an object with all variables of the mode. The
// error names every unknown variable.
func Compile(format string, m Mode) (*Format, error) {
	if format == WordJSON {
		var fields []Field
		for _, name := range Members(m) {
			fields = append(fields, Field{name, "$" + name})
		}
		return CompileFields(fields, m)
	}
	c := compiler{mode: m}
	c.add(format, (*variable).appendText, asItIs)
	return c.done()
}

// CompileFields compiles a format whose lines are objects with the given members, in this order.
func CompileFields(fields []Field, m Mode) (*Format, error) {
	c := compiler{mode: m}
	c.f.json = true
	escape := func(text string) string { return string(appendJSON(nil, text)) }
	between := "{"
	for _, field := range fields {
		c.text(between + `"` + escape(field.Name) + `":`)
		if name, ok := strings.CutPrefix(field.Format, "$"); ok && find(name, m) != nil {
			c.variable(name, (*variable).appendJSONValue)
		} else {
			c.text(`"`)
			c.add(field.Format, (*variable).appendInJSON, escape)
			c.text(`"`)
		}
		between = ","
	}
	if len(fields) == 0 {
		c.text(between)
	}
	c.text("}")
	return c.done()
}

func asItIs(text string) string { return text }

// compiler collects the parts of a format.
type compiler struct {
	f       Format
	mode    Mode
	unknown []string
}

// add adds a format string. Write appends its variables, and escape converts its literal text.
func (c *compiler) add(format string, write func(*variable, []byte, *Record) []byte, escape func(string) string) {
	text := 0 // start of the current literal
	for from, to := range Variables(format) {
		c.text(escape(format[text:from]))
		c.variable(format[from+1:to], write)
		text = to
	}
	c.text(escape(format[text:]))
}

func (c *compiler) variable(name string, write func(*variable, []byte, *Record) []byte) {
	if v := find(name, c.mode); v != nil {
		c.f.parts = append(c.f.parts, part{v: v, write: write})
		c.f.need |= v.need
		low, sent := strings.CutPrefix(name, "sent_http_")
		if sent = sent || name == "grpc_status"; sent && !slices.Contains(c.f.sent, fieldName(low)) {
			c.f.sent = append(c.f.sent, fieldName(low))
		}
	} else if !slices.Contains(c.unknown, "$"+name) {
		c.unknown = append(c.unknown, "$"+name)
	}
}

// text adds literal text, and merges it with a preceding literal.
func (c *compiler) text(text string) {
	if text == "" {
		return
	}
	if last := len(c.f.parts) - 1; last >= 0 && c.f.parts[last].v == nil {
		c.f.parts[last].text += text
		return
	}
	c.f.parts = append(c.f.parts, part{text: text})
}

func (c *compiler) done() (*Format, error) {
	if c.unknown != nil {
		return nil, fmt.Errorf("logformat: unknown %s; %s mode knows $%s",
			strings.Join(c.unknown, ", "), c.mode, strings.Join(Names(c.mode), ", $"))
	}
	return &c.f, nil
}

// Variables yields, for each variable in a format string, known or unknown, the position of its "$" and the end of its name. A
// name is the longest run of ASCII letters, digits and underscores if that names a variable of any place; otherwise it is the
// longest run of letters and underscores, since text may follow a name directly. A "$" without such a run stands for itself. A
// family such as "http_NAME" does not take precedence over a variable with a name of its own: "http_user_agent2" is
// $http_user_agent and "2".
func Variables(format string) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(format); {
			if format[from] != '$' {
				from++
				continue
			}
			to, digits := from+1, false
			for to < len(format) && (isLetter(format[to]) || isDigit(format[to])) {
				digits = digits || isDigit(format[to])
				to++
			}
			if digits {
				run := format[from+1 : to]
				letters := run[:strings.IndexAny(run, "0123456789")]
				if lookUp(run, everywhere) == nil && (lookUp(letters, everywhere) != nil || find(run, everywhere) == nil) {
					to = from + 1 + len(letters)
				}
			}
			if to > from+1 && !yield(from, to) {
				return
			}
			from = to
		}
	}
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// Needs reports whether lines need any of n.
func (f *Format) Needs(n Need) bool { return f.need&n != 0 }

// SentFields returns the names, in lower case, of the response fields that lines contain. The caller must not change it.
func (f *Format) SentFields() []string { return f.sent }

// JSON reports whether a line is an object. Nothing may precede it in the line.
func (f *Format) JSON() bool { return f.json }

// Append appends the expanded format to dst, without a newline. Bytes from peers are escaped, so that they cannot end a line or
// a quoted string. It allocates only to grow dst.
func (f *Format) Append(dst []byte, r *Record) []byte {
	for i := range f.parts {
		if p := &f.parts[i]; p.v == nil {
			dst = append(dst, p.text...)
		} else {
			dst = p.write(p.v, dst, r)
		}
	}
	return dst
}
