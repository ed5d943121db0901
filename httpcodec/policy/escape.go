package policy

const hex = "0123456789ABCDEF"

// Sets of bytes that must be percent-encoded in a URI (RFC 3986 section 2.1). "%" is not included, since the values of
// variables are encoded already.
var (
	notURI   = escaped("\"<>\\^`{|}", 0x7f) // in Location, which browsers parse
	notPath  = escaped("?#", 0xff)          // in the path of a request target, where bytes above ASCII pass unchanged
	notQuery = escaped("#", 0xff)
)

// escaped returns the set of the given bytes, the control characters, space, DEL, and all bytes above last.
func escaped(these string, last int) (set [256]bool) {
	for c := range set {
		set[c] = c <= ' ' || c == 0x7f || c > last
	}
	for _, c := range []byte(these) {
		set[c] = true
	}
	return set
}

// escapeFrom percent-encodes the bytes of dst[from:] that are in the set.
func escapeFrom(dst []byte, from int, set *[256]bool) []byte {
	n := 0
	for _, c := range dst[from:] {
		if set[c] {
			n++
		}
	}
	if n == 0 {
		return dst
	}
	read := len(dst)
	for range n {
		dst = append(dst, 0, 0)
	}
	// From the end, so that nothing is overwritten before it is read.
	for write := len(dst); read > from; {
		read--
		if c := dst[read]; set[c] {
			write -= 3
			dst[write], dst[write+1], dst[write+2] = '%', hex[c>>4], hex[c&15]
		} else {
			write--
			dst[write] = c
		}
	}
	return dst
}
