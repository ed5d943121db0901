package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kroxy-ev/logformat"
)

// form is the type of a key's value.
type form interface {
	// decode returns the value of n, which is at path in o. If n is invalid, decode
	// reports that and returns the default.
	decode(o object, n *node, path string) any
	// fallback returns the default, in the type that decode returns.
	fallback() any
	// spell returns the default for people, in Markdown.
	spell() string
	// schema returns the JSON Schema of valid values, for servers of these modes.
	schema(m modes) schema
}

// custom is a form that has its own decoder elsewhere.
type custom struct {
	written string // the default, for people
	values  func(m modes) schema
}

func (c custom) decode(object, *node, string) any { return nil }
func (c custom) fallback() any                    { return nil }
func (c custom) spell() string                    { return c.written }
func (c custom) schema(m modes) schema            { return c.values(m) }

// textual is a string.
type textual struct{ written string }

func (t textual) decode(o object, n *node, path string) any { return o.str(n, path) }
func (t textual) fallback() any                             { return "" }
func (t textual) spell() string                             { return t.written }
func (t textual) schema(modes) schema                       { return schema{"type": "string"} }

func (d *decoder) str(n *node, path string) string {
	if n.kind == kindString {
		return n.text()
	}
	remedy := "write a string in double quotes"
	switch n.kind {
	case kindNumber, kindBool:
		remedy = "put it in double quotes: " + quote(string(n.raw))
	}
	d.fail(n, path, "must be a string, not "+n.describe(), remedy)
	return ""
}

// isTrue reports whether n is a boolean (is) and its value (yes).
func isTrue(n *node) (yes, is bool) {
	word := n.literal()
	return word == "true", n.kind == kindBool || n.fromEnv() && slices.Contains([]string{"true", "false"}, word)
}

// boolean is true or false.
type boolean struct{ usual bool }

func (b boolean) fallback() any { return b.usual }
func (b boolean) spell() string { return strconv.FormatBool(b.usual) }
func (b boolean) schema(modes) schema {
	return anyOf(schema{"type": "boolean"}, schema{"type": "string", "pattern": reference})
}

