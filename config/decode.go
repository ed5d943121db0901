package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"
)

// decoder collects what is wrong while nodes become values. A value that is
// wrong decodes to its default, so that decoding goes on.
type decoder struct {
	mode             Mode
	errors, warnings []Problem

	open func(path string) pemFile // reads a file that the document names
	read map[string]pemFile        // what open has answered
	now  time.Time                 // certificates should be valid then; zero: whenever

	certificates []Certificate
}

func (d *decoder) failAt(pos position, path, what, remedy string) {
	d.errors = append(d.errors, Problem{Line: pos.line, Column: pos.column, Path: path, What: what, Remedy: remedy})
}

func (d *decoder) fail(n *node, path, what, remedy string) { d.failAt(n.pos, path, what, remedy) }

func (d *decoder) warn(pos position, path, what, remedy string) {
	d.warnings = append(d.warnings, Problem{Line: pos.line, Column: pos.column, Path: path, What: what, Remedy: remedy})
}

// object is an object being decoded and where it is.
type object struct {
	*decoder
	node  *node
	path  string
	place *place // nil where any key may be
}

// object returns n as an object, or reports that it should be one like example.
func (d *decoder) object(n *node, path string, p *place, example string) (object, bool) {
	if n.kind != kindObject {
		d.fail(n, path, "must be an object, not "+n.describe(), "write "+example)
		return object{}, false
	}
	return object{decoder: d, node: n, path: path, place: p}, true
}

// unknown reports the keys that nothing reads: a warning, but an error if one
// looks like security or the object is none that existing files have.
func (o object) unknown() {
	known := map[string]bool{}
	for _, k := range o.place.keys {
		known[k] = true
	}
	for i := range o.node.members {
		m := &o.node.members[i]
		if known[m.key] {
			continue
		}
		path := keyPath(o.path, m.key)
		secure := meansSecure(m.key)
		if !secure && !isComment(m.key) && !holdsHeaders(m.key) {
			o.unread(&m.value, path)
		}
		report := o.warn
		if secure || o.place.strict {
			report = o.failAt
		}
		what, remedy := unknownKey(o.place, o.mode, m.key, secure)
		report(m.pos, path, what, remedy)
	}
}

// child returns the value of key, or nil, and its path.
func (o object) child(key string) (*node, string) {
	path := keyPath(o.path, key)
	if m := o.node.get(key); m != nil {
		return &m.value, path
	}
	return nil, path
}

// require reports that key is missing or, being a string, empty.
func (o object) require(key, why, example string) bool {
	n, path := o.child(key)
	if why != "" {
		why = ", and " + why
	}
	switch {
	case n == nil:
		o.fail(o.node, path, "it is missing"+why, "add "+quote(key)+": "+example)
	case n.kind == kindString && text(n.raw) == "":
		o.fail(n, path, "it is empty"+why, "write "+example)
	default:
		return true
	}
	return false
}

// text decodes an optional string; "" when absent.
func (o object) text(key string) string {
	if n, path := o.child(key); n != nil {
		return o.str(n, path)
	}
	return ""
}

func (d *decoder) str(n *node, path string) string {
	if n.kind == kindString {
		return text(n.raw)
	}
	remedy := "write a string in double quotes"
	switch n.kind {
	case kindNumber, kindBool:
		remedy = "put it in double quotes: " + quote(string(n.raw))
	}
	d.fail(n, path, "must be a string, not "+n.describe(), remedy)
	return ""
}

// boolean decodes an optional boolean, false when absent.
func (o object) boolean(key string) bool { return o.booleanOr(key, false) }

// booleanOr decodes an optional boolean.
func (o object) booleanOr(key string, fallback bool) bool {
	n, path := o.child(key)
	if n == nil {
		return fallback
	}
	if n.kind == kindBool {
		var b bool
		// The scanner lets only true and false through as a kindBool.
		_ = json.Unmarshal(n.raw, &b)
		return b
	}
	remedy := "write true or false"
	switch strings.Trim(string(n.raw), `"`) {
	case "true", "1":
		remedy = "write true, without quotes"
	case "false", "0":
		remedy = "write false, without quotes"
	case "null":
		remedy = "remove the key, or write true or false"
	}
	o.fail(n, path, "must be true or false, not "+n.describe(), remedy)
	return fallback
}

// bounds are what an integer may be. All are within 18 digits.
type bounds struct {
	low, high int64
	fallback  int64  // when absent or wrong
	remedy    string // how to write it
}

// required is the fallback where absence is an error, reported by the caller.
const required = 0

func portRange(fallback int64) bounds {
	return bounds{1, math.MaxUint16, fallback, "write a port from 1 to 65535"}
}

func (o object) integer(key string, b bounds) int64 {
	n, path := o.child(key)
	if n == nil {
		return b.fallback
	}
	if n.kind != kindNumber || strings.ContainsAny(string(n.raw), ".eE") {
		o.fail(n, path, "must be a whole number, not "+n.describe(), b.rewrite(n))
		return b.fallback
	}
	raw := string(n.raw)
	v := int64(math.MaxInt64)
	if digits := strings.TrimPrefix(raw, "-"); len(digits) <= 18 {
		// An integer of at most 18 digits always fits.
		_ = json.Unmarshal(n.raw, &v)
	} else if digits != raw {
		v = math.MinInt64
	}
	if v >= b.low && v <= b.high {
		return v
	}
	what := fmt.Sprintf("%s is outside %d-%d", shorten(raw, 40), b.low, b.high)
	if v < 0 && b.low == 0 {
		what = shorten(raw, 40) + " is negative"
	}
	o.fail(n, path, what, b.remedy)
	return b.fallback
}

// rewrite is the remedy for a value that is not an integer: the integer that
// was meant, where that is clear.
func (b bounds) rewrite(n *node) string {
	literal := string(n.raw)
	how := "without a fraction or an exponent"
	switch n.kind {
	case kindString:
		literal, how = text(n.raw), "without quotes"
	case kindNumber:
	case kindNull:
		if b.fallback < b.low {
			return b.remedy
		}
		return fmt.Sprintf("remove the key to have the default, %d", b.fallback)
	default:
		return b.remedy
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || f != math.Trunc(f) || f < float64(b.low) || f > float64(b.high) {
		return b.remedy
	}
	return fmt.Sprintf("write %d, %s", int64(f), how)
}

func (o object) millis(key string, fallback int64) time.Duration {
	remedy := fmt.Sprintf("write whole milliseconds, such as %d, or 0 for no limit", fallback)
	if key == "shutdown_timeout" {
		remedy = fmt.Sprintf("write whole milliseconds, such as %d, or 0 to end sessions at once", fallback)
	}
	return time.Duration(o.integer(key, bounds{0, MaxTimeout.Milliseconds(), fallback, remedy})) * time.Millisecond
}
