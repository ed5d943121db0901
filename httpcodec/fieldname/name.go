// Package fieldname compares names of header fields in the ways their readers do.
package fieldname

// Folding maps each byte to a representative of all bytes that some readers treat as the same.
type Folding [256]byte

var (
	// Case is for readers that ignore only case (RFC 9110 section 5.1): clients.
	Case = table(func(c byte) byte { return c })
	// Alike is for hosts and their frameworks. Where fields become variables (RFC 3875 section 4.1.18), "-", "_" and all other
	// characters that are neither letters nor digits become the same.
	Alike = table(func(c byte) byte {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	})
)

// table makes a Folding that applies f to each byte in lower case.
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

// Of returns the folded name.
func (t *Folding) Of(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = t[c]
	}
	return string(b)
}

// Equal reports whether name, once folded, equals low, which is already folded.
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

// EqualAlike reports whether hosts may take name for low, which must have only lower-case letters, digits and "-".
func EqualAlike(name []byte, low string) bool { return Alike.Equal(name, low) }

// HasPrefixAlike reports whether hosts may take the beginning of name for low.
func HasPrefixAlike(name []byte, low string) bool {
	return len(name) >= len(low) && EqualAlike(name[:len(low)], low)
}