func (b boolean) decode(o object, n *node, path string) any {
	if yes, is := isTrue(n); is {
		return yes
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
	return b.usual
}

// integer is a whole number. Its bounds have at most 18 digits.
type integer struct {
	low, high int64
	usual     int64  // the default; below low if there is none
	remedy    string // how to write it
	written   string // the default for people, if not usual
}

func portForm(usual int64) integer {
	return integer{1, math.MaxUint16, usual, "write a port from 1 to 65535", ""}
}

func (i integer) fallback() any { return i.usual }

func (i integer) spell() string {
	switch {
	case i.written != "":
		return i.written
	case i.usual < i.low:
		return "required"
	default:
		return strconv.FormatInt(i.usual, 10)
	}
}

func (i integer) schema(modes) schema {
	return anyOf(i.number(), schema{"type": "string", "pattern": reference})
}

func (i integer) number() schema {
	return schema{"type": "integer", "minimum": i.low, "maximum": i.high}
}

func (i integer) decode(o object, n *node, path string) any {
	if v, ok := i.parse(o, n, path); ok {
		return v
	}
	return i.usual
}

// parse returns the integer in n, or reports what is wrong with it.
func (i integer) parse(o object, n *node, path string) (v int64, ok bool) {
	raw := n.literal()
	if n.kind != kindNumber && !n.fromEnv() || !isInteger(raw) {
		o.fail(n, path, "must be a whole number, not "+n.describe(), i.rewrite(n))
		return 0, false
	}
	v = math.MaxInt64
	if digits := strings.TrimPrefix(raw, "-"); len(digits) <= 18 {
		v, _ = strconv.ParseInt(raw, 10, 64) // an integer of at most 18 digits always fits
	} else if digits != raw {
		v = math.MinInt64
	}
	if v >= i.low && v <= i.high {
		return v, true
	}
	what := fmt.Sprintf("%s is outside %d-%d", shorten(raw, 40), i.low, i.high)
	if v < 0 && i.low == 0 {
		what = shorten(raw, 40) + " is negative"
	}
	o.fail(n, path, what, i.remedy)
	return 0, false
}

// isInteger reports whether s is a number without fraction and exponent.
func isInteger(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// rewrite returns the remedy for a value that is not an integer: the intended
// integer, if that is clear.
func (i integer) rewrite(n *node) string {
	literal := n.literal()
	how := "without a fraction or an exponent"
	switch n.kind {
	case kindString:
		how = "without quotes"
	case kindNumber:
	case kindNull:
		if i.usual < i.low {
			return i.remedy
		}
		return fmt.Sprintf("remove the key to have the default, %d", i.usual)
	default:
		return i.remedy
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || f != math.Trunc(f) || f < float64(i.low) || f > float64(i.high) {
		return i.remedy
	}
	return fmt.Sprintf("write %d, %s", int64(f), how)
}

// duration is a time: whole milliseconds, or text with a unit.
type duration struct {
	usual   int64  // default in milliseconds
	zero    string // meaning of 0, if low allows it
	low     int64  // lower bound in milliseconds
	such    int64  // an example, if there is no default
	written string // the default for people, if not usual
}

func (t duration) fallback() any { return time.Duration(t.usual) * time.Millisecond }

func (t duration) spell() string {
	switch {
	case t.written != "":
		return t.written
	case t.usual == 0:
		return "0: " + strings.TrimPrefix(t.zero, "for ")
	default:
		return strconv.FormatInt(t.usual, 10)
	}
}

func (t duration) schema(modes) schema {
	return anyOf(integer{low: t.low, high: MaxTimeout.Milliseconds()}.number(), schema{"type": "string", "pattern": reference + `|^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ms|s|m|h))+$`})
}

func (t duration) remedy() string {
	such := cmp.Or(t.usual, t.such, 60000)
	if t.low > 0 {
		return fmt.Sprintf(`write whole milliseconds, such as %d, or a time with a unit, such as "1.5s"`, such)
	}
	return fmt.Sprintf(`write whole milliseconds, such as %d, a time with a unit, such as "1.5s", or 0 %s`, such, t.zero)
}

func (t duration) decode(o object, n *node, path string) any {
	var d time.Duration
	var what string
	if n.kind != kindString || isInteger(n.text()) {
		v, ok := integer{0, MaxTimeout.Milliseconds(), t.usual, t.remedy(), ""}.parse(o, n, path)
		if !ok {
			return t.fallback()
		}
		d = time.Duration(v) * time.Millisecond
	} else {
		d, what = parseDuration(n.text())
	}
	if least := time.Duration(t.low) * time.Millisecond; what == "" && d < least {
		what = d.String() + " is less than " + least.String()
	}
	if what != "" {
		o.fail(n, path, what, t.remedy())
		return t.fallback()
	}
	return d
}

// wholeDuration matches times with units, even if they are too long.
var wholeDuration = regexp.MustCompile(`^([0-9]+(\.[0-9]*)?(ms|s|m|h))+$`)

// parseDuration parses a time with a unit, or returns what is wrong with it.
func parseDuration(s string) (d time.Duration, what string) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && wholeDuration.MatchString(s):
		return 0, quote(s) + " is longer than 100 years"
	case err != nil || strings.ContainsAny(s, "nuµμ+"):
		return 0, quote(s) + ` is not a time; the units are "ms", "s", "m" and "h"`
	case d < 0:
		return 0, quote(s) + " is negative"
	case d > MaxTimeout:
		return 0, quote(s) + " is longer than 100 years"
	case d > 0 && d < time.Millisecond:
		return 0, quote(s) + " is less than a millisecond"
	}
	return d.Truncate(time.Millisecond), ""
}

// size is a number of bytes, or text with a unit.
type size struct {
	usual, low, high int64
	remedy           string
	written          string
}

// maxSize bounds sizes, so that they fit into both integers and floating-point numbers.
const maxSize = 1e18 - 1

func (s size) fallback() any { return s.usual }
func (s size) spell() string { return s.written }

func (s size) bytes() integer { return integer{s.low, s.high, s.usual, s.remedy, ""} }

func (s size) schema(modes) schema {
	return anyOf(s.bytes().number(), schema{"type": "string", "pattern": reference + `|^([0-9]+(\.[0-9]+)?)([kKMGT]i?B|B)$`})
}

// units are the units of sizes.
var units = map[string]float64{
	"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "kiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

func (s size) decode(o object, n *node, path string) any {
	if n.kind != kindString || isInteger(n.text()) {
		return s.bytes().decode(o, n, path)
	}
	t := n.text()
	number := strings.TrimRight(t, "kKMGTiB")
	unit, known := units[t[len(number):]]
	f, err := strconv.ParseFloat(number, 64)
	if !known || err != nil || strings.Trim(number, "0123456789.") != "" || f*unit > maxSize {
		o.fail(n, path, quote(t)+` is not a size; the units are "KB", "MB", "GB", and "KiB", "MiB", "GiB"`, s.remedy)
		return s.usual
	}
	switch bytes := f * unit; {
	case bytes > float64(s.high):
		o.fail(n, path, quote(t)+" is more than "+strconv.FormatInt(s.high, 10)+" bytes", s.remedy)
		return s.usual
	case bytes < float64(s.low):
		o.fail(n, path, quote(t)+" is less than "+strconv.FormatInt(s.low, 10)+" bytes", s.remedy)
		return s.usual
	}
	return int64(f * unit)
}

// share is a fraction: a number from 0 to 1.
type share struct {
	usual   float64
	written string // the default for people, if not usual
}

func (s share) fallback() any { return s.usual }
func (s share) spell() string { return cmp.Or(s.written, strconv.FormatFloat(s.usual, 'g', -1, 64)) }

func (s share) schema(modes) schema {
	return anyOf(schema{"type": "number", "minimum": 0, "maximum": 1}, schema{"type": "string", "pattern": reference})
}

func (s share) decode(o object, n *node, path string) any {
	const remedy = "write a number from 0 to 1, such as 0.01 for one in a hundred"
	f, err := strconv.ParseFloat(n.literal(), 64)
	switch {
	case n.kind != kindNumber && !n.fromEnv() || err != nil:
		o.fail(n, path, "must be a number, not "+n.describe(), remedy)
	case f < 0 || f > 1:
		o.fail(n, path, shorten(n.literal(), 40)+" is outside 0-1", remedy)
	default:
		return f
	}
	return s.usual
}

// choice is one of several words; a missing key and "" mean the default.
type choice struct {
	words  []string
	usual  string
	noun   string // for "unknown ..."
	remedy string // how to write it, if not one of words
	guess  bool   // suggest the nearest word for a misspelt one
}

func (c choice) fallback() any       { return c.usual }
func (c choice) schema(modes) schema { return schema{"enum": append(slices.Clip(c.words), "")} }

func (c choice) spell() string {
	if c.usual == "" {
		return "none"
	}
	return "`" + c.usual + "`"
}

func (c choice) decode(o object, n *node, path string) any {
	remedy := c.remedy
	if remedy == "" {
		remedy = "write " + list(c.words)
	}
	if n.kind != kindString && !slices.Contains(c.words, n.literal()) {
		o.fail(n, path, "must be a string, not "+n.describe(), remedy)
		return c.usual
	}
	name := o.str(n, path)
	if name == "" || slices.Contains(c.words, name) {
		if name == "" {
			return c.usual
		}
		return name
	}
	if c.guess {
		if near := nearest(name, c.words); near != nil {
			remedy = didYouMean(near)
		}
		for _, w := range c.words {
			if strings.HasPrefix(strings.ToLower(name), w) { // such as "warning"
				remedy = didYouMean([]string{w})
			}
		}
	}
	o.fail(n, path, "unknown "+c.noun+" "+quote(name), remedy)
	return c.usual
}

// setHost says whether Host names the upstream host.
type setHost struct{ choice }

func (s setHost) fallback() any { return false }

func (s setHost) decode(o object, n *node, path string) any {
	return s.choice.decode(o, n, path).(string) == "upstream"
}

// jsonOrText says whether lines are JSON.
type jsonOrText struct{ choice }

func (j jsonOrText) fallback() any { return false }

func (j jsonOrText) decode(o object, n *node, path string) any {
	return j.choice.decode(o, n, path).(string) == "json"
}

// LogLevels are the values of log_level, the least verbose first.
var LogLevels = []string{"error", "warn", "info", "debug"}

// logLevel is the level of the error log.
type logLevel struct{ choice }

func (l logLevel) fallback() any { return slog.LevelInfo }

func (l logLevel) decode(o object, n *node, path string) any {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.choice.decode(o, n, path).(string))) // slog knows all words
	return level
}

