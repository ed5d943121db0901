package h2conn

import (
	"strconv"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// receiving is the half of a stream that the peer sends.
//
// What has come is first text, then content, then tail. Text and content may lie in a buffer of the connection's while the stream's user is told of
// them; keep copies what is left of them then. So what is read at once is not copied twice.
type receiving struct {
	text []byte // what is to be read before content: a head, or the framing of a chunk
	tail []byte // what is to be read behind it: the last chunk, with trailers
	held []byte // the loop's buffer while text or tail lies in it

	piece []byte // content in the connection's buffer
	buf   []byte // the loop's buffer while content lies in it,
	taken int    // and how much of that was read

	frame [20]byte // the framing of a chunk: text lies here, then
	chunk int      // bytes of content that belong to the chunk whose line was read
	form  http2.Form

	recvWindow http2.Window
	grant      http2.Grant
	received   int64 // bytes of content
	waited     bool  // some of it was not read when it came, since the last grant

	heard   bool // the final head has come
	ended   bool // nothing more comes
	chunked bool // content is to be chunked
	stays   bool // text and tail lie where they stay
}

var lastChunk = []byte("0\r\n\r\n")

// begin takes the head of a request.
func (s *Stream) begin(form http2.Form, end bool, text []byte) {
	s.heard, s.asksHead = true, form.Head
	s.takeHead(form, end, text)
}

// takeHead takes a final head.
func (s *Stream) takeHead(form http2.Form, end bool, text []byte) {
	s.form, s.ended, s.chunked = form, end, form.Chunked
	s.text, s.stays = text, false
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
		if s.left() { // the user has not read the one before
			s.c.count(http2.EventOther)
			return
		}
		s.text, s.stays = text, false
	default:
		s.heard, s.form = true, form
		if err := s.checkLength(); end && err != nil {
			s.c.streamError(s.id, err)
			return
		}
		if s.left() {
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

// left reports whether something of a head was not read yet.
func (s *Stream) left() bool { return len(s.text) > 0 }

// receiveTrailers takes the end of the stream with the trailers before it. Content of a known length has no place for them in the form of HTTP/1.1.
func (s *Stream) receiveTrailers(text []byte) {
	if err := s.checkLength(); err != nil {
		s.c.streamError(s.id, err)
		return
	}
	s.ended = true
	if s.chunked {
		m := s.c.muxer
		m.block = append(append(m.block[:0], "0\r\n"...), text...)
		s.tail, s.stays = m.block, false
		s.keepHeads() // whoever is told writes heads, too
	}
	s.deliver()
}

// checkLength says whether a message that ends here is as long as its head says.
func (s *Stream) checkLength() *http2.Error {
	if s.form.Length >= 0 && s.received < s.form.Length && !s.mayBeShort() {
		return errTooLittle
	}
	return nil
}

// mayBeShort reports whether content-length says nothing of what comes: in a response without content.
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
	case !s.heard:
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
		c.drained(f.Cost)
		c.streamError(s.id, err)
		return
	}
	if padding := f.Cost - n; padding > 0 {
		s.drained(padding)
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
	if at := len(s.piece); at > 0 { // a header lies between them
		s.piece = s.piece[:at+n]
		copy(s.piece[at:], f.Payload)
	} else {
		s.piece = f.Payload
	}
	s.deliverLater()
}

// deliver has the user read what has come, and keeps what it leaves.
func (s *Stream) deliver() {
	c, id := s.c, s.id
	s.conn.HasMore(true)
	s.conn.Notify()
	if c.find(id) == s {
		s.keep()
	}
}

// keep copies what lies in buffers of the connection's.
func (s *Stream) keep() {
	if len(s.piece) > 0 {
		p := s.piece
		s.piece = nil
		s.hold(p)
	}
	s.piece = nil
	s.keepHeads()
}

// isKept reports whether what was received and is not read yet lies in the stream's own buffers, none of it in the connection's.
func (s *Stream) isKept() bool {
	return len(s.piece) == 0 && (s.stays || len(s.text)+len(s.tail) == 0)
}

// keepHeads copies text and tail, unless they lie where they stay.
func (s *Stream) keepHeads() {
	if s.stays || len(s.text)+len(s.tail) == 0 {
		return
	}
	held := s.c.loop.Buffer(len(s.text) + len(s.tail))[:0]
	held = append(append(held, s.text...), s.tail...)
	n := len(s.text)
	s.text, s.tail, s.stays = held[:n:n], held[n:], true
	if s.held != nil {
		s.c.loop.FreeBuffer(s.held)
	}
	s.held = held
}

// hold keeps a copy of content. Windows bound how much there is of it.
func (s *Stream) hold(p []byte) {
	s.waited = true
	rest := s.buf[s.taken:]
	if cap(s.buf)-len(s.buf) < len(p) {
		bigger := s.c.loop.Buffer(max(len(rest)+len(p), min(2*len(rest), engine.ScratchSize)))
		bigger = bigger[:copy(bigger, rest)]
		if s.buf != nil {
			s.c.loop.FreeBuffer(s.buf)
		}
		s.buf, s.taken = bigger, 0
	}
	s.buf = append(s.buf, p...)
}

// content is what there is of it.
func (s *Stream) content() []byte {
	if s.buf != nil {
		return s.buf[s.taken:]
	}
	return s.piece
}

// take notes that n bytes of content were read.
func (s *Stream) take(n int) {
	if s.buf == nil {
		s.piece = s.piece[n:]
	} else if s.taken += n; s.taken == len(s.buf) {
		s.c.loop.FreeBuffer(s.buf)
		s.buf, s.taken = nil, 0
	}
	s.drained(n)
}

// drained notes that n bytes that the peer has sent are here no longer.
func (s *Stream) drained(n int) {
	if s.gone {
		return
	}
	s.c.drained(n)
	if s.ended {
		return
	}
	if more := s.grant.Drained(n); more > 0 {
		more += s.growth()
		s.recvWindow += http2.Window(more)
		s.c.control(4)
		s.c.out = http2.AppendWindowUpdate(s.c.out, s.id, more)
	}
}

// growth is what the window is made larger by with a grant. If all that came since the last one was read as it came, the window costs no memory,
// and a larger one lets a client that is far away send faster, by fewer grants: it doubles, up to a quarter of the connection's. Half of that is left to
// streams whose windows are what they were at first, so that a few which are read no longer keep no others from sending. On a connection to a host
// each stream keeps its share.
func (s *Stream) growth() uint32 {
	c, waited, size := s.c, s.waited, int(s.grant.Size)
	s.waited = s.buf != nil
	if waited || s.role == client || 2*size > c.limits.ConnWindow/4 || c.widened+size > c.limits.ConnWindow/2 {
		return 0
	}
	c.widened += size
	s.grant.Size += uint32(size)
	return uint32(size)
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

// dropReceived gives back what was not read.
func (s *Stream) dropReceived() {
	if n := len(s.content()); n > 0 && !s.gone {
		s.c.drained(n)
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
