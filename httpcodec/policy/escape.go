package policy

const hex = "0123456789ABCDEF"

// The bytes that are percent-encoded (RFC 3986 section 2.1) where they come into a URI. "%" is not: what variables are made of
// is encoded already.
var (
	notURI   = escaped("\"<>\\^`{|}", 0x7f) // in Location, which browsers parse
	notPath  = escaped("?#", 0xff)          // in the path of a request's target, where the bytes above ASCII pass as they came
	notQuery = escaped("#", 0xff)
)

// escaped is the set of these bytes, of the control characters, the space, DEL, and what is above last.
func escaped(these string, last int) (set [256]bool) {
	for c := range set {
		set[c] = c <= ' ' || c == 0x7f || c > last
	}
	for _, c := range []byte(these) {
		set[c] = true
	}
	return set
}

// escapeFrom encodes those bytes of dst[from:] that are in the set.
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
	// From behind: what is written is never before what is still to be read.
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
