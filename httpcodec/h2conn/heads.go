package h2conn

import "kroxy-ev/httpcodec/http2"

// block is the header block that is being received. A block that arrives in one frame is not copied.
type block struct {
	stream uint32 // 0 if no block is being received
	end    bool   // the stream ends with it
	err    *http2.Error
	text   []byte // a buffer of the loop, for a block that is incomplete
	since  int64  // when it began
}

func (b *block) free(c *Conn) {
	if b.text != nil {
		c.loop.FreeBuffer(b.text)
	}
	*b = block{}
}

var (
	errOddStream   = &http2.Error{Code: http2.ProtocolError, Reason: "a client's stream with an even number"}
	errLowStream   = &http2.Error{Code: http2.ProtocolError, Reason: "a new stream with a lower number than an earlier one"}
	errTrailersEnd = &http2.Error{Code: http2.ProtocolError, Stream: true, Reason: "a second head that does not end the stream"}
	errInterimEnd  = &http2.Error{Code: http2.ProtocolError, Stream: true, Reason: "an interim response that ends the stream"}
	errSwitch      = &http2.Error{Code: http2.ProtocolError, Stream: true, Reason: "a 101 response"}
)

// headers serves HEADERS and CONTINUATION. The block is always decoded, whatever happens to the stream, because it changes the
// decoder's table.
func (c *Conn) headers(f *http2.Frame, err *http2.Error) {
	b := &c.block
	if f.Type == http2.Headers {
		*b = block{stream: f.Stream, end: f.Has(http2.EndStream), err: err, since: c.loop.Now()}
		if !c.beginBlock() {
			return
		}
	}
	if len(f.Payload) == 0 {
		c.count(http2.EventEmpty)
	}
	m := c.muxer
	text, fault := c.decoder.Write(append(m.head[:0], b.text...), f.Payload, f.Has(http2.EndHeaders))
	if fault != nil {
		c.fail(fault)
		return
	}
	if !f.Has(http2.EndHeaders) {
		b.keep(c, text)
		m.head = text[:0]
		return
	}
	text, fault = c.decoder.End(text)
	m.head = text[:0]
	switch {
	case fault == nil:
	case !fault.Stream:
		c.fail(fault)
		return
	case b.err == nil:
		b.err = fault
	}
	done := *b
	b.free(c)
	c.head(&done, text)
}

// keep keeps the decoded part of a block until the rest arrives.
func (b *block) keep(c *Conn, text []byte) {
	if cap(b.text) < len(text) {
		if b.text != nil {
			c.loop.FreeBuffer(b.text)
		}
		b.text = c.loop.Buffer(len(text))
	}
	b.text = append(b.text[:0], text...)
}

// beginBlock determines the kind of head in the block and starts to decode it. It returns false if the block ends the connection.
func (c *Conn) beginBlock() bool {
	b := &c.block
	s := c.find(b.stream)
	kind := http2.Trailers
	switch {
	case s != nil && c.role == client && !s.headDone:
		kind = http2.Response
	case s != nil:
	case c.role == client:
		if c.isIdle(b.stream) {
			c.fail(errIdle)
			return false
		}
	case b.stream%2 == 0:
		c.fail(errOddStream)
		return false
	case b.stream > c.last:
		kind = http2.Request
	case c.mayBeReset(b.stream):
	case c.findClosed(b.stream) != nil:
		c.fail(errClosed)
		return false
	default:
		c.fail(errLowStream)
		return false
	}
	c.decoder.Begin(kind, b.end)
	if s != nil && s.asksHead {
		c.decoder.AnswersHead()
	}
	return true
}

