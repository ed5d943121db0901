package route

import (
	"bytes"
	"errors"
	"slices"
)

// Errors of Normalizer.Path. The request that has such a path is to be answered 400.
var (
	// ErrAboveRoot is a path that leaves the root by its dot segments.
	ErrAboveRoot = errors.New("route: the path climbs above the root")
	// ErrEscape is a percent sign that no two hexadecimal digits follow.
	ErrEscape = errors.New("route: malformed percent-encoding in the path")
	// ErrAmbiguous is a path whose dot segments hosts resolve differently.
	ErrAmbiguous = errors.New("route: ambiguous dot segments in the path")
)

// Normalizer brings paths into the form that routes see. It is for one loop; its zero value is ready for use.
type Normalizer struct {
	buf []byte // the last path that was changed; at most three times as long as a target may be
}

// Path returns the normal form of an absolute path, query not included:
//
//   - Percent-encodings of unreserved characters are decoded, all others have capital digits. %2F stays. (RFC 3986 sections
//     6.2.2.1 and 6.2.2.2.)
//   - Bytes that may not be in a path, as those above 0x7f, are percent-encoded.
//   - Dot segments are removed (section 6.2.2.3).
//   - Slashes in a row are one slash, as nginx, Apache and Go's ServeMux have it.
//
// The result is path itself if that is normal already; otherwise it is valid until the next call. An empty path is "/", and
// "*" (RFC 9112 section 3.2.4) stays what it is.
//
// Where dot segments would lead to another place if an encoded or a repeated slash, a backslash or a path parameter were read in
// another way, the error is ErrAmbiguous: some hosts do read them so.
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

// Bytes of paths (RFC 3986 sections 2.2, 2.3 and 3.3).
const (
	unreserved  = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	alsoInPaths = "/:@!$&'()*+,;="
	hexDigits   = "0123456789ABCDEF"
)

var (
	isUnreserved = byteSet(unreserved)
	isPath       = byteSet(unreserved + alsoInPaths) // all that stands for itself
	hexValue     = hexValues()
)

func byteSet(of string) (t [256]bool) {
	for _, c := range []byte(of) {
		t[c] = true
	}
	return t
}

// hexValues has the values of hexadecimal digits, and 255 for all other bytes.
func hexValues() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range []byte(hexDigits) {
		t[c] = byte(i)
		t[c|0x20] = byte(i) // digits have the bit set
	}
	return t
}

// isNormal reports whether there is certainly nothing to do. It is false for some paths that are normal, as those with a
// segment that begins with a dot.
func isNormal(path []byte) bool {
	for i, c := range path {
		if !isPath[c] || c == '/' && i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
			return false
		}
	}
	return true
}

// appendDecoded writes path with unreserved characters decoded and all others, which do not stand for themselves, encoded.
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

// removeDots removes dot segments of b in place (RFC 3986 section 5.2.4).
func removeDots(b []byte) ([]byte, error) {
	w := 0 // b[:w] is done
	for i := 0; i < len(b); {
		end := i + 1 // b[i] is a slash: the first byte of a path is one
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
			// A host that merges slashes first, or reads an encoded one as a slash, removes something else.
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

// hidesDots reports whether a host that reads %2F or a backslash as a slash, or drops path parameters, would find a dot
// segment in segment that changes what comes before it.
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

// cutParameters cuts path parameters off, which begin with ";" or its encoding.
func cutParameters(part []byte) (bare []byte, parameters bool) {
	for i, c := range part {
		if c == ';' || c == '%' && bytes.HasPrefix(part[i:], encodedSemicolon) {
			return part[:i], true
		}
	}
	return part, false
}

var encodedSemicolon = []byte("%3B")

// mergeSlashes makes one slash of several, in place.
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
