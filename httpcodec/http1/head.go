package http1

import "bytes"

// MaxHead is how many bytes a head may have, empty lines before a request line and the empty line at the end included.
const MaxHead = 32 << 10

// More limits of a head. A trailer section has those of a head.
const (
	maxFields     = 128
	maxTarget     = 8 << 10 // bytes
	maxMethod     = 64      // bytes
	maxEmptyLines = 4       // before a request line (RFC 9112 section 2.2)

	maxRequestLine = maxMethod + 1 + maxTarget + 1 + len("HTTP/1.1")
)

// Side says whose bytes are read, and with that who is to blame.
type Side uint8

// The sides.
const (
	FromClient Side = iota
	FromHost
)

// HeadError says why bytes are no message this proxy takes. Values are shared: they must not be changed.
type HeadError struct {
	Status int    // for the client: 4xx or 5xx; always 502 if a host is to blame
	Reason string // for the error log: lower-case, short, nothing that the peer sent
}

func (e *HeadError) Error() string { return e.Reason }

// fault is a HeadError for either side to be blamed.
type fault [2]HeadError

func newFault(status int, reason string) *fault {
	return &fault{FromClient: {status, reason}, FromHost: {502, reason}}
}

func (f *fault) by(s Side) *HeadError { return &f[s] }

var (
	errBareLF      = newFault(400, "a line ends without cr")
	errBareCR      = newFault(400, "cr without lf")
	errEmptyLines  = newFault(400, "too many empty lines before the request line")
	errStartByte   = newFault(400, "not http")
	errHeadSize    = newFault(431, "head over 32768 bytes")
	errFieldCount  = newFault(431, "more than 128 fields")
	errFold        = newFault(400, "a field line begins with white space")
	errNoName      = newFault(400, "a field without a name")
	errNoColon     = newFault(400, "a field line without a colon")
	errNameSpace   = newFault(400, "white space before the colon of a field")
	errNameByte    = newFault(400, "a field name is no token")
	errValueByte   = newFault(400, "a control character in a field value")
	errRequestLine = newFault(414, "request line too long")
)

// span is a part of a head. Offsets, not slices: the bytes of a head may move while more of it comes (see Request.Rebase).
type span struct{ from, to uint16 }

func at(from, to int) span           { return span{uint16(from), uint16(to)} }
func (s span) of(head []byte) []byte { return head[s.from:s.to:s.to] }
func (s span) len() int              { return int(s.to) - int(s.from) }

// field is one field line: a token, and a value without white space around it.
type field struct {
	name, value span
	id          fieldID
	drop        bool // named in Connection: not sent on
}

type headKind uint8

const (
	requestHead headKind = iota
	responseHead
	trailerSection
)

// headScanner checks a head line by line and remembers where everything is. It looks at bytes only: what fields mean is
// decided elsewhere. The answer does not depend on how the bytes were cut into pieces.
type headScanner struct {
	kind   headKind
	side   Side
	begun  bool  // the start line is behind us
	empty  uint8 // empty lines skipped
	line   int   // where the line to be checked begins
	seen   int   // no LF in [line, seen)
	start  startLine
	fields []field
}

// reset makes s ready for a new head and keeps its storage.
func (s *headScanner) reset(kind headKind, from Side) {
	*s = headScanner{kind: kind, side: from, begun: kind == trailerSection, fields: s.fields[:0]}
}

