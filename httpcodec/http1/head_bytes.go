package http1

import (
	"encoding/binary"
	"math/bits"
)

// What a byte may be part of.
var (
	isToken  = byteSet("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") // RFC 9110 section 5.6.2
	isValue  = ranges('\t', '\t', ' ', '~', 0x80, 0xff)                                                 // RFC 9110 section 5.5, and the space between
	isTarget = ranges('!', '"', '$', '~', 0x80, 0xff)                                                   // visible ASCII but '#', and what is beyond ASCII
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

// tokenEnd returns where the token that begins at i ends.
func tokenEnd(b []byte, i int) int {
	for i < len(b) && isToken[b[i]] {
		i++
	}
	return i
}

// allIn reports whether every byte of b is in set; an empty b is.
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

// valueEnd returns the first index from i on whose byte may not be in a field value, or len(b). It looks at eight bytes
// at a time: in m, the lowest bit set belongs to the first byte that is below 0x20 or is 0x7f. (Bits above that one may be
// wrong, as a subtraction borrows upwards only.)
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

// equalFold reports whether b is low in any letter case; low has no capitals.
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

// sameFold reports whether a and b differ in letter case at most.
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

// hasPrefixFold reports whether b begins with low in any letter case.
func hasPrefixFold(b []byte, low string) bool {
	return len(b) >= len(low) && equalFold(b[:len(low)], low)
}

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

// trimOWS returns b without white space around it.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && isOWS(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isOWS(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// nextMember cuts the first member off a comma-separated list (RFC 9110 section 5.6.1), without the white space around
// it. It may be empty. rest is nil after the last one. (Quoted strings are not understood: no list read here has them.)
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
