package route

import (
	"bytes"
	"net/netip"
	"strings"
)

// wildcard begins a pattern for all names below another.
const wildcard = "*."

// anyName is the id of a pattern that is not there: every request has it.
const anyName = 0

// names finds the patterns that take a name. It is for names in the form of normalName.
type names struct {
	exact map[string]int32

	// below has the pattern "*.b.c" as "b.c", and "c", which leads there: with no pattern, its id is anyName.
	below map[string]int32
}

// add makes id the id of a pattern in the form of namePattern, unless it has one, and returns the one it has.
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

// appendIDs appends the ids of all patterns that take name. It asks for one suffix more than lead to a pattern, so
// a long name costs no more than a short one.
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

// takesName reports whether a pattern in the form of namePattern takes a name in that of normalName.
func takesName(pattern string, name []byte) bool {
	if len(pattern) > len(wildcard) && pattern[0] == '*' {
		suffix := pattern[1:]
		return len(name) > len(suffix) && string(name[len(name)-len(suffix):]) == suffix
	}
	return string(name) == pattern
}

// normalName writes to buf how routes compare a host's name: in small letters, percent-encodings of unreserved characters
// decoded, without the dot of the root.
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

// hostName is normalName of what a client asked for. An IPv6 address, which has many texts, is written in the one that patterns
// have; that alone allocates.
func hostName(buf, name []byte) []byte {
	if bytes.IndexByte(name, ':') >= 0 {
		if a, err := netip.ParseAddr(string(name)); err == nil {
			return a.AppendTo(buf[:0])
		}
	}
	return normalName(buf, name)
}

// namePattern brings a pattern for names into the form in which it is compared. If it is none, what says why.
func namePattern(pattern string) (_ string, what string) {
	suffix, isWildcard := strings.CutPrefix(pattern, wildcard)
	if bare, ok := strings.CutPrefix(suffix, "["); ok {
		suffix = strings.TrimSuffix(bare, "]")
	}
	switch {
	case suffix == "" || suffix == ".":
		return "", "it is empty"
	case strings.Contains(suffix, "*"):
		return "", `"*" stands for labels at the beginning only, and a dot follows it`
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
