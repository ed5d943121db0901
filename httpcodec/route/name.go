package route

import (
	"bytes"
	"net/netip"
	"strings"
)

// wildcard is the beginning of a pattern for all names below another name.
const wildcard = "*."

// anyName is the id for routes without a name pattern. Every request has it.
const anyName = 0

// names finds the patterns that match a name. Names must be in the form of normalName.
type names struct {
	exact map[string]int32

	// below has the pattern "*.b.c" as "b.c". It also has "c", which leads there, with the id anyName unless it is a pattern itself.
	below map[string]int32
}

// add gives a pattern, in the form of namePattern, the given id unless it already has one. It returns the pattern's id.
func (n *names) add(pattern string, id int32) int32 {
	suffix, isWildcard := strings.CutPrefix(pattern, wildcard)
	if !isWildcard {
		return addName(&n.exact, pattern, id)
	}
	id = addName(&n.below, suffix, id)
	for {
		_, parent, found := strings.Cut(suffix, ".")
		if !found {
			return id
		}
		if _, known := n.below[parent]; known {
			return id
		}
		n.below[parent] = anyName
		suffix = parent
	}
}

func addName(m *map[string]int32, name string, id int32) int32 {
	if old := (*m)[name]; old != anyName {
		return old
	}
	if *m == nil {
		*m = make(map[string]int32)
	}
	(*m)[name] = id
	return id
}

// appendIDs appends the ids of all patterns that match name. It looks up one suffix more than patterns have, so a long name
// costs no more than a short one.
func (n *names) appendIDs(ids []int32, name []byte) []int32 {
	if id := n.exact[string(name)]; id != anyName {
		ids = append(ids, id)
	}
	if len(n.below) == 0 {
		return ids
	}
	for dot := bytes.LastIndexByte(name, '.'); dot > 0; dot = bytes.LastIndexByte(name[:dot], '.') {
		id, known := n.below[string(name[dot+1:])]
		if !known {
			break
		}
		if id != anyName {
			ids = append(ids, id)
		}
	}
	return ids
}

// takesName reports whether a pattern, in the form of namePattern, matches a name in the form of normalName.
func takesName(pattern string, name []byte) bool {
	if len(pattern) > len(wildcard) && pattern[0] == '*' {
		suffix := pattern[1:]
		return len(name) > len(suffix) && string(name[len(name)-len(suffix):]) == suffix
	}
	return string(name) == pattern
}

// normalName writes to buf the form in which routes compare a host name: in lower case, with percent-encodings of unreserved
// characters decoded, and without the trailing dot.
func normalName[T string | []byte](buf []byte, name T) []byte {
	buf = buf[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' && i+2 < len(name) {
			if high, low := hexValue[name[i+1]], hexValue[name[i+2]]; high < 16 && low < 16 && isUnreserved[high<<4|low] {
				c = high<<4 | low
				i += 2
			}
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf = append(buf, c)
	}
	if n := len(buf); n > 1 && buf[n-1] == '.' {
		return buf[:n-1]
	}
	return buf
}

// hostName is normalName for the host that a client asked for. An IPv6 address, which can be written in many ways, is converted
// to the form that patterns have; only this allocates.
func hostName(buf, name []byte) []byte {
	if bytes.IndexByte(name, ':') >= 0 {
		if a, err := netip.ParseAddr(string(name)); err == nil {
			return a.AppendTo(buf[:0])
		}
	}
	return normalName(buf, name)
}

// namePattern converts a name pattern to the form in which it is compared. If the pattern is invalid, what says why.
func namePattern(pattern string) (_ string, what string) {
	suffix, isWildcard := strings.CutPrefix(pattern, wildcard)
	if bare, ok := strings.CutPrefix(suffix, "["); ok {
		suffix = strings.TrimSuffix(bare, "]")
	}
	switch {
	case suffix == "" || suffix == ".":
		return "", "it is empty"
	case strings.Contains(suffix, "*"):
		return "", `"*" is allowed only at the beginning, followed by a dot`
	}
	if a, err := netip.ParseAddr(suffix); err == nil {
		if isWildcard {
			return "", "an address has no names below it"
		}
		return a.String(), ""
	}
	for _, c := range []byte(suffix) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/\:@[]?#",`, c) >= 0 {
			return "", "it is not a host's name"
		}
	}
	name := string(normalName(nil, suffix))
	if isWildcard {
		name = wildcard + name
	}
	return name, ""
}