// scan looks at b, everything received of the head so far and maybe more. It returns the head's length, empty lines
// before it included, or 0 if more is needed. After an error only reset may be called.
func (s *headScanner) scan(b []byte) (int, *HeadError) {
	w := b[:min(len(b), MaxHead)]
	if s.seen > s.line && bytes.IndexByte(w[s.seen:], '\n') < 0 {
		return s.incomplete(w)
	}
	if !s.begun {
		if more, err := s.scanStart(w); err != nil || more {
			if err != nil {
				return 0, err
			}
			return s.incomplete(w)
		}
	}
	for i := s.line; i < len(w); s.line = i {
		if w[i] == '\r' {
			if i+1 == len(w) {
				break
			}
			if w[i+1] == '\n' {
				return i + 2, nil
			}
			return s.bad(w, errBareCR)
		}
		if len(s.fields) == maxFields {
			return 0, errFieldCount.by(s.side)
		}
		name := tokenEnd(w, i)
		colon := name
		if name < len(w) && w[name] != ':' {
			colon = s.skipBlanks(w, i, name)
		}
		if colon == len(w) {
			break
		}
		if w[colon] != ':' || name == i {
			return s.bad(w, nameFault(w, i, name))
		}
		from := colon + 1
		for from < len(w) && isOWS(w[from]) {
			from++
		}
		end := valueEnd(w, from)
		if end == len(w) {
			break
		}
		if w[end] != '\r' {
			if w[end] == '\n' {
				return 0, errBareLF.by(s.side)
			}
			return s.bad(w, errValueByte)
		}
		if end+1 == len(w) {
			break
		}
		if w[end+1] != '\n' {
			return s.bad(w, errBareCR)
		}
		to := end
		for to > from && isOWS(w[to-1]) {
			to--
		}
		s.fields = append(s.fields, field{name: at(i, name), value: at(from, to), id: identify(w[i:name])})
		i = end + 2
	}
	return s.incomplete(w)
}

// field returns the first value of a field of head, or nil. low is its name in small letters.
func (s *headScanner) field(head []byte, low string) []byte {
	for i := range s.fields {
		if f := &s.fields[i]; equalFold(f.name.of(head), low) {
			return f.value.of(head)
		}
	}
	return nil
}

// skipBlanks returns where the white space behind the field name w[i:end] ends, if that is to be removed: in what a host
// sends, a proxy must (RFC 9112 section 5.1). Not behind the name of a field that frames the message: some readers would not
// know that field.
func (s *headScanner) skipBlanks(w []byte, i, end int) int {
	if s.side == FromClient || end == i || identify(w[i:end]) > fieldOwn {
		return end
	}
	for end < len(w) && isOWS(w[end]) {
		end++
	}
	return end
}

// scanStart goes over empty lines and the start line.
func (s *headScanner) scanStart(w []byte) (more bool, err *HeadError) {
	for {
		if s.line == len(w) {
			return true, nil
		}
		c := w[s.line]
		if s.kind == requestHead && !isToken[c] && c != '\r' || s.kind == responseHead && c != 'H' {
			if c == '\n' {
				return false, errBareLF.by(s.side)
			}
			return false, errStartByte.by(s.side)
		}
		lf := bytes.IndexByte(w[s.line:], '\n')
		if lf < 0 {
			return true, nil
		}
		if s.kind == requestHead && lf > maxRequestLine+1 { // as in incomplete
			return false, errRequestLine.by(s.side)
		}
		from, end := s.line, s.line+lf-1
		if w[end] != '\r' { // no line begins with LF here
			return false, errBareLF.by(s.side)
		}
		s.line += lf + 1
		if from == end {
			if s.empty++; s.empty > maxEmptyLines {
				return false, errEmptyLines.by(s.side)
			}
			continue
		}
		s.begun = true
		parse := s.start.parseRequest
		if s.kind == responseHead {
			parse = s.start.parseStatus
		}
		if f := parse(w, from, end); f != nil {
			return false, f.by(s.side)
		}
		return false, nil
	}
}

// incomplete asks for more, if the head may still grow.
func (s *headScanner) incomplete(w []byte) (int, *HeadError) {
	// The line's CR may be there already.
	if !s.begun && s.kind == requestHead && len(w)-s.line > maxRequestLine+1 {
		return 0, errRequestLine.by(s.side)
	}
	if len(w) == MaxHead {
		return 0, errHeadSize.by(s.side)
	}
	s.seen = len(w)
	return 0, nil
}

// bad refuses a line, but only when all of it is there: the limits are reached in the same order however the bytes come.
func (s *headScanner) bad(w []byte, f *fault) (int, *HeadError) {
	if bytes.IndexByte(w[s.line:], '\n') < 0 {
		return s.incomplete(w)
	}
	return 0, f.by(s.side)
}

// nameFault says what is wrong with a field name that begins at i and is not followed by a colon at end.
func nameFault(w []byte, i, end int) *fault {
	switch c := w[end]; {
	case end == i && isOWS(c):
		return errFold
	case end == i && c == ':':
		return errNoName
	case c == '\n' && end == i:
		return errBareLF
	case c == '\r' || c == '\n':
		return errNoColon
	case isOWS(c):
		return errNameSpace
	}
	return errNameByte
}
