// Package fieldname tells the names of header fields apart as their readers do.
package fieldname

// Folding maps each byte to the one that stands for all bytes which some readers do not tell from it.
type Folding [256]byte

var (
	// Case is for readers who know names as they came but for letter case (RFC 9110 section 5.1): clients.
	Case = table(func(c byte) byte { return c })
	// Alike is for hosts and their frameworks. What is handed on as a variable (RFC 3875 section 4.1.18) has one character for
	// "-", "_" and whatever else is neither letter nor digit.
	Alike = table(func(c byte) byte {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	})
)

// table makes a Folding of what f has for bytes in small letters.
func table(f func(byte) byte) (t Folding) {
	for i := range t {
		c := byte(i)
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		t[i] = f(c)
	}
	return t
}

// Of is what t makes of a name.
func (t *Folding) Of(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = t[c]
	}
	return string(b)
}

// Equal reports whether readers may take name for low, which is folded.
func (t *Folding) Equal(name []byte, low string) bool {
	if len(name) != len(low) {
		return false
	}
	for i, c := range name {
		if t[c] != low[i] {
			return false
		}
	}
	return true
}

// EqualAlike reports whether hosts may take name for low, which has small letters, digits and "-" only.
func EqualAlike(name []byte, low string) bool { return Alike.Equal(name, low) }

// HasPrefixAlike reports the same of the name's beginning.
func HasPrefixAlike(name []byte, low string) bool {
	return len(name) >= len(low) && EqualAlike(name[:len(low)], low)
}
