package policy

import (
	"regexp"
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/route"
	"kroxy-ev/logformat"
)

// Rewrite changes the target of a request on its way to a host.
//
// Prefixes refer to the path by which routes are found: without dot segments and unnecessary percent-encoding. The rest of the
// path is forwarded as the client sent it, unless it has dot segments: what is left of them must not lead a host to another
// place.
type Rewrite struct {
	strip, add string
	path       *grouped            // nil: unchanged
	query      *logformat.Template // nil: unchanged
}

// CompileRewrite compiles a rewrite of a route with the given regular expressions, each of which matches whole paths and is not nil.
func CompileRewrite(o *config.Rewrite, regexes []*regexp.Regexp) (*Rewrite, []Problem) {
	var p problems
	w := &Rewrite{add: strings.TrimSuffix(o.AddPrefix, "/")}
	for _, key := range [...]struct{ at, prefix string }{{"rewrite.strip_prefix", o.StripPrefix}, {"rewrite.add_prefix", o.AddPrefix}} {
		switch at, prefix := key.at, key.prefix; {
		case prefix == "":
		case prefix[0] != '/':
			p.add(at, "a prefix of a path must begin with a slash", `write "/`+prefix+`"`)
		case bad(prefix, &notPath):
			p.add(at, "an invalid byte in a path", "write spaces, '?' and '#' in percent-encoding")
		case o.Path != "":
			p.add(at, `"path" replaces the whole path`, "remove one of the two")
		}
	}
	if o.StripPrefix != "" && p == nil {
		var n route.Normalizer
		if strip, err := n.Path([]byte(o.StripPrefix)); err != nil {
			p.add("rewrite.strip_prefix", err.Error(), "write the path without dot segments, and what is percent-encoded with two digits")
		} else {
			w.strip = string(strip)
		}
	}
	if o.Path != "" {
		if o.Path[0] != '/' && o.Path[0] != '$' {
			p.add("rewrite.path", "a path must begin with a slash", `write "/`+o.Path+`"`)
		}
		if bad(o.Path, &notPath) {
			p.add("rewrite.path", "an invalid byte in a path", `write spaces and '#' in percent-encoding, and the query in "query"`)
		}
		w.path = p.grouped("rewrite.path", o.Path, regexes)
	}
	if o.HasQuery {
		if bad(o.Query, &notQuery) {
			p.add("rewrite.query", "an invalid byte in a query", "write spaces and '#' in percent-encoding")
		}
		w.query = p.template("rewrite.query", strings.TrimPrefix(o.Query, "?"), logformat.OnRequest)
	}
	return w, p
}

func bad(text string, set *[256]bool) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return c < 0x100 && set[c] })
}

// AppendTarget appends the new target: a path, and "?" with a query if there is one. Sent is the path as the client sent it,
// and normal the path by which routes are found; both begin with a slash. Query is the client's, or nil if there is none.
// AppendTarget allocates only to grow dst, unless there are groups.
func (w *Rewrite) AppendTarget(dst, sent, normal, query []byte, r *logformat.Record) []byte {
	if w.path != nil {
		dst = w.appendPath(dst, normal, r)
	} else {
		dst = w.appendPrefixed(dst, sent, normal)
	}
	if w.query == nil {
		if query != nil {
			dst = append(append(dst, '?'), query...)
		}
		return dst
	}
	from := len(dst)
	dst = append(dst, '?')
	if dst = w.query.Append(dst, r); len(dst) == from+1 {
		return dst[:from]
	}
	return escapeFrom(dst, from, &notQuery)
}

// appendPath appends the configured path.
func (w *Rewrite) appendPath(dst, normal []byte, r *logformat.Record) []byte {
	from := len(dst)
	dst = w.path.append(dst, normal, r)
	if len(dst) == from || dst[from] != '/' {
		dst = append(dst, 0)
		copy(dst[from+1:], dst[from:])
		dst[from] = '/'
	}
	return escapeFrom(dst, from, &notPath)
}

// appendPrefixed appends the client's path with one prefix removed and the other added.
func (w *Rewrite) appendPrefixed(dst, sent, normal []byte) []byte {
	dst = append(dst, w.add...)
	cut := 0
	if n := len(w.strip); n > 0 && n <= len(normal) && string(normal[:n]) == w.strip &&
		(n == len(normal) || w.strip[n-1] == '/' || normal[n] == '/') {
		cut = n
	}
	rest := normal[cut:]
	if i, same := sentLength(sent, normal, cut); same {
		rest = sent[i:]
	}
	for len(rest) > 0 && rest[0] == '/' { // a leading "//x" could be taken for a host name
		rest = rest[1:]
	}
	dst = append(dst, '/')
	return append(dst, rest...)
}

// sentLength reports whether sent has no dot segments, so that it differs from normal only in percent-encoding and repeated
// slashes. If so, length is the number of its bytes that correspond to the first n bytes of normal.
func sentLength(sent, normal []byte, n int) (length int, same bool) {
	i, j := 0, 0
	for j < len(normal) {
		if j == n {
			length = i
		}
		a, sentSize := octet(sent[i:])
		b, size := octet(normal[j:])
		if a != b || sentSize == 0 {
			return 0, false
		}
		i, j = i+sentSize, j+size
		for a == '/' && size == 1 && i < len(sent) && sent[i] == '/' {
			i++
		}
	}
	if n == len(normal) {
		length = i
	}
	return length, i == len(sent)
}

// octet returns the first byte of b, decoded, and the size of its encoding; the size is 0 if b is empty.
func octet(b []byte) (c byte, size int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case len(b) > 2 && b[0] == '%' && isHex(b[1]) && isHex(b[2]):
		return unhex(b[1])<<4 | unhex(b[2]), 3
	}
	return b[0], 1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// Need returns what a record must have.
func (w *Rewrite) Need() logformat.Need {
	var need logformat.Need
	if w.path != nil {
		need = w.path.need()
	}
	if w.query != nil {
		need |= w.query.Need()
	}
	return need
}
