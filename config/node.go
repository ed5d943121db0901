package config

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/goccy/go-json"
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// position counts lines and characters from 1. File is the number of the file.
type position struct{ line, column, file int }

// node is one value of the document, and where it begins.
type node struct {
	kind     kind
	pos      position
	raw      []byte   // a scalar as written, including quotes
	expanded *string  // a string with its environment variables expanded; nil if it has none
	members  []member // of an object, in order, including duplicates
	elements []node   // of an array
}

// text returns the value of a string.
func (n *node) text() string {
	if n.expanded != nil {
		return *n.expanded
	}
	return text(n.raw)
}

// fromEnv reports whether n is a string with environment variables; such strings
// may stand for numbers too.
func (n *node) fromEnv() bool { return n.expanded != nil }

// literal returns the value of a string, or another scalar as written.
func (n *node) literal() string {
	if n.kind == kindString {
		return n.text()
	}
	return string(n.raw)
}

type member struct {
	key      string
	pos      position // of the key
	value    node
	repeated bool // an earlier member has the same key; this is an error, and the member is ignored
}

// get returns the first member called key, or nil.
func (n *node) get(key string) *member {
	for i := range n.members {
		if n.members[i].key == key {
			return &n.members[i]
		}
	}
	return nil
}

// locate returns the position of the value at path, or of its nearest ancestor.
func (n *node) locate(path string) position {
	at := Root
	for {
		next, nextPath := n.toward(at, path)
		if next == nil {
			return n.pos
		}
		n, at = next, nextPath
	}
}

// has reports whether there is a value at path.
func (n *node) has(path string) bool {
	at := Root
	for at != path {
		if n, at = n.toward(at, path); n == nil {
			return false
		}
	}
	return true
}

// toward returns the child of n (which is at the path at) that is at path or
// contains it.
func (n *node) toward(at, path string) (*node, string) {
	rest := strings.TrimPrefix(path, at)
	if at == Root {
		rest = path
	}
	for i := range n.members {
		key := n.members[i].key
		if !strings.HasPrefix(strings.TrimPrefix(rest, "."), key) && !strings.HasPrefix(rest, `["`) {
			continue
		}
		child := keyPath(at, key)
		if after, ok := strings.CutPrefix(path, child); ok && (after == "" || after[0] == '.' || after[0] == '[') {
			return &n.members[i].value, child
		}
	}
	if digits, _, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(digits, "[") {
		if i, err := strconv.Atoi(digits[1:]); err == nil && 0 <= i && i < len(n.elements) && indexPath("", i) == digits+"]" {
			return &n.elements[i], indexPath(at, i)
		}
	}
	return nil, ""
}

// lazyPath is a path that is formatted only when it is needed, so that a long path
// costs no more than a short one. An empty one is Root.
type lazyPath []step

// step leads from a value to a value in it.
type step struct {
	key   string // key of a member; or with isPath, a formatted path
	index int    // index of an element, or isMember or isPath
}

const (
	isMember = -1
	isPath   = -2
)

func (t lazyPath) String() string {
	path := Root
	for _, s := range t {
		switch s.index {
		case isMember:
			path = keyPath(path, s.key)
		case isPath:
			path = s.key
		default:
			path = indexPath(path, s.index)
		}
	}
	return path
}

// keyPath returns the path of a member of the object at path parent. Different keys
// have different paths.
func keyPath(parent, key string) string {
	if parent == Root {
		parent = ""
	}
	plain := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return !isWord(r) && r != '-'
	}) < 0
	switch {
	case !plain:
		return parent + "[" + strconv.Quote(key) + "]"
	case parent == "":
		return key
	default:
		return parent + "." + key
	}
}

func indexPath(parent string, i int) string {
	if parent == Root {
		parent = ""
	}
	return parent + "[" + strconv.Itoa(i) + "]"
}

// isWord reports whether r may be in an unquoted name: an ASCII letter, a digit or
// an underscore.
func isWord(r rune) bool {
	return isLetter(r) || '0' <= r && r <= '9'
}

// isLetter reports whether r is an ASCII letter or an underscore.
func isLetter(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_'
}

// text decodes a string literal that the scanner has accepted.
func text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		// Cannot happen: FuzzParse checks that the scanner accepts only valid literals.
		return string(raw)
	}
	return s
}

// describe describes n, for "must be a string, not ...".
func (n *node) describe() string {
	switch n.kind {
	case kindObject:
		return "an object"
	case kindArray:
		return "an array"
	case kindString:
		return "the string " + quote(n.text())
	case kindNumber:
		return "the number " + shorten(string(n.raw), 40)
	default:
		return string(n.raw)
	}
}

// quote quotes s for a message, on one line and with bounded length.
func quote(s string) string { return strconv.Quote(shorten(s, 80)) }

// list joins words as `"a", "b" or "c"`.
func list(words []string) string { return join(quoteAll(words)) }

func quoteAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return quoted
}

// join joins phrases as "a, b or c".
func join(phrases []string) string {
	last := len(phrases) - 1
	if last < 1 {
		return strings.Join(phrases, "")
	}
	return strings.Join(phrases[:last], ", ") + " or " + phrases[last]
}