// head serves a decoded head.
func (c *Conn) head(b *block, text []byte) {
	s := c.find(b.stream)
	if s == nil && c.role == server && b.stream > c.last {
		c.request(b, text)
		return
	}
	switch {
	case s == nil: // it has been reset meanwhile
		c.count(http2.EventOther)
	case s.ended: // even if the head is malformed
		c.streamError(b.stream, errStreamOver)
	case b.err != nil:
		c.streamError(b.stream, b.err)
	case s.headDone && !b.end:
		c.streamError(b.stream, errTrailersEnd)
	case s.headDone:
		s.receiveTrailers(text)
	default:
		s.receiveHead(b, text)
	}
}

// request opens a client's stream.
func (c *Conn) request(b *block, text []byte) {
	c.last = b.stream
	if c.state >= stateLeft {
		c.noteClosed(b.stream, true)
		return // the client was told that this stream is not served
	}
	switch {
	case b.err == http2.TooLarge:
		c.refuseTooLarge(b)
		return
	case b.err != nil:
	case c.open >= c.limits.MaxStreams:
		b.err = errTooMany
	case c.heads+len(text) > maxHeads:
		b.err = errHeads
	}
	if b.err != nil {
		c.noteClosed(b.stream, true)
		c.writeReset(b.stream, b.err.Code)
		c.count(http2.EventReset)
		c.owner.Refused(b.err)
		return
	}
	c.asked = true
	if c.mustLeave {
		c.startLeaving()
	}
	c.flood.Useful()
	c.flood.Begun()
	s := c.stream()
	s.id, s.head = b.stream, len(text)
	c.heads += s.head
	s.begin(c.decoder.Form(), b.end, text)
	c.add(s)
	c.owner.Opened(s)
	switch {
	case c.find(b.stream) != s: // it has ended already
		return
	case s.conn == nil:
		c.writeReset(s.id, http2.RefusedStream)
		s.detach(true)
		s.recycle()
		return
	}
	if b.end || b.text != nil {
		s.deliver()
		return
	}
	s.deliverLater()
}

// deliverLater notifies the user together with the content that follows, if that is already in the connection's buffer. The user
// can then forward everything at once.
func (s *Stream) deliverLater() {
	s.conn.HasMore(true)
	s.c.pending = s
}

// deliverPending notifies the user whose notification was deferred. It must run before the next head is decoded and before the
// connection's buffer changes, since that is where the head and the content are.
func (c *Conn) deliverPending() {
	if s := c.pending; s != nil {
		c.pending = nil
		if c.broken == nil {
			s.deliver()
		}
	}
}

// maxHeads bounds the total size of the heads of a connection's open requests, in bytes. A head is kept as long as its request.
// The bound allows 10 KiB for each stream with the default limits, or 32 heads of maximum size.
const maxHeads = 1 << 20

var errHeads = &http2.Error{Code: http2.RefusedStream, Stream: true, Reason: "the heads of the open requests exceed 1 MiB"}

var errTooMany = &http2.Error{Code: http2.RefusedStream, Stream: true, Reason: "more streams than are allowed at once"}

// tooLarge is the response to a head that is too large.
var tooLarge = []byte("HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n")

// refuseTooLarge responds to a head that is too large. Nothing of the head was kept.
func (c *Conn) refuseTooLarge(b *block) {
	c.noteClosed(b.stream, true)
	m := c.muxer
	m.block, _ = http2.AppendBlock(m.block[:0], tooLarge, http2.Response, "")
	c.appendHead(b.stream, m.block, true)
	if !b.end {
		c.writeReset(b.stream, http2.NoError)
	}
	c.count(http2.EventReset)
	c.owner.Refused(b.err)
}

// appendHead writes a header block.
func (c *Conn) appendHead(id uint32, b []byte, end bool) {
	c.reserve(len(b) + http2.HeaderLen*(len(b)/http2.MaxFrame+2))
	c.out = http2.AppendHead(c.out, id, b, end, http2.MaxFrame)
	c.settleLater()
}

// scheme returns the :scheme of requests to the host.
func (c *Conn) scheme() string {
	if c.socket.Layer() != nil {
		return "https"
	}
	return "http"
}
