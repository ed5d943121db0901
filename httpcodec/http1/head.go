package http1

import "bytes"

// MaxHead is the maximum size of a head in bytes, including empty lines before a request line and the empty line at the end.
const MaxHead = 32 << 10

// More limits of a head. They apply to a trailer section, too.
const (
	maxFields     = 128
	maxTarget     = 8 << 10 // bytes
	maxMethod     = 64      // bytes
	maxEmptyLines = 4       // before a request line (RFC 9112 section 2.2)

	maxRequestLine = maxMethod + 1 + maxTarget + 1 + len("HTTP/1.1")
)

// Side says which side sent the bytes, and thus which side is to blame for errors.
type Side uint8

// The sides.
const (
	FromClient Side = iota
	FromHost
)

// HeadError is the reason why this proxy does not accept a message. Values are shared and must not be changed.
type HeadError struct {
	Status int    // for the client: 4xx or 5xx; always 502 if the host is to blame
	Reason string // for the error log: lower case, short, and without bytes from the peer
}

func (e *HeadError) Error() string { return e.Reason }

// fault has the HeadErrors for both sides.
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
	errNameByte    = newFault(400, "a field name is not a token")
	errValueByte   = newFault(400, "a control character in a field value")
	errRequestLine = newFault(414, "request line too long")
)

// span is a part of a head. It has offsets instead of a slice, since the bytes of a head may move while more arrive (see
// Request.Rebase).
type span struct{ from, to uint16 }

func at(from, to int) span           { return span{uint16(from), uint16(to)} }
func (s span) of(head []byte) []byte { return head[s.from:s.to:s.to] }
func (s span) len() int              { return int(s.to) - int(s.from) }

// field is one field line: a token, and a value without surrounding white space.
type field struct {
	name, value span
	id          fieldID
	drop        bool // named in Connection, so it is not forwarded
}

type headKind uint8

const (
	requestHead headKind = iota
	responseHead
	trailerSection
)

// headScanner validates a head line by line and records where its parts are. It does not interpret fields. The result does not
// depend on how the bytes were split into pieces.
type headScanner struct {
	kind   headKind
	side   Side
	begun  bool  // the start line was parsed
	empty  uint8 // number of empty lines skipped
	line   int   // start of the next line to be checked
	seen   int   // there is no LF in [line, seen)
	start  startLine
	fields []field
}

// reset prepares s for a new head and keeps its memory.
func (s *headScanner) reset(kind headKind, from Side) {
	*s = headScanner{kind: kind, side: from, begun: kind == trailerSection, fields: s.fields[:0]}
}

// scan scans b, which must have everything received of the head so far and may have more. It returns the length of the head,
// including empty lines before it, or 0 if more bytes are needed. After an error only reset may be called.
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

// field returns the first value of a field of head, or nil. Low is the field's name in lower case.
func (s *headScanner) field(head []byte, low string) []byte {
	for i := range s.fields {
		if f := &s.fields[i]; equalFold(f.name.of(head), low) {
			return f.value.of(head)
		}
	}
	return nil
}

// skipBlanks returns the end of the white space after the field name w[i:end], if that white space is to be removed. A proxy
// must remove it from a host's response (RFC 9112 section 5.1). It is not removed after the name of a framing field, since some
// readers would not recognize that field.
func (s *headScanner) skipBlanks(w []byte, i, end int) int {
	if s.side == FromClient || end == i || identify(w[i:end]) > fieldOwn {
		return end
	}
	for end < len(w) && isOWS(w[end]) {
		end++
	}
	return end
}

// scanStart scans empty lines and the start line.
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
		if s.kind == requestHead && lf > maxRequestLine+1 { // the same check as in incomplete
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

// incomplete asks for more bytes, unless the head has reached a limit.
func (s *headScanner) incomplete(w []byte) (int, *HeadError) {
	// The CR of the line may already be there.
	if !s.begun && s.kind == requestHead && len(w)-s.line > maxRequestLine+1 {
		return 0, errRequestLine.by(s.side)
	}
	if len(w) == MaxHead {
		return 0, errHeadSize.by(s.side)
	}
	s.seen = len(w)
	return 0, nil
}

// bad refuses a line, but only once the whole line has arrived, so that limits are hit in the same order however the bytes are split.
func (s *headScanner) bad(w []byte, f *fault) (int, *HeadError) {
	if bytes.IndexByte(w[s.line:], '\n') < 0 {
		return s.incomplete(w)
	}
	return 0, f.by(s.side)
}

// nameFault returns what is wrong with a field name w[i:end] that is not followed by a colon.
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
