package http2

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"
)

// The bounds of a head that is received, as RFC 9113 section 6.5.2 counts them: each field has 32 bytes beside name and value. Each cookie crumb is a
// field.
const (
	maxList   = 32 << 10
	maxFields = 128
	maxTable  = 4096 // of the decoder's dynamic table
	maxKept   = 1024 // of the buffer for cookies, between two heads
)

// Kind is what kind of a head a header block has.
type Kind uint8

// The kinds. Trailers have no pseudo-header fields.
const (
	Request Kind = iota
	Response
	Trailers
)

// Decoder turns the header blocks of a connection into heads in the form of HTTP/1.1, for the scan of package http1. It keeps the state that the
// blocks of a connection share, so each block has to be decoded, in order, also that of a stream which is of no use.
//
// A field with a byte that could end it, or a name that is none, is refused here: no such byte gets to a place where the scan would take it for
// something else.
type Decoder struct {
	hpack *hpack.Decoder

	kind    Kind
	end     bool // the stream ends with this block
	head    bool // the response is one to HEAD
	out     []byte
	refused *Error // the first fault
	list    int    // bytes, as maxList counts them
	fields  int
	regular bool // a regular field has come: no pseudo-header field may follow

	method, scheme, authority, path, status string
	seen                                    pseudo
	lengths                                 int
	length                                  string
	trailer                                 bool   // there may be trailers
	cookies                                 []byte // joined

	fragments
}

// pseudo is a set of pseudo-header fields.
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoStatus
)

var (
	errTable        = connError(CompressionError, "a header block that cannot be decoded")
	errPseudo       = streamError(ProtocolError, "an unknown pseudo-header field")
	errPseudoTwice  = streamError(ProtocolError, "a pseudo-header field twice")
	errPseudoLate   = streamError(ProtocolError, "a pseudo-header field behind others")
	errPseudoKind   = streamError(ProtocolError, "a pseudo-header field where it may not be")
	errPseudoNone   = streamError(ProtocolError, "a pseudo-header field is missing")
	errPseudoValue  = streamError(ProtocolError, "a pseudo-header field with a malformed value")
	errName         = streamError(ProtocolError, "a field name that is not lower case, or no token")
	errValue        = streamError(ProtocolError, "a field value with a byte that may not be in it")
	errHop          = streamError(ProtocolError, "a field that belongs to connections of HTTP/1")
	errTE           = streamError(ProtocolError, "te with something else than trailers")
	errHostDiffers  = streamError(ProtocolError, "host is not :authority")
	errEndLength    = streamError(ProtocolError, "a content-length, and no content")
	errTrailerField = streamError(ProtocolError, "a field that may not be in trailers")
)

// TooLarge is the fault of a head that has more fields, or bytes, than are taken: 431 is the answer to it (RFC 6585 section 5).
var TooLarge = streamError(EnhanceYourCalm, "a head over 32768 bytes or 128 fields")

// NewDecoder makes a decoder for a connection.
func NewDecoder() *Decoder {
	d := &Decoder{}
	d.hpack = hpack.NewDecoder(maxTable, d.field)
	d.hpack.SetMaxStringLength(2 * maxList) // Huffman's code has 5 bits for a letter; more is counted
	return d
}

// Begin begins a block. End is whether the stream ends with it.
func (d *Decoder) Begin(k Kind, end bool) {
	*d = Decoder{hpack: d.hpack, kind: k, end: end, cookies: d.cookies[:0]}
	d.hpack.SetEmitEnabled(true)
}

// AnswersHead says, after Begin, that the block is of a response to a request for a head only.
func (d *Decoder) AnswersHead() { d.head = true }

// Form is what the head that was decoded last says of its message.
func (d *Decoder) Form() Form {
	f := Form{Length: -1, Head: d.method == "HEAD"}
	if d.kind == Response {
		f.Status = d.code()
	}
	if d.lengths > 0 {
		f.Length = parseLength(d.length)
	}
	f.Chunked = d.chunked()
	return f
}

