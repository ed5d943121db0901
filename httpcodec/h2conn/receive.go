package h2conn

import (
	"strconv"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// receiving is the half of a stream that the peer sends.
//
// What has been received is text, then content, then tail, in this order. While the user of the stream is notified, text and
// content may be in buffers of the connection; afterwards keep copies what the user has not read. So bytes that are read at once
// are not copied an extra time.
type receiving struct {
	text []byte // what precedes the content: a head, or the framing of a chunk
	tail []byte // what follows the content: the last chunk, with trailers
	held []byte // a buffer of the loop while it contains text or tail

	piece []byte // content in the connection's buffer
	buf   []byte // a buffer of the loop while it has content
	taken int    // how much of buf was read

	frame [20]byte // memory for the framing of a chunk, which is then in text
	chunk int      // remaining bytes of the chunk whose size line was read
	form  http2.Form

	recvWindow http2.Window
	grant      http2.Grant
	received   int64 // bytes of content received
	waited     bool  // some content since the last grant was not read on arrival

	headDone bool   // the final head has arrived
	ended    bool   // nothing more will arrive
	chunked  bool   // content is presented as chunked
	stable   bool   // text and tail are in memory that stays valid
	trailers []byte // what follows content of a known length, in the form of HTTP/1.1; else trailers are in tail
}

var lastChunk = []byte("0\r\n\r\n")

// begin takes the head of a request.
func (s *Stream) begin(form http2.Form, end bool, text []byte) {
	s.headDone, s.asksHead = true, form.Head
	s.takeHead(form, end, text)
}

// takeHead takes a final head.
func (s *Stream) takeHead(form http2.Form, end bool, text []byte) {
	s.form, s.ended, s.chunked = form, end, form.Chunked
	s.text, s.stable = text, false
}

// receiveHead takes the head of a response.
func (s *Stream) receiveHead(b *block, text []byte) {
	form, end := s.c.decoder.Form(), b.end
	switch {
	case form.Status == 101:
		s.c.streamError(s.id, errSwitch)
		return
	case form.Interim() && end:
		s.c.streamError(s.id, errInterimEnd)
		return
	case form.Interim():
		if s.hasUnreadHead() { // the user has not read the previous one
			s.c.count(http2.EventOther)
			return
		}
		s.text, s.stable = text, false
	default:
		s.headDone, s.form = true, form
		if err := s.checkLength(); end && err != nil {
			s.c.streamError(s.id, err)
			return
		}
		if s.hasUnreadHead() {
			text = append(append([]byte(nil), s.text...), text...)
		}
		s.takeHead(form, end, text)
		if !end && b.text == nil {
			s.deliverLater()
			return
		}
	}
	s.deliver()
}

// hasUnreadHead reports whether part of a head has not been read yet.
func (s *Stream) hasUnreadHead() bool { return len(s.text) > 0 }

// receiveTrailers takes the trailers at the end of the stream. They are dropped if the content's length is known, since HTTP/1.1
// then has no place for them.
func (s *Stream) receiveTrailers(text []byte) {
	if err := s.checkLength(); err != nil {
		s.c.streamError(s.id, err)
		return
	}
	s.ended = true
	if !s.chunked && s.form.Length > 0 {
		s.trailers = append([]byte(nil), text...)
	}
	if s.chunked {
		m := s.c.muxer
		m.block = append(append(m.block[:0], "0\r\n"...), text...)
		s.tail, s.stable = m.block, false
		s.keepHeads() // the user writes heads too, which use the same memory
	}
	s.deliver()
}

// MayHaveTail reports whether trailers follow content of a known length, or may still come.
func (s *Stream) MayHaveTail() bool { return !s.ended || len(s.trailers) > 0 }

// Tail returns the trailers that follow content of a known length, with the empty line at their end; nil if there are none. Ended reports whether
// the peer has ended the stream, so that no others can come.
func (s *Stream) Tail() (trailers []byte, ended bool) { return s.trailers, s.ended }

// checkLength returns an error if a message that ends here is shorter than its head says.
func (s *Stream) checkLength() *http2.Error {
	if s.form.Length >= 0 && s.received < s.form.Length && !s.mayBeShort() {
		return errTooLittle
	}
	return nil
}

// mayBeShort reports whether the message is a response without content, for which content-length says nothing.
func (s *Stream) mayBeShort() bool {
	return s.role == client && (s.asksHead || s.form.Bodiless())
}

// receive takes DATA, or a piece of it.
func (s *Stream) receive(f *http2.Frame) {
	c, n := s.c, len(f.Payload)
	var err *http2.Error
	switch {
	case s.ended:
		err = errStreamOver
	case !s.headDone:
		err = errDataEarly
	default:
		err = s.recvWindow.Spend(f.Cost, false)
	}
	s.received += int64(n)
	if err == nil && (s.form.Length >= 0 && s.received > s.form.Length || n > 0 && s.mayBeShort()) {
		err = errTooMuch
	}
	end := f.Last && f.Has(http2.EndStream)
	if err == nil && end {
		err = s.checkLength()
	}
	if err != nil {
		c.consumed(f.Cost)
		c.streamError(s.id, err)
		return
	}
	if padding := f.Cost - n; padding > 0 {
		s.consumed(padding)
	}
	if end {
		s.ended = true
		if s.chunked {
			s.tail = lastChunk
		}
	}
	if n == 0 && !end {
		return
	}
	if s.buf != nil {
		s.hold(f.Payload)
		s.keepHeads()
		s.conn.HasMore(true)
		s.conn.Notify()
		return
	}
	if at := len(s.piece); at > 0 { // a frame header lies between the two
		s.piece = s.piece[:at+n]
		copy(s.piece[at:], f.Payload)
	} else {
		s.piece = f.Payload
	}
	s.deliverLater()
}

// deliver lets the user read what has arrived, and keeps what it leaves.
func (s *Stream) deliver() {
	c, id := s.c, s.id
	s.conn.HasMore(true)
	s.conn.Notify()
	if c.find(id) == s {
		s.keep()
	}
}

// keep copies what is still in the connection's buffers.
func (s *Stream) keep() {
	if len(s.piece) > 0 {
		p := s.piece
		s.piece = nil
		s.hold(p)
	}
	s.piece = nil
	s.keepHeads()
}

// isKept reports whether all received and unread bytes are in the stream's own buffers.
func (s *Stream) isKept() bool {
	return len(s.piece) == 0 && (s.stable || len(s.text)+len(s.tail) == 0)
}

// keepHeads copies text and tail, unless they are in memory that stays valid.
func (s *Stream) keepHeads() {
	if s.stable || len(s.text)+len(s.tail) == 0 {
		return
	}
	held := s.c.loop.Buffer(len(s.text) + len(s.tail))[:0]
	held = append(append(held, s.text...), s.tail...)
	n := len(s.text)
	s.text, s.tail, s.stable = held[:n:n], held[n:], true
	if s.held != nil {
		s.c.loop.FreeBuffer(s.held)
	}
	s.held = held
}

// hold copies content into buf. The windows bound its size.
func (s *Stream) hold(p []byte) {
	s.waited = true
	rest := s.buf[s.taken:]
	if cap(s.buf)-len(s.buf) < len(p) {
		// The window may have grown beyond the largest size of buffers, and content may come in small pieces: it must not be copied for each of them.
		size := max(min(2*len(rest), engine.ScratchSize), min(len(rest)+len(rest)/4, int(s.grant.Size)))
		s.rebuffer(max(len(rest)+len(p), size))
	}
	s.buf = append(s.buf, p...)
}

// rebuffer moves the content that was not read to a buffer of at least size bytes.
func (s *Stream) rebuffer(size int) {
	b := s.c.loop.Buffer(size)
	b = b[:copy(b, s.buf[s.taken:])]
	if s.buf != nil {
		s.c.loop.FreeBuffer(s.buf)
	}
	s.buf, s.taken = b, 0
}

// content returns the content that has not been read.
func (s *Stream) content() []byte {
	if s.buf != nil {
		return s.buf[s.taken:]
	}
	return s.piece
}

// take records that n bytes of content were read.
func (s *Stream) take(n int) {
	if s.buf == nil {
		s.piece = s.piece[n:]
	} else {
		s.taken += n
		switch rest := len(s.buf) - s.taken; {
		case rest == 0:
			s.c.loop.FreeBuffer(s.buf)
			s.buf, s.taken = nil, 0
		case rest < cap(s.buf)/4 && cap(s.buf) > minBuffer: // windows bound what is held, so what is not held must not take memory for long
			s.rebuffer(rest)
		}
	}
	s.consumed(n)
}

// consumed records that n bytes from the peer no longer occupy the window.
func (s *Stream) consumed(n int) {
	if s.detached {
		return
	}
	s.c.consumed(n)
	if s.ended {
		return
	}
	if more := s.grant.Consumed(n); more > 0 {
		more += s.growth()
		s.recvWindow += http2.Window(more)
		s.c.control(4)
		s.c.out = http2.AppendWindowUpdate(s.c.out, s.id, more)
	}
}

// growth returns by how much to enlarge the window with a grant. If everything since the last grant was read on arrival, the
// window costs no memory, and a larger one lets distant clients send faster with fewer grants. So the window doubles, up to a
// quarter of the connection's window. All enlarged windows together take up to half of the connection's window; the rest is left for
// streams with their initial window, so that enlarged streams that are no longer read cannot block the others. On a connection to a
// host no window grows, so each stream keeps its share.
func (s *Stream) growth() uint32 {
	c, waited, size := s.c, s.waited, int(s.grant.Size)
	s.waited = s.buf != nil
	if waited || s.role == client || 2*size > c.limits.ConnWindow/4 || c.widened-s.widened()+2*size > c.limits.ConnWindow/2 {
		return 0
	}
	c.widened -= s.widened()
	s.grant.Size += uint32(size)
	c.widened += s.widened()
	return uint32(size)
}

// widened returns the size of the window if it has been enlarged; otherwise 0.
func (s *Stream) widened() int {
	if size := int(s.grant.Size); size > s.c.limits.Window {
		return size
	}
	return 0
}

// Read implements engine.Layer.
func (s *Stream) Read(c *engine.Conn, p []byte) (n int, err error) {
	if s.failure != nil {
		return 0, s.failure
	}
	for n < len(p) {
		if len(s.text) > 0 {
			k := copy(p[n:], s.text)
			n, s.text = n+k, s.text[k:]
			continue
		}
		content := s.content()
		if !s.chunked {
			if len(content) == 0 {
				break
			}
			k := copy(p[n:], content)
			n += k
			s.take(k)
			continue
		}
		switch {
		case s.chunk > 0:
			k := copy(p[n:min(len(p), n+s.chunk)], content)
			n += k
			s.take(k)
			if s.chunk -= k; s.chunk == 0 {
				s.text = append(s.frame[:0], "\r\n"...)
			}
		case len(content) > 0:
			s.chunk = len(content)
			s.text = append(strconv.AppendInt(s.frame[:0], int64(s.chunk), 16), "\r\n"...)
		default:
			s.text, s.tail = s.tail, nil
		}
		if s.chunk == 0 && len(s.text) == 0 {
			break
		}
	}
	if n > 0 {
		c.HasMore(s.hasMore())
		return n, nil
	}
	c.HasMore(false)
	return 0, unix.EAGAIN
}

// hasMore reports whether there is something to read.
func (s *Stream) hasMore() bool {
	return len(s.text) > 0 || len(s.content()) > 0 || len(s.tail) > 0
}

// dropReceived discards what was not read.
func (s *Stream) dropReceived() {
	if n := len(s.content()); n > 0 && !s.detached {
		s.c.consumed(n)
	}
	loop := s.c.loop
	if s.buf != nil {
		loop.FreeBuffer(s.buf)
	}
	if s.held != nil {
		loop.FreeBuffer(s.held)
	}
	s.buf, s.held, s.taken, s.piece, s.text, s.tail = nil, nil, 0, nil, nil, nil
}