// keepalive is the number of idle connections, or "auto".
type keepalive struct{ integer }

func (k keepalive) fallback() any { return int64(KeepaliveAuto) }
func (k keepalive) spell() string { return "`\"auto\"`" }
func (k keepalive) schema(modes) schema {
	return anyOf(schema{"const": "auto"}, k.integer.schema(inBoth))
}

func (k keepalive) decode(o object, n *node, path string) any {
	if n.kind == kindString && n.text() == "auto" {
		return int64(KeepaliveAuto)
	}
	return k.integer.decode(o, n, path)
}

// networks is an array of addresses and networks.
type networks struct{}

func (networks) fallback() any { return []netip.Prefix(nil) }
func (networks) spell() string { return "none" }
func (networks) schema(modes) schema {
	return schema{"type": "array", "items": schema{"type": "string", "pattern": reference + `|^[0-9A-Fa-f:.]+(/[0-9]+)?$`}}
}

func (networks) decode(o object, n *node, path string) any {
	const example = `["10.0.0.0/8", "::1"]`
	if n.kind != kindArray {
		o.fail(n, path, "must be an array, not "+n.describe(), "write "+example)
		return []netip.Prefix(nil)
	}
	prefixes := []netip.Prefix{}
	for i := range n.elements {
		e, at := &n.elements[i], indexPath(path, i)
		if e.kind != kindString {
			o.fail(e, at, "must be a string, not "+e.describe(), "write an address or a network, as in "+example)
			continue
		}
		if p, ok := parsePrefix(e.text()); ok {
			prefixes = append(prefixes, p)
		} else {
			o.fail(e, at, quote(e.text())+" is neither an address nor a network", "write it as in "+example)
		}
	}
	return prefixes
}

