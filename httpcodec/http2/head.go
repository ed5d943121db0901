package http2

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"
)

// Limits of a received head, counted as in RFC 9113 section 6.5.2: each field counts 32 bytes in addition to its name and value.
// Each cookie crumb counts as a field.
const (
	maxList   = 32 << 10
	maxFields = 128
	maxTable  = 4096 // size of the decoder's dynamic table
	maxKept   = 1024 // how much of the cookie buffer is kept between heads
)

// Kind is the kind of head in a header block.
type Kind uint8

// The kinds. Trailers have no pseudo-header fields.
const (
	Request Kind = iota
	Response
	Trailers
)

// Decoder turns the header blocks of a connection into heads in the form of HTTP/1.1, which package http1 scans. The blocks of a
// connection share state, so each block must be decoded, in order, even if its stream is not served.
//
// The decoder refuses fields whose value has a byte that could end the line, or whose name is invalid. So no such byte can reach
// the scan and change the meaning of a head.
type Decoder struct {
	hpack *hpack.Decoder

	kind    Kind
	end     bool // the stream ends with this block
	head    bool // the response is one to HEAD
	out     []byte
	refused *Error // the first fault
	list    int    // size in bytes, as maxList counts
	fields  int
	regular bool // a regular field has come, so no pseudo-header field may follow

	method, scheme, authority, path, status string
	seen                                    pseudo
	lengths                                 int
	length                                  string
	trailer                                 bool   // there may be trailers
	cookies                                 []byte // joined crumbs

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
	errPseudoTwice  = streamError(ProtocolError, "a repeated pseudo-header field")
	errPseudoLate   = streamError(ProtocolError, "a pseudo-header field after regular fields")
	errPseudoKind   = streamError(ProtocolError, "a pseudo-header field that is not allowed here")
	errPseudoNone   = streamError(ProtocolError, "a pseudo-header field is missing")
	errPseudoValue  = streamError(ProtocolError, "a pseudo-header field with a malformed value")
	errName         = streamError(ProtocolError, "a field name that is not lower case, or not a token")
	errValue        = streamError(ProtocolError, "a field value with an invalid byte")
	errHop          = streamError(ProtocolError, "a field that is specific to HTTP/1 connections")
	errTE           = streamError(ProtocolError, "te with a value other than trailers")
	errHostDiffers  = streamError(ProtocolError, "host differs from :authority")
	errEndLength    = streamError(ProtocolError, "a content-length, and no content")
	errTrailerField = streamError(ProtocolError, "a field that is not allowed in trailers")
)

// TooLarge is the fault of a head that has too many fields or bytes. The response to it is 431 (RFC 6585 section 5).
var TooLarge = streamError(EnhanceYourCalm, "a head over 32768 bytes or 128 fields")

// NewDecoder makes a decoder for a connection.
func NewDecoder() *Decoder {
	d := &Decoder{}
	d.hpack = hpack.NewDecoder(maxTable, d.field)
	d.hpack.SetMaxStringLength(2 * maxList) // in bytes; Huffman coding has at least 5 bits per letter, and field counts the decoded size
	return d
}

// Begin begins a block. End says whether the stream ends with it.
func (d *Decoder) Begin(k Kind, end bool) {
	*d = Decoder{hpack: d.hpack, kind: k, end: end, cookies: d.cookies[:0]}
	d.hpack.SetEmitEnabled(true)
}

// AnswersHead says, after Begin, that the block is a response to a HEAD request.
func (d *Decoder) AnswersHead() { d.head = true }

// Form returns what the last decoded head says about its message.
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

// chunked reports whether the body is chunked in the form of HTTP/1.1. It is if the length is not given, or if there may be
// trailers, which HTTP/1.1 does not allow after a body of known length.
func (d *Decoder) chunked() bool {
	return !d.end && (d.lengths == 0 || d.lengths == 1 && d.trailer) && (d.kind == Request || d.kind == Response && !d.bodiless())
}

// Write decodes a fragment of the block and appends the decoded part of the head to dst. Last says that this is the last
// fragment. An error is a connection error.
func (d *Decoder) Write(dst, fragment []byte, last bool) ([]byte, *Error) {
	d.out = dst
	var err error
	if last && !d.cut && len(fragment) <= MaxFrame { // nearly always the fragment is the whole block
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

// End ends the block and appends the rest of the head, including the empty line. A stream error means that the head is malformed,
// and that the appended bytes must not be used. The error is TooLarge if the head is only too large.
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

// refuse records a fault. The rest of the block is only decoded to update the dynamic table.
func (d *Decoder) refuse(why *Error) {
	if d.refused == nil {
		d.refused = why
		d.hpack.SetEmitEnabled(false)
	}
}

// field takes a decoded field.
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

// startLine appends the first line of the head. It is called when all pseudo-header fields are known.
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

// reason returns the standard reason phrase of a status, since HTTP/2 has none; empty if the status is unknown.
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
		if d.lengths++; d.lengths == 1 { // finish decides what becomes of it
			d.length = value
			return
		}
	case "trailer":
		d.trailer = true
	case "content-type":
		d.trailer = d.trailer || d.kind == Response && IsGRPC(value) // gRPC sends its status in unannounced trailers
	case "cookie":
		if d.kind == Request { // crumbs are joined (section 8.2.3)
			if len(d.cookies) > 0 {
				d.cookies = append(d.cookies, "; "...)
			}
			d.cookies = append(d.cookies, value...)
			return
		}
	}
	d.line(name, value)
}

// takeHost takes a Host field, which must agree with :authority in a request, or replaces it.
func (d *Decoder) takeHost(value string) {
	switch {
	case d.kind != Request:
		d.line("host", value)
	case d.authority != "":
		if !strings.EqualFold(value, d.authority) {
			d.refuse(errHostDiffers)
		}
	default: // the scan detects a second Host
		d.line("host", value)
	}
}

// finish appends the end of the head.
func (d *Decoder) finish() {
	if d.kind != Trailers {
		switch {
		case d.end && d.lengths > 0 && strings.Trim(d.length, "0") != "" && d.kind == Request: // not for responses, since a response to HEAD may have it
			d.refuse(errEndLength)
		case d.chunked():
			d.line("transfer-encoding", "chunked")
		case d.end && d.lengths == 0 && d.kind == Response && !d.head && !d.bodiless(): // otherwise the body would last until the connection ends
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

// code returns the status of a response; 0 if there is none.
func (d *Decoder) code() int { return int(max(parseLength(d.status), 0)) }

// bodiless reports whether the response never has content. If so, it must not have framing fields.
func (d *Decoder) bodiless() bool { return Form{Status: d.code()}.Bodiless() }

func (d *Decoder) line(name, value string) {
	d.out = append(append(append(append(d.out, name...), ": "...), value...), "\r\n"...)
}

// isName reports whether s is a valid field name (section 8.2.1).
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || !isToken(c) {
			return false
		}
	}
	return s != ""
}

// isToken reports whether c may occur in a token (RFC 9110 section 5.6.2).
func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c > ' ' && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}

// isValue reports whether s is a valid field value: it has no byte that could end the line, and no leading or trailing white space.
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || !blank(s[0]) && !blank(s[len(s)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// isLine reports whether s can be a word of the first line: it has no byte that ends the word or the line. Bytes above ASCII are
// left to the scan, which accepts them only in paths.
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
