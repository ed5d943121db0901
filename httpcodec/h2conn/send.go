package h2conn

import (
	"bytes"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/http2"
)

// framing says where in its message the sending half of a stream is, and so what it is given next.
type framing uint8

const (
	framingHead   framing = iota // a head
	framingLength                // content of a known length
	framingChunks                // chunked content
	framingRaw                   // content until the stream is closed
	framingOver                  // nothing: the message has ended
)

func (f framing) String() string {
	return [...]string{"head", "length", "chunks", "raw", "over"}[f]
}

// sending is the half of a stream that is sent to the peer.
type sending struct {
	framing     framing
	remaining   int64 // bytes of content left to send, with framingLength
	chunks      http1.Chunks
	sendWindow  http2.Window
	waitsWindow bool // it waits for its own window
	drip        drip
	holdEnd     bool  // with framingLength: content does not end the stream, the last chunk of a chunked body or EndHeld does
	unwanted    error // the error if the host wants no more of the request; else nil
}

// Write implements engine.Layer. It does not begin with bytes that it does not take. A head must be complete in one call.
func (s *Stream) Write(c *engine.Conn, p []byte, _ bool) (n int, err error) {
	for n < len(p) {
		switch {
		case s.failure != nil:
			return n, s.failure
		case s.unwanted != nil:
			return n, s.unwanted
		case s.c.broken != nil:
			return n, s.wait(c) // the connection is about to fail, which notifies the user
		}
		var k int
		switch s.framing {
		case framingHead:
			k, err = s.writeHead(p[n:])
		case framingLength:
			k = s.writeLength(p[n:])
		case framingChunks:
			k, err = s.writeChunks(p[n:])
		case framingRaw:
			k = s.writeData(p[n:], s.room(len(p)-n), false)
		case framingOver:
			return n, errOver
		}
		if err != nil {
			return n, err
		}
		if n += k; k == 0 {
			return n, s.wait(c)
		}
	}
	s.drip.end()
	return n, nil
}

// wait arranges for the user to be notified when the stream may send again.
func (s *Stream) wait(c *engine.Conn) error {
	c.HasRoom(false)
	now := s.c.loop.Now()
	if s.framing != framingHead && s.sendWindow <= 0 {
		s.waitsWindow = true
		s.drip.begin(now)
		return unix.EAGAIN
	}
	if s.c.sendWindow <= 0 {
		s.c.drip.begin(now)
	}
	s.c.waiting.push(s)
	return unix.EAGAIN
}

// windowGrew resumes a stream that has waited for its own window.
func (s *Stream) windowGrew(n int64) {
	if !s.waitsWindow {
		return
	}
	c := s.c
	if err := c.dripped(&s.drip, n); err != nil {
		c.streamError(s.id, err)
		return
	}
	if s.sendWindow <= 0 || c.broken != nil {
		return
	}
	s.waitsWindow = false
	if c.sendWindow <= 0 || c.waitingOut() >= outLimit {
		c.waiting.push(s)
		return
	}
	s.conn.HasRoom(true)
	s.conn.Notify()
}

// minRoom is how many bytes of content are offered to a stream that takes none now, so that it notices that it waits for the peer.
const minRoom = 4 << 10

// Room implements engine.Stream.
func (s *Stream) Room(n int) int {
	if s.detached {
		return n
	}
	return max(s.room(n), min(n, minRoom))
}

// room returns how many bytes of content may be sent now, at most n.
func (s *Stream) room(n int) int {
	n = s.c.sendWindow.Room(s.sendWindow.Room(n))
	if n == 0 {
		return 0
	}
	return min(n, s.c.roomOut())
}

var headEnd = []byte("\r\n\r\n")

// writeHead sends the head at the beginning of p.
func (s *Stream) writeHead(p []byte) (int, error) {
	c := s.c
	if c.roomOut() == 0 {
		return 0, nil
	}
	end := bytes.Index(p, headEnd)
	if end < 0 {
		return 0, errHeadText
	}
	end += len(headEnd)
	if s.role == server {
		s.respond(p[:end])
		return end, nil
	}
	if s.id == 0 {
		if c.goingAway {
			s.failure = ErrMoved
			s.detach(false)
			return 0, ErrMoved
		}
		c.assignID(s)
	}
	s.request(p[:end])
	return end, nil
}

