package config

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a document, and thereby the scanner's recursion; a
// valid document needs a depth of 6.
const maxDepth = 100

// scanner parses RFC 8259 JSON, with extensions only if it is lenient, into nodes.
// It exists because JSON decoders report neither lines nor paths
// nor remedies. It accepts exactly what encoding/json accepts, except invalid UTF-8
// and nesting beyond maxDepth.
type scanner struct {
	data    []byte
	off     int
	path    lazyPath
	depth   int
	lenient bool // allow comments and trailing commas

	mark   int // offset of the position at; not beyond off
	at     position
	faults []Problem // duplicate keys, and at the end at most one syntax error

	// Stacks of the entries being read, those of inner values after those of outer
	// ones, until their number is known.
	members  []member
	elements []node
}

// scan returns the document's root, or nil after a syntax error, and the problems.
// The nodes retain slices of data; file is the number in their
// positions.
func scan(data []byte, file int, lenient bool) (*node, []Problem) {
	s := &scanner{data: data, at: position{1, 1, file}, lenient: lenient}
	root := new(node)
	if !s.encoding() || !s.value(root) {
		return nil, s.faults
	}
	if s.space(); s.off < len(data) {
		s.unexpected("the end of the file", "remove everything after the end of the document")
		return nil, s.faults
	}
	return root, s.faults
}

// fail records the syntax error that ends the scan.
func (s *scanner) fail(off int, what, remedy string) bool {
	head := s.data[:off]
	start := bytes.LastIndexByte(head, '\n') + 1
	s.faults = append(s.faults, Problem{
		Line: bytes.Count(head, []byte{'\n'}) + 1, Column: utf8.RuneCount(head[start:]) + 1,
		Path: s.path.String(), What: what, Remedy: remedy,
	})
	return false
}

// here returns the position of off. Because offsets only grow, all calls together
// read the file once.
func (s *scanner) here() position {
	for _, r := range string(s.data[s.mark:s.off]) {
		if r == '\n' {
			s.at.line++
			s.at.column = 0
		}
		s.at.column++
	}
	s.mark = s.off
	return s.at
}

func (s *scanner) encoding() bool {
	const remedy = "save it as UTF-8 without a byte order mark"
	switch {
	case bytes.HasPrefix(s.data, []byte("\xef\xbb\xbf")):
		return s.fail(0, "the file begins with a byte order mark", remedy)
	case bytes.HasPrefix(s.data, []byte("\xff\xfe")), bytes.HasPrefix(s.data, []byte("\xfe\xff")):
		return s.fail(0, "the file is UTF-16", remedy)
	case len(bytes.Trim(s.data, " \t\r\n")) == 0:
		return s.fail(0, "the file is empty", `write { "stream": { ... } } or { "http": { ... } }`)
	}
	for off := 0; off < len(s.data); {
		r, size := utf8.DecodeRune(s.data[off:])
		if r == utf8.RuneError && size == 1 {
			return s.fail(off, fmt.Sprintf("the byte 0x%02x is not UTF-8", s.data[off]), "save the file as UTF-8")
		}
		off += size
	}
	return true
}

// space skips white space and, if lenient, comments.
func (s *scanner) space() {
	for s.off < len(s.data) {
		switch {
		case strings.IndexByte(" \t\r\n", s.data[s.off]) >= 0:
			s.off++
		case !s.lenient || !s.comment():
			return
		}
	}
}

// comment skips a comment. It returns false if there is no complete comment.
func (s *scanner) comment() bool {
	rest := s.data[s.off:]
	switch {
	case bytes.HasPrefix(rest, []byte("//")):
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		s.off += end
		return true
	case bytes.HasPrefix(rest, []byte("/*")):
		end := bytes.Index(rest[2:], []byte("*/"))
		if end < 0 {
			return false
		}
		s.off += end + 4
		return true
	}
	return false
}

// peek returns the byte at off, or 0 at the end.
func (s *scanner) peek() byte {
	if s.off < len(s.data) {
		return s.data[s.off]
	}
	return 0
}

