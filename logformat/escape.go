package logformat

import "unicode/utf8"

const hexUpper, hexLower = "0123456789ABCDEF", "0123456789abcdef"

// unsafeByte is the set of bytes that text must not contain unescaped: those that nginx's default escaping writes as \xHH.
var unsafeByte = func() (set [256]bool) {
	for c := range set {
		set[c] = c < 0x20 || c >= 0x7f || c == '"' || c == '\\'
	}
	return set
}()

// unsafeOrSpace is unsafeByte plus the space.
var unsafeOrSpace = func() (set [256]bool) {
	set = unsafeByte
	set[' '] = true
	return set
}()

// appendEscaped appends s with \xHH for each byte in the set. The bytes in unsafeByte could end a line or a quoted string, or
// control a terminal.
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

// appendJSON appends s as the contents of a JSON string (RFC 8259 section 7). Invalid UTF-8 becomes U+FFFD, as with
// encoding/json. It also escapes control characters that need not be escaped.
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

// decodeRune decodes the first character of s, which must not be empty. S cannot be passed to package utf8 as a type parameter,
// and converting it would copy it.
func decodeRune[S []byte | string](s S) (rune, int) {
	var first [utf8.UTFMax]byte
	n := copy(first[:], s)
	return utf8.DecodeRune(first[:n])
}

// maxBounded is how many bytes of a peer's input the error log gets.
const maxBounded = 256

// Bounded returns s as a string for the error log, truncated if it is long. The log's writer escapes it.
func Bounded[S []byte | string](s S) string {
	if len(s) > maxBounded {
		return string(s[:maxBounded]) + "..."
	}
	return string(s)
}