// chunked reports whether the body of the head is chunked in the form of HTTP/1.1: its length is not said, or there may be trailers, which have
// no place behind a body of a known length.
func (d *Decoder) chunked() bool {
	return !d.end && (d.lengths == 0 || d.lengths == 1 && d.trailer) && (d.kind == Request || d.kind == Response && !d.bodiless())
}

// Write decodes a fragment of the block, and appends to dst what that has of the head. Last says that no other follows. An error is of the connection.
func (d *Decoder) Write(dst, fragment []byte, last bool) ([]byte, *Error) {
	d.out = dst
	var err error
	if last && !d.cut && len(fragment) <= MaxFrame { // nearly always it is all of the block
		_, err = d.hpack.Write(fragment)
	} else {
		err = d.writeFragment(fragment)
	}
	dst, d.out = d.out, nil
	if err != nil {
		return dst, errTable
	}
	return dst, nil
}

// End ends the block and appends the rest of the head, with the empty line at its end. An error of a stream says that the head is malformed, and
// what was appended is of no use; it is TooLarge if it is only too large.
func (d *Decoder) End(dst []byte) ([]byte, *Error) {
	if d.cut && d.none() {
		d.forget()
	}
	if d.hpack.Close() != nil || !d.none() {
		return dst, errTable
	}
	d.out = dst
	if d.refused == nil && !d.regular {
		d.startLine()
	}
	if d.refused == nil {
		d.finish()
	}
	if cap(d.cookies) > maxKept { // the connection may be idle for long
		d.cookies = nil
	}
	dst, d.out = d.out, nil
	return dst, d.refused
}

// refuse notes a fault; the rest of the block is decoded for the sake of the table only.
func (d *Decoder) refuse(why *Error) {
	if d.refused == nil {
		d.refused = why
		d.hpack.SetEmitEnabled(false)
	}
}

// field takes a field that was decoded.
func (d *Decoder) field(f hpack.HeaderField) {
	if d.refused != nil {
		return
	}
	d.list += int(f.Size())
	if d.fields++; d.list > maxList || d.fields > maxFields {
		d.refuse(TooLarge)
		return
	}
	if strings.HasPrefix(f.Name, ":") {
		d.pseudo(f)
		return
	}
	if !d.regular {
		if d.startLine(); d.refused != nil {
			return
		}
		d.regular = true
	}
	if !isName(f.Name) {
		d.refuse(errName)
		return
	}
	if !isValue(f.Value) {
		d.refuse(errValue)
		return
	}
	d.take(f.Name, f.Value)
}

// pseudo takes a pseudo-header field (RFC 9113 section 8.3).
func (d *Decoder) pseudo(f hpack.HeaderField) {
	var which pseudo
	var to *string
	kind := Request
	switch f.Name {
	case ":method":
		which, to = pseudoMethod, &d.method
	case ":scheme":
		which, to = pseudoScheme, &d.scheme
	case ":authority":
		which, to = pseudoAuthority, &d.authority
	case ":path":
		which, to = pseudoPath, &d.path
	case ":status":
		which, to, kind = pseudoStatus, &d.status, Response
	default:
		d.refuse(errPseudo)
		return
	}
	switch {
	case d.regular:
		d.refuse(errPseudoLate)
	case d.kind != kind:
		d.refuse(errPseudoKind)
	case d.seen&which != 0:
		d.refuse(errPseudoTwice)
	case !isLine(f.Value):
		d.refuse(errPseudoValue)
	}
	d.seen |= which
	*to = f.Value
}

// startLine appends the first line of the head, once all pseudo-header fields are there.
func (d *Decoder) startLine() {
	switch d.kind {
	case Response:
		switch {
		case d.seen != pseudoStatus:
			d.refuse(errPseudoNone)
		case len(d.status) != 3 || !isDigits(d.status):
			d.refuse(errPseudoValue)
		}
		d.out = append(append(append(d.out, "HTTP/1.1 "...), d.status...), ' ')
		d.out = append(append(d.out, reason(d.status)...), "\r\n"...)
	case Request:
		target := d.path
		switch need := pseudoMethod | pseudoScheme | pseudoPath; {
		case d.method == "CONNECT" && d.seen&^pseudoMethod == pseudoAuthority:
			target = d.authority // section 8.5
		case d.seen&need != need:
			d.refuse(errPseudoNone)
		case d.method == "CONNECT", d.scheme != "http" && d.scheme != "https":
			d.refuse(errPseudoValue)
		case d.path == "*" && d.method == "OPTIONS":
		case !strings.HasPrefix(d.path, "/"): // an absolute target would name another host
			d.refuse(errPseudoValue)
		}
		if d.method == "" || target == "" || d.seen&pseudoAuthority != 0 && d.authority == "" {
			d.refuse(errPseudoValue)
		}
		d.out = append(append(append(append(d.out, d.method...), ' '), target...), " HTTP/1.1\r\n"...)
		if d.authority != "" {
			d.line("host", d.authority)
		}
	}
}