func (s *scanner) value(n *node) bool {
	s.space()
	n.pos = s.here()
	start := s.off
	c := s.peek()
	ok := false
	switch {
	case c == '{' || c == '[':
		if s.depth++; s.depth > maxDepth {
			return s.fail(s.off, fmt.Sprintf("nested more than %d levels deep", maxDepth), "remove some of the brackets")
		}
		if c == '{' {
			n.kind = kindObject
			ok = s.object(n)
		} else {
			n.kind = kindArray
			ok = s.array(n)
		}
		s.depth--
		return ok
	case c == '"':
		n.kind, ok = kindString, s.str()
	case c == '-' || '0' <= c && c <= '9':
		n.kind, ok = kindNumber, s.number()
	case isLetter(rune(c)):
		n.kind, ok = s.word()
	default:
		return s.unexpected("a value", "write the value here")
	}
	n.raw = s.data[start:s.off]
	return ok
}

func (s *scanner) object(n *node) bool {
	path, begin := s.path, len(s.members)
	defer func() {
		n.members = slices.Clone(s.members[begin:])
		s.members = s.members[:begin]
	}()
	s.off++
	if s.space(); s.peek() == '}' {
		s.off++
		return true
	}
	var lines firstLines
	for {
		m := member{pos: s.here()}
		start := s.off
		if s.peek() != '"' {
			remedy := s.closing(n)
			if isLetter(rune(s.peek())) {
				remedy = "put the key in double quotes"
			}
			return s.unexpected("a key in double quotes", remedy)
		}
		if !s.str() {
			return false
		}
		m.key = text(s.data[start:s.off])
		s.path = append(path, step{m.key, isMember})
		if line := lines.first(s.members[begin:], &m); line > 0 {
			s.faults = append(s.faults, Problem{
				Line: m.pos.line, Column: m.pos.column, Path: s.path.String(),
				What: fmt.Sprintf("the key is given twice, first in line %d", line), Remedy: "remove one of the two",
			})
			m.repeated = true
		}
		if s.space(); s.peek() != ':' {
			return s.unexpected("a colon after the key "+quote(m.key), "write a colon between a key and its value")
		}
		s.off++
		if !s.value(&m.value) {
			return false
		}
		s.members = append(s.members, m)
		s.path = path
		if more, ok := s.next(n, '}'); !more {
			return ok
		}
	}
}

func (s *scanner) array(n *node) bool {
	path, begin := s.path, len(s.elements)
	defer func() {
		n.elements = slices.Clone(s.elements[begin:])
		s.elements = s.elements[:begin]
	}()
	s.off++
	if s.space(); s.peek() == ']' {
		s.off++
		return true
	}
	for {
		s.path = append(path, step{index: len(s.elements) - begin})
		var e node
		if !s.value(&e) {
			return false
		}
		s.elements = append(s.elements, e)
		s.path = path
		if more, ok := s.next(n, ']'); !more {
			return ok
		}
	}
}

// fewKeys is the number of keys up to which a linear search is faster than a map.
const fewKeys = 16

// firstLines maps the keys of a large object to the lines where they occur first.
type firstLines map[string]int

// first returns the line of an earlier member with the same key as m, or 0.
func (lines *firstLines) first(before []member, m *member) int {
	if len(before) < fewKeys {
		for i := range before {
			if before[i].key == m.key {
				return before[i].pos.line
			}
		}
		return 0
	}
	if *lines == nil {
		*lines = make(firstLines)
		for _, b := range slices.Backward(before) {
			(*lines)[b.key] = b.pos.line
		}
	}
	line := (*lines)[m.key]
	if line == 0 {
		(*lines)[m.key] = m.pos.line
	}
	return line
}

// next reads what follows an entry of n: a comma before another entry (more), or
// the bracket that ends n.
func (s *scanner) next(n *node, end byte) (more, ok bool) {
	s.space()
	comma := s.off
	switch s.peek() {
	case end:
		s.off++
		return false, true
	case ',':
		s.off++
		if s.space(); s.peek() == end {
			if s.lenient {
				s.off++
				return false, true
			}
			return false, s.fail(comma, fmt.Sprintf("a comma before '%c'", end), "remove the comma: nothing follows it")
		}
		return true, true
	case '"', '{', '[', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 't', 'f', 'n':
		return false, s.unexpected(fmt.Sprintf("',' or '%c'", end), "write a comma before it")
	default:
		return false, s.unexpected(fmt.Sprintf("',' or '%c'", end), s.closing(n))
	}
}

// closing returns the remedy for a syntax error between the entries of an object or array.
func (s *scanner) closing(n *node) string {
	if n.kind == kindArray {
		return fmt.Sprintf("end the array that begins in line %d with ']'", n.pos.line)
	}
	return fmt.Sprintf("end the object that begins in line %d with '}'", n.pos.line)
}

