package http1

import "math"

// Framing is how a body is delimited (RFC 9112 section 6).
type Framing uint8

// The framings.
const (
	NoBody     Framing = iota // the message has no body
	Length                    // a number of bytes, possibly 0
	Chunked                   // up to the last chunk
	UntilClose                // until the connection closes; responses only
)

func (f Framing) String() string {
	return [...]string{"no body", "length", "chunked", "until close"}[f]
}

var (
	errLengthTwice    = newFault(400, "more than one content-length")
	errLengthsDiffer  = newFault(400, "conflicting content-lengths")
	errLength         = newFault(400, "malformed content-length")
	errLengthAndTE    = newFault(400, "content-length and transfer-encoding")
	errTE10           = newFault(400, "transfer-encoding in http/1.0")
	errTETwice        = newFault(400, "more than one transfer-encoding")
	errTE             = newFault(400, "malformed transfer-encoding")
	errTEUnknown      = newFault(501, "unknown transfer coding")
	errChunkedNotLast = newFault(400, "chunked is not the last transfer coding, or is repeated")
)

// framingFields are the fields of a head that determine its body's framing.
type framingFields struct {
	lengths, codings int // number of field lines
	length, coding   span
}

// decide returns the framing: Length and n, Chunked, or NoBody if there are no such fields. S is the head they belong to.
func (ff *framingFields) decide(s *headScanner, head []byte, minor uint8) (Framing, int64, *fault) {
	switch {
	case ff.codings > 0 && ff.lengths > 0:
		return 0, 0, errLengthAndTE
	case ff.codings > 0 && minor == 0:
		return 0, 0, errTE10
	case ff.codings > 1:
		return 0, 0, errTETwice
	case ff.codings > 0:
		return Chunked, 0, checkChunked(ff.coding.of(head))
	case ff.lengths > 1 && s.side == FromClient:
		return 0, 0, errLengthTwice
	case ff.lengths > 0:
		n, ok := parseNumber(ff.length.of(head))
		switch {
		case ok && ff.lengths == 1:
			return Length, n, nil
		case s.side == FromClient:
			return 0, 0, errLength
		}
		n, f := s.repeatedLength(head)
		return Length, n, f
	}
	return NoBody, 0, nil
}

// repeatedLength reads several Content-Length values, all of which must be equal (RFC 9110 section 8.6). Only hosts may repeat
// the field: a proxy in front of this one may have read a request differently.
func (s *headScanner) repeatedLength(head []byte) (int64, *fault) {
	length := int64(-1)
	for i := range s.fields {
		if s.fields[i].id != fieldContentLength {
			continue
		}
		for rest := s.fields[i].value.of(head); rest != nil; {
			var member []byte
			member, rest = nextMember(rest)
			n, ok := parseNumber(member)
			switch {
			case !ok:
				return 0, errLength
			case length >= 0 && n != length:
				return 0, errLengthsDiffer
			}
			length = n
		}
	}
	return length, nil
}

// checkChunked accepts the Transfer-Encoding "chunked", and returns what is wrong with any other.
func checkChunked(list []byte) *fault {
	if equalFold(list, "chunked") {
		return nil
	}
	for rest := list; ; {
		var coding []byte
		coding, rest = nextMember(rest)
		if !validToken(coding) {
			return errTE
		}
		if rest == nil {
			return errTEUnknown // "chunked" alone was handled above
		}
		if equalFold(coding, "chunked") {
			return errChunkedNotLast
		}
	}
}

// parseNumber parses 1*DIGIT up to 2^63-1.
func parseNumber(b []byte) (n int64, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
