package http1

import (
	"encoding/binary"
	"math/bits"
)

// Sets of bytes that may occur in parts of a head.
var (
	isToken  = byteSet("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") // RFC 9110 section 5.6.2
	isValue  = ranges('\t', '\t', ' ', '~', 0x80, 0xff)                                                 // RFC 9110 section 5.5, plus white space inside a value
	isTarget = ranges('!', '"', '$', '~', 0x80, 0xff)                                                   // visible ASCII except '#', and bytes above ASCII
	isDomain = byteSet("!$&'()*+;=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")  // RFC 3986 reg-name without ',' and '%'
	isHex    = byteSet("0123456789ABCDEFabcdef")
	lower    = lowerTable()
)

func byteSet(of string) (t [256]bool) {
	for _, c := range []byte(of) {
		t[c] = true
	}
	return t
}

func ranges(bounds ...int) (t [256]bool) {
	for i := 0; i < len(bounds); i += 2 {
		for c := bounds[i]; c <= bounds[i+1]; c++ {
			t[c] = true
		}
	}
	return t
}

func lowerTable() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}

// tokenEnd returns the end of the token that begins at i.
func tokenEnd(b []byte, i int) int {
	for i < len(b) && isToken[b[i]] {
		i++
	}
	return i
}

// allIn reports whether every byte of b is in set; true if b is empty.
func allIn(b []byte, set *[256]bool) bool {
	for _, c := range b {
		if !set[c] {
			return false
		}
	}
	return true
}

func validToken(b []byte) bool { return len(b) > 0 && tokenEnd(b, 0) == len(b) }

const (
	each01 = 0x0101010101010101
	each20 = 0x20 * each01
	each7f = 0x7f * each01
	each80 = 0x80 * each01
)

// valueEnd returns the index of the first byte from i on that is not allowed in a field value, or len(b). It examines eight
// bytes at a time: the lowest bit set in m belongs to the first byte that is below 0x20 or equals 0x7f. (Higher bits may be
// wrong, since a subtraction borrows upwards only.)
func valueEnd(b []byte, i int) int {
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		d := x ^ each7f
		m := ((x-each20)&^x | (d-each01)&^d) & each80
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) / 8
		if b[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(b) && isValue[b[i]] {
		i++
	}
	return i
}

// equalFold reports whether b equals low, ignoring case. Low must be in lower case.
func equalFold(b []byte, low string) bool {
	if len(b) != len(low) {
		return false
	}
	for i, c := range b {
		if lower[c] != low[i] {
			return false
		}
	}
	return true
}

// sameFold reports whether a and b are equal, ignoring case.
func sameFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower[c] != lower[b[i]] {
			return false
		}
	}
	return true
}

// hasPrefixFold reports whether b begins with low, ignoring case.
func hasPrefixFold(b []byte, low string) bool {
	return len(b) >= len(low) && equalFold(b[:len(low)], low)
}

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

// trimOWS returns b without leading and trailing white space.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && isOWS(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isOWS(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// nextMember cuts the first member off a comma-separated list (RFC 9110 section 5.6.1) and trims it. The member may be empty.
// Rest is nil after the last member. Quoted strings are not supported, since no list read here has them.
func nextMember(list []byte) (member, rest []byte) {
	end := len(list)
	for i, c := range list {
		if c == ',' {
			end, rest = i, list[i+1:]
			break
		}
	}
	return trimOWS(list[:end]), rest
}