// reason is the usual reason phrase of a status, which HTTP/2 does not have; empty if nobody knows one.
func reason(status string) string {
	if s := fasthttp.StatusMessage(int(parseLength(status))); s != fasthttp.StatusMessage(0) {
		return s
	}
	return ""
}

// take takes a regular field.
func (d *Decoder) take(name, value string) {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade": // section 8.2.2
		d.refuse(errHop)
		return
	case "te":
		if value != "trailers" {
			d.refuse(errTE)
			return
		}
	case "host":
		if d.kind != Trailers {
			d.takeHost(value)
			return
		}
	case "content-length":
		if d.kind == Trailers {
			d.refuse(errTrailerField)
			return
		}
		if d.lengths++; d.lengths == 1 { // what becomes of it is decided at the end
			d.length = value
			return
		}
	case "trailer":
		d.trailer = true
	case "content-type":
		d.trailer = d.trailer || d.kind == Response && IsGRPC(value) // the outcome of a call is in trailers, which nothing announces
	case "cookie":
		if d.kind == Request { // crumbs become one line (section 8.2.3)
			if len(d.cookies) > 0 {
				d.cookies = append(d.cookies, "; "...)
			}
			d.cookies = append(d.cookies, value...)
			return
		}
	}
	d.line(name, value)
}

// takeHost takes Host of a request, which may say the same as :authority, or stand in its place.
func (d *Decoder) takeHost(value string) {
	switch {
	case d.kind != Request:
		d.line("host", value)
	case d.authority != "":
		if !strings.EqualFold(value, d.authority) {
			d.refuse(errHostDiffers)
		}
	default: // the scan says whether there are two
		d.line("host", value)
	}
}

// finish appends what comes at the end.
func (d *Decoder) finish() {
	if d.kind != Trailers {
		switch {
		case d.end && d.lengths > 0 && strings.Trim(d.length, "0") != "" && d.kind == Request: // of a response it may be that to HEAD
			d.refuse(errEndLength)
		case d.chunked():
			d.line("transfer-encoding", "chunked")
		case d.end && d.lengths == 0 && d.kind == Response && !d.head && !d.bodiless(): // else it would last until the connection ends
			d.line("content-length", "0")
		case d.lengths > 0:
			d.line("content-length", d.length)
		}
	}
	if len(d.cookies) > 0 {
		d.out = append(append(append(d.out, "cookie: "...), d.cookies...), "\r\n"...)
	}
	d.out = append(d.out, "\r\n"...)
}

// code is the status of a response; 0 if there is none.
func (d *Decoder) code() int { return int(max(parseLength(d.status), 0)) }

// bodiless reports whether the response never has content, so that it may not say how it is framed.
func (d *Decoder) bodiless() bool { return Form{Status: d.code()}.Bodiless() }

func (d *Decoder) line(name, value string) {
	d.out = append(append(append(append(d.out, name...), ": "...), value...), "\r\n"...)
}

// isName reports whether s may be a field's name (section 8.2.1).
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || !isToken(c) {
			return false
		}
	}
	return s != ""
}

// isToken reports whether c may be in a token (RFC 9110 section 5.6.2).
func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c > ' ' && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}

// isValue reports whether s may be a field's value: no byte that could end a line, and no white space around it.
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || !blank(s[0]) && !blank(s[len(s)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// isLine reports whether s may be a word of the first line: nothing in it ends that, or the word. Bytes above ASCII are for the scan to judge,
// which takes them in paths only.
func isLine(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
