package logformat

import "unicode/utf8"

const hexUpper, hexLower = "0123456789ABCDEF", "0123456789abcdef"

// unsafeByte tells the bytes that text must not have as they are: those that nginx's default escape writes as \xHH.
var unsafeByte = func() (set [256]bool) {
	for c := range set {
		set[c] = c < 0x20 || c >= 0x7f || c == '"' || c == '\\'
	}
	return set
}()

// unsafeOrSpace has the space too.
var unsafeOrSpace = func() (set [256]bool) {
	set = unsafeByte
	set[' '] = true
	return set
}()

// appendEscaped appends s with \xHH for each byte of the set. Those of unsafeByte could end a line or a quoted string, or
// steer a terminal.
func appendEscaped[S []byte | string](dst []byte, s S, set *[256]bool) []byte {
	start := 0
	for i := range len(s) {
		c := s[i]
		if !set[c] {
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, '\\', 'x', hexUpper[c>>4], hexUpper[c&15])
		start = i + 1
	}
	return append(dst, s[start:]...)
}

// appendJSON appends s as the inside of a string in JSON (RFC 8259 section 7). What is not UTF-8 becomes U+FFFD, as
// encoding/json has it. Control characters beyond those that must be escaped are escaped too.
func appendJSON[S []byte | string](dst []byte, s S) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if !unsafeByte[c] {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = decodeRune(s[i:])
			if r > 0x9f && r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'u', hexLower[r>>12&15], hexLower[r>>8&15], hexLower[r>>4&15], hexLower[r&15])
		}
		i += size
		start = i
	}
	return append(dst, s[start:]...)
}

// decodeRune decodes the first character of s, which is not empty. A slice of a type parameter cannot be passed on as
// either type, and a conversion would copy it.
func decodeRune[S []byte | string](s S) (rune, int) {
	var first [utf8.UTFMax]byte
	n := copy(first[:], s)
	return utf8.DecodeRune(first[:n])
}

// maxBounded is how much of what a peer sent the error log is given.
const maxBounded = 256

// Bounded is s for a line of the error log, whose writer escapes it: as a string, and cut if it is long.
func Bounded[S []byte | string](s S) string {
	if len(s) > maxBounded {
		return string(s[:maxBounded]) + "..."
	}
	return string(s)
}
