package route

import (
	"bytes"
	"errors"
	"slices"
)

// Errors of Normalizer.Path. A request with such a path must be answered with 400.
var (
	// ErrAboveRoot is for a path whose dot segments lead above the root.
	ErrAboveRoot = errors.New("route: the path climbs above the root")
	// ErrEscape is for a percent sign that is not followed by two hexadecimal digits.
	ErrEscape = errors.New("route: malformed percent-encoding in the path")
	// ErrAmbiguous is for a path whose dot segments hosts resolve differently.
	ErrAmbiguous = errors.New("route: ambiguous dot segments in the path")
)

// Normalizer converts paths to the form that routes see. It belongs to one loop. Its zero value is ready to use.
type Normalizer struct {
	buf []byte // the last path that was changed; at most three times as long as a target may be
}

// Path returns the normal form of an absolute path without query:
//
//   - Percent-encodings of unreserved characters are decoded; all others get upper-case digits. %2F stays. (RFC 3986 sections
//     6.2.2.1 and 6.2.2.2.)
//   - Bytes that are not allowed in a path, such as those above 0x7f, are percent-encoded.
//   - Dot segments are removed (section 6.2.2.3).
//   - Several slashes in a row become one, as in nginx, Apache and Go's ServeMux.
//
// The result is path itself if that is already in normal form; otherwise it is valid until the next call. An empty path becomes
// "/", and "*" (RFC 9112 section 3.2.4) stays unchanged.
//
// The error is ErrAmbiguous if dot segments would lead elsewhere were an encoded or repeated slash, a backslash or a path
// parameter interpreted differently, as some hosts do.
func (n *Normalizer) Path(path []byte) ([]byte, error) {
	switch {
	case len(path) == 0:
		return slash, nil
	case isNormal(path), len(path) == 1 && path[0] == '*':
		return path, nil
	}
	var ok bool
	if n.buf, ok = appendDecoded(n.buf[:0], path); !ok {
		return nil, ErrEscape
	}
	b, err := removeDots(n.buf)
	if err != nil {
		return nil, err
	}
	return mergeSlashes(b), nil
}

var slash = []byte("/")

// Character sets of paths (RFC 3986 sections 2.2, 2.3 and 3.3).
const (
	unreserved  = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	alsoInPaths = "/:@!$&'()*+,;="
	hexDigits   = "0123456789ABCDEF"
)

var (
	isUnreserved = byteSet(unreserved)
	isPath       = byteSet(unreserved + alsoInPaths) // bytes that need no encoding
	hexValue     = hexValues()
)

func byteSet(of string) (t [256]bool) {
	for _, c := range []byte(of) {
		t[c] = true
	}
	return t
}

// hexValues returns a table of the values of hexadecimal digits, with 255 for all other bytes.
func hexValues() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range []byte(hexDigits) {
		t[c] = byte(i)
		t[c|0x20] = byte(i) // decimal digits have the bit set already
	}
	return t
}

// isNormal reports whether path is certainly in normal form. It returns false for some normal paths, such as those with a
// segment that begins with a dot.
func isNormal(path []byte) bool {
	for i, c := range path {
		if !isPath[c] || c == '/' && i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
			return false
		}
	}
	return true
}

// appendDecoded appends path with unreserved characters decoded, and with all bytes encoded that are not allowed in a path.
func appendDecoded(dst, path []byte) (_ []byte, ok bool) {
	dst = slices.Grow(dst, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if isPath[c] {
			dst = append(dst, c)
			continue
		}
		if c == '%' {
			if i+2 >= len(path) {
				return dst, false
			}
			high, low := hexValue[path[i+1]], hexValue[path[i+2]]
			if high > 15 || low > 15 {
				return dst, false
			}
			i += 2
			if c = high<<4 | low; isUnreserved[c] {
				dst = append(dst, c)
				continue
			}
		}
		dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
	}
	return dst, true
}

// removeDots removes the dot segments of b in place (RFC 3986 section 5.2.4).
func removeDots(b []byte) ([]byte, error) {
	w := 0 // b[:w] is finished
	for i := 0; i < len(b); {
		end := i + 1 // b[i] is a slash, since a path begins with one
		for end < len(b) && b[end] != '/' {
			end++
		}
		segment := b[i+1 : end]
		last := end == len(b)
		switch {
		case string(segment) == ".":
			if last {
				b[w] = '/'
				w++
			}
		case string(segment) == "..":
			if w == 0 {
				return nil, ErrAboveRoot
			}
			from := bytes.LastIndexByte(b[:w], '/')
			// A host that merges slashes first, or takes an encoded one for a slash, removes something else.
			removed, _ := cutParameters(b[from+1 : w])
			if _, _, found := cutSeparator(b[from+1 : w]); found || len(removed) == 0 {
				return nil, ErrAmbiguous
			}
			if w = from; last {
				b[w] = '/'
				w++
			}
		case hidesDots(segment):
			return nil, ErrAmbiguous
		default:
			w += copy(b[w:], b[i:end])
		}
		i = end
	}
	return b[:w], nil
}

// hidesDots reports whether a host that takes %2F or a backslash for a slash, or drops path parameters, would find a dot
// segment inside segment that changes the path before it.
func hidesDots(segment []byte) bool {
	if bytes.IndexByte(segment, '.') < 0 {
		return false
	}
	for {
		part, rest, more := cutSeparator(segment)
		bare, parameters := cutParameters(part)
		if string(bare) == ".." || string(bare) == "." && parameters {
			return true
		}
		if !more {
			return false
		}
		segment = rest
	}
}

// cutSeparator cuts segment at its first encoded slash or backslash.
func cutSeparator(segment []byte) (part, rest []byte, found bool) {
	for i := 0; i+2 < len(segment); i++ {
		if segment[i] == '%' && (segment[i+1] == '2' && segment[i+2] == 'F' || segment[i+1] == '5' && segment[i+2] == 'C') {
			return segment[:i], segment[i+3:], true
		}
	}
	return segment, nil, false
}

// cutParameters cuts off path parameters, which begin with ";" or its encoding.
func cutParameters(part []byte) (bare []byte, parameters bool) {
	for i, c := range part {
		if c == ';' || c == '%' && bytes.HasPrefix(part[i:], encodedSemicolon) {
			return part[:i], true
		}
	}
	return part, false
}

var encodedSemicolon = []byte("%3B")

// mergeSlashes replaces several slashes in a row by one, in place.
func mergeSlashes(b []byte) []byte {
	w := 0
	for i, c := range b {
		if c == '/' && i > 0 && b[i-1] == '/' {
			continue
		}
		b[w] = c
		w++
	}
	return b[:w]
}