// unexpected reports that want is expected at off. Some common mistakes get a
// better remedy.
func (s *scanner) unexpected(want, remedy string) bool {
	if s.off >= len(s.data) {
		return s.fail(s.off, "expected "+want+", found the end of the file", remedy)
	}
	rest := s.data[s.off:]
	r, _ := utf8.DecodeRune(rest)
	switch {
	case s.lenient && bytes.HasPrefix(rest, []byte("/*")):
		return s.fail(s.off, "the comment has no end", "write */ at its end")
	case s.lenient && r == '#':
		return s.fail(s.off, "a comment does not begin with '#'", "begin it with //")
	case r == '#' || bytes.HasPrefix(rest, []byte("//")) || bytes.HasPrefix(rest, []byte("/*")):
		return s.fail(s.off, "JSON has no comments", "remove the comment, or have the file's name end in .jsonc")
	case strings.ContainsRune("'`\u2018\u2019\u201c\u201d", r):
		remedy = "use plain double quotes"
	case r == '+' || r == '.':
		remedy = "begin a number with a digit or '-'"
	}
	return s.fail(s.off, "expected "+want+", found "+strconv.QuoteRune(r), remedy)
}

// str skips a string literal.
func (s *scanner) str() bool {
	start := s.off
	for s.off++; s.off < len(s.data); s.off++ {
		switch c := s.data[s.off]; {
		case c == '"':
			s.off++
			return true
		case c == '\n' || c == '\r':
			return s.fail(start, "the string has no closing quote in its line", `write the closing '"', or \n for a line break in the string`)
		case c < ' ':
			return s.fail(s.off, fmt.Sprintf("the control character 0x%02x in a string", c), fmt.Sprintf(`write it as \u%04x, or remove it`, c))
		case c == '\\' && !s.escape():
			return false
		}
	}
	return s.fail(start, "the string has no closing quote", `write the closing '"'`)
}

// escape skips all but the last byte of an escape sequence.
func (s *scanner) escape() bool {
	start := s.off
	s.off++
	switch c := s.peek(); {
	case c == 'u':
		for range 4 {
			s.off++
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(s.peek())) {
				return s.fail(start, `\u without four hexadecimal digits`, `write it like \u00e9, or \\u for a backslash and a u`)
			}
		}
	case c == 0 || !strings.ContainsRune(`"\/bfnrt`, rune(c)):
		return s.fail(start, "an unknown escape sequence in a string", `write a backslash as \\`)
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.off
	for '0' <= s.peek() && s.peek() <= '9' {
		s.off++
	}
	return s.off > start
}

// number skips a number. The grammar is that of RFC 8259 section 6.
func (s *scanner) number() bool {
	start := s.off
	if s.peek() == '-' {
		s.off++
	}
	zero := s.peek() == '0'
	ok := s.digits()
	if zero {
		ok = s.data[s.off-1] == '0' && s.off-start <= 2 && (s.off-start == 1 || s.data[start] == '-')
	}
	if ok && s.peek() == '.' {
		s.off++
		ok = s.digits()
	}
	if ok && (s.peek() == 'e' || s.peek() == 'E') {
		s.off++
		if s.peek() == '+' || s.peek() == '-' {
			s.off++
		}
		ok = s.digits()
	}
	if ok && !isWord(rune(s.peek())) && s.peek() != '.' {
		return true
	}
	for isWord(rune(s.peek())) || s.peek() == '.' {
		s.off++
	}
	return s.fail(start, shorten(string(s.data[start:s.off]), 40)+" is not a JSON number",
		"write plain decimal digits, without a unit, a leading zero or a prefix; text goes in double quotes")
}

// word reads true, false or null.
func (s *scanner) word() (kind, bool) {
	start := s.off
	for isWord(rune(s.peek())) {
		s.off++
	}
	word := string(s.data[start:s.off])
	switch word {
	case "true", "false":
		return kindBool, true
	case "null":
		return kindNull, true
	}
	remedy := "write text in double quotes: " + quote(word)
	switch lower := strings.ToLower(word); lower {
	case "true", "false", "null":
		remedy = "write " + lower
	case "yes", "on":
		remedy = "write true"
	case "no", "off":
		remedy = "write false"
	}
	return kindNull, s.fail(start, shorten(word, 40)+" is not a JSON value", remedy)
}