// respond sends the head of a response.
func (s *Stream) respond(head []byte) {
	m := s.c.muxer
	var form http2.Form
	m.block, form = http2.AppendBlock(m.block[:0], head, http2.Response, "")
	switch {
	case form.Interim():
	case s.asksHead, form.Bodiless(), form.Length == 0 && !form.Chunked:
		s.framing = framingOver
	default:
		s.expect(form)
	}
	s.c.appendHead(s.id, m.block, s.framing == framingOver)
}

// request sends the head of a request.
func (s *Stream) request(head []byte) {
	m := s.c.muxer
	var form http2.Form
	m.block, form = http2.AppendBlock(m.block[:0], head, http2.Request, s.c.scheme())
	s.asksHead = form.Head
	if form.Chunked || form.Length > 0 {
		s.expect(form)
	} else {
		s.framing = framingOver
	}
	s.c.appendHead(s.id, m.block, s.framing == framingOver)
}

// expect prepares to send content.
func (s *Stream) expect(form http2.Form) {
	switch {
	case form.Chunked:
		s.framing = framingChunks
		s.chunks.Reset()
	case form.Length >= 0:
		s.framing, s.remaining = framingLength, form.Length
	default:
		s.framing = framingRaw
	}
}

// writeLength sends content of known length.
func (s *Stream) writeLength(p []byte) int {
	room := s.room(int(min(int64(len(p)), s.remaining)))
	if room == 0 {
		return 0
	}
	s.remaining -= int64(room)
	over := s.remaining == 0 && !s.holdEnd
	switch {
	case over:
		s.framing = framingOver
	case s.remaining == 0:
		s.framing = framingChunks
		s.chunks.Reset()
	}
	return s.writeData(p, room, over)
}

// HoldEnd sets whether content of a known length, the rest of which is written next, does not end the stream. Then a last chunk with trailers may be
// written behind it, as in a chunked body, or EndHeld ends it.
func (s *Stream) HoldEnd(hold bool) { s.holdEnd = hold }

// EndHeld ends the stream if all content was written, and HoldEnd has kept that from ending it.
func (s *Stream) EndHeld() {
	if s.holdEnd && s.framing == framingChunks && s.failure == nil && s.unwanted == nil && !s.detached {
		s.end()
	}
}

// writeChunks removes the chunked coding and sends the content.
func (s *Stream) writeChunks(p []byte) (int, error) {
	room := s.room(len(p))
	if room == 0 && s.chunks.InData() {
		return 0, nil
	}
	n, data, err := s.chunks.Next(p, room)
	if err != nil {
		return 0, err
	}
	if len(data) > 0 {
		s.writeData(data, len(data), false)
	}
	if s.chunks.Done() {
		s.end()
	}
	return n, nil
}

// end ends the message, with trailers if there are any.
func (s *Stream) end() {
	trailers := s.framing == framingChunks && len(s.chunks.Trailers()) > 0
	s.framing = framingOver
	if trailers {
		m := s.c.muxer
		m.block, _ = http2.AppendBlock(m.block[:0], s.chunks.Trailers(), http2.Trailers, "")
		s.c.appendHead(s.id, m.block, true)
		return
	}
	s.c.appendData(s.id, nil, true)
}

// writeData sends n bytes of p. The caller has checked that there is room for them.
func (s *Stream) writeData(p []byte, n int, end bool) int {
	if n == 0 {
		return 0
	}
	s.sendWindow -= http2.Window(n)
	s.c.sendWindow -= http2.Window(n)
	s.c.flood.Sent(n)
	s.c.appendData(s.id, p[:n], end)
	return n
}

// appendData writes DATA frames. End says whether nothing more of the stream follows.
func (c *Conn) appendData(id uint32, p []byte, end bool) {
	c.reserve(len(p) + http2.HeaderLen*(len(p)/framePayload+1))
	for {
		h := http2.Header{Length: min(len(p), framePayload), Type: http2.Data, Stream: id}
		if end && h.Length == len(p) {
			h.Flags = http2.EndStream
		}
		c.out = append(h.Append(c.out), p[:h.Length]...)
		if p = p[h.Length:]; len(p) == 0 {
			break
		}
	}
	c.settleLater()
}

// CloseWrite implements engine.Layer. It ends a message that has no other end.
func (s *Stream) CloseWrite(*engine.Conn) error {
	switch {
	case s.failure != nil:
		return s.failure
	case s.framing == framingRaw && s.unwanted == nil:
		s.end()
	}
	return nil
}