// parsePrefix parses a network, or an address as a network with only that address.
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // clients' addresses are unmapped too when they are compared
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// worded is a text that check validates.
type worded struct {
	usual   string
	written string // the default for people, if not usual
	pattern string // what valid texts match, as far as a schema can say; "" for anything
	check   func(s string) (what, remedy string)
}

func (w worded) fallback() any { return w.usual }

func (w worded) spell() string {
	switch {
	case w.written != "":
		return w.written
	case w.usual == "":
		return "none"
	default:
		return "`" + w.usual + "`"
	}
}

func (w worded) schema(modes) schema {
	if w.pattern == "" {
		return schema{"type": "string"}
	}
	return schema{"type": "string", "pattern": w.pattern + "|" + reference}
}

func (w worded) decode(o object, n *node, path string) any {
	s := o.str(n, path)
	if n.kind != kindString {
		return w.usual
	}
	if what, remedy := w.check(s); what != "" {
		o.fail(n, path, what, remedy)
		return w.usual
	}
	return s
}

// templated is a text with variables that are known as soon as there is a request
// or a session.
type templated struct{ written string }

func (t templated) fallback() any       { return "" }
func (t templated) spell() string       { return t.written }
func (t templated) schema(modes) schema { return schema{"type": "string", "pattern": `\$`} }

func (t templated) decode(o object, n *node, path string) any {
	s := o.str(n, path)
	if n.kind != kindString {
		return ""
	}
	var place logformat.Mode
	if o.modes&inHTTP != 0 {
		place |= logformat.OnRequest
	}
	if o.modes&inStream != 0 {
		place |= logformat.OnSession
	}
	o.template(n, path, place)
	for range logformat.Variables(s) {
		return s
	}
	o.fail(n, path, quote(s)+" has no variable in it, so that one host would get everything", `write one such as "$client_addr"`)
	return s
}

// assign stores what a form has decoded in the field to.
func assign(to, value any) {
	switch to := to.(type) {
	case *time.Duration:
		*to = value.(time.Duration)
	case *int:
		*to = int(value.(int64))
	case *int64:
		*to = value.(int64)
	case *uint16:
		*to = uint16(value.(int64))
	case *bool:
		*to = value.(bool)
	case *string:
		*to = value.(string)
	case *slog.Level:
		*to = value.(slog.Level)
	case *[]netip.Prefix:
		*to = value.([]netip.Prefix)
	case *[]netip.AddrPort:
		*to = value.([]netip.AddrPort)
	case *[]string:
		*to = value.([]string)
	case *Statuses:
		*to = value.(Statuses)
	case *float64:
		*to = value.(float64)
	case *RetryOn:
		*to = value.(RetryOn)
	default:
		panic(fmt.Sprintf("config: no value can be put into a %T", to))
	}
}
