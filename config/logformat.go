package config

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// logFormat checks the variables of format_log: a name is the run of letters
// and underscores after a '$'; a '$' before anything else stands for itself.
func (o object) logFormat() {
	const key = "format_log"
	n, path := o.child(key)
	if n == nil || n.kind != kindString {
		return
	}
	known := StreamLogVariables
	if o.mode == ModeHTTP {
		known = HTTPLogVariables
	}
	// rest, raw and pos advance together, so that a long format is read once.
	rest, raw, pos := text(n.raw), n.raw[1:], n.pos
	pos.column++
	for {
		dollar := strings.IndexByte(rest, '$')
		if dollar < 0 {
			return
		}
		passed := rawLength(raw, dollar)
		pos.column += utf8.RuneCount(raw[:passed])
		rest, raw = rest[dollar:], raw[passed:]

		end := 1
		for end < len(rest) && isLetter(rune(rest[end])) {
			end++
		}
		name := rest[1:end]
		if name != "" && !slices.Contains(known, name) {
			what, remedy := unknownVariable(name, known)
			o.failAt(pos, path, what, remedy)
		}
		passed = rawLength(raw, end)
		pos.column += utf8.RuneCount(raw[:passed])
		rest, raw = rest[end:], raw[passed:]
	}
}

func unknownVariable(name string, known []string) (what, remedy string) {
	remedy = "the variables are " + list(dollars(known))
	if slices.Contains(HTTPLogVariables, name) {
		return quote("$"+name) + ` is known in "http" only`, remedy
	}
	if near := nearest(name, known); near != nil {
		remedy = didYouMean(dollars(near))
	}
	return "unknown variable " + quote("$"+name), remedy
}

func dollars(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = "$" + name
	}
	return out
}

// rawLength returns how many bytes of the inside of a string literal decode to
// the first n bytes of its text, where n is the length of whole characters.
func rawLength(raw []byte, n int) int {
	at := 0
	for n > 0 {
		size, decoded := 1, 1
		if raw[at] == '\\' {
			size = 2
			if raw[at+1] == 'u' {
				size = 6
				// A lone half of a surrogate pair decodes to U+FFFD, but with
				// its other half to one character of 12 raw bytes.
				if pair := raw[at:min(at+12, len(raw))]; len(pair) == 12 && pair[6] == '\\' && pair[7] == 'u' &&
					utf8.RuneCountInString(unescape(pair)) == 1 {
					size = 12
				}
				decoded = len(unescape(raw[at : at+size]))
			}
		}
		at += size
		n -= decoded
	}
	return at
}

func unescape(raw []byte) string { return text([]byte(`"` + string(raw) + `"`)) }
