package h2conn

import (
	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// Stream is a stream of a connection. It is the engine.Stream of the Conn to which it is attached, and is over when that Conn is
// closed.
//
// A stream has two halves. The receiving half yields a head in the form of HTTP/1.1, then content (chunked if its length is
// unknown), then an end. The sending half is written in the same form: see framing.
type Stream struct {
	c         *Conn
	role      role
	conn      *engine.Conn // to which it is attached; nil before
	id        uint32       // 0 until the head of a request to a host is sent
	began     int64        // ms on the loop's clock
	head      int          // size of a request's head, as counted in the connection's heads
	chain     *Stream      // next in the table's bucket
	next      *Stream      // next in the connection's fifo
	prev      *Stream
	queued    bool // it is in the fifo
	detached  bool // it is no longer among the streams of the connection, which may itself be gone
	peerKnows bool // the peer knows that it is over, by a reset of either side or by its own GOAWAY
	canceled  bool // a reset of it means that the rest is not wanted, not that something failed
	grew      bool // moveWindows has yet to resume it
	asksHead  bool // it is a HEAD request
	failure   error

	receiving
	sending
}

// stream returns a new stream of c.
func (c *Conn) stream() *Stream {
	s := c.muxer.streams.Get()
	if s == nil {
		s = &Stream{}
	}
	chunks := s.chunks
	*s = Stream{c: c, role: c.role, began: c.loop.Now()}
	s.chunks = chunks
	s.recvWindow, s.sendWindow = http2.Window(c.limits.Window), http2.Window(c.peer.InitialWindow)
	s.grant.Size = uint32(c.limits.Window)
	c.open++
	return s
}

// Attach attaches the stream to a Conn, which must be closed.
func (s *Stream) Attach(to *engine.Conn, h engine.Handler) {
	s.conn = to
	s.c.loop.AttachStream(to, s, h)
}

// ID returns the stream's number; 0 if it has none yet.
func (s *Stream) ID() uint32 { return s.id }

// Open opens a new stream to the host and attaches it to a Conn, which must be closed. It returns false if the connection takes no
// more streams.
func (c *Conn) Open(to *engine.Conn, h engine.Handler) bool {
	if c.Free() == 0 {
		return false
	}
	s := c.stream()
	s.Attach(to, h)
	c.add(s)
	c.begun++
	return true
}

// Free returns how many more streams the host takes now. It is zero until the host's SETTINGS have arrived.
func (c *Conn) Free() int {
	const lastID = 1<<31 - 1
	if !c.gotSettings || c.goingAway || c.state != stateOpen || c.broken != nil || c.next >= lastID-2*maxClosed {
		return 0
	}
	return max(min(int(c.peer.MaxStreams), c.limits.MaxStreams)-c.open, 0)
}

// Failure implements engine.Stream.
func (s *Stream) Failure() error { return s.failure }

// Socket implements engine.Stream. It returns nil if the connection may be gone.
func (s *Stream) Socket() *engine.Conn {
	if s.detached {
		return nil
	}
	return s.c.socket
}

// Writable implements engine.Layer. It is never called, since a stream has no socket.
func (s *Stream) Writable(*engine.Conn) {}

// Unsent implements engine.Layer. Bytes that the stream has taken belong to the connection.
func (s *Stream) Unsent() int { return 0 }

// fail ends the stream and discards what it has. Its user is notified and closes it. Reset says whether this side has reset it.
func (s *Stream) fail(err error, reset bool) {
	s.failure = err
	s.dropReceived()
	s.detach(reset)
	if s.conn != nil {
		s.conn.Failed()
		s.conn.Notify()
	}
}

// detach takes the stream out of the connection. Reset says whether this side has reset it.
func (s *Stream) detach(reset bool) {
	if s.detached {
		return
	}
	s.detached = true
	c := s.c
	if c.pending == s {
		c.pending = nil
	}
	c.open--
	if s.id == 0 {
		c.begun--
	}
	c.heads -= s.head
	c.widened -= s.widened()
	c.remove(s, reset)
	if c.open == 0 {
		c.idleSince = c.loop.Now()
	}
	c.settleLater()
}

// peerReset ends the stream after the peer has reset it. A host that resets a stream after its whole response merely wants no more
// of the request; the response can still be read.
func (s *Stream) peerReset(code http2.Code) {
	s.peerKnows = true
	err := resetBy(code)
	if s.role == client && code == http2.RefusedStream {
		err = ErrRefused
	}
	if s.isWhole() {
		s.detachReadable(err)
		return
	}
	s.fail(err, false)
}

// isWhole reports whether this is a stream to a host whose whole response has arrived.
func (s *Stream) isWhole() bool { return s.role == client && s.ended }

// detachReadable takes the stream out of the connection. Its user may still read what has arrived. Err is the reason why nothing
// more is sent.
func (s *Stream) detachReadable(err error) {
	s.unwanted = err
	s.detach(false)
	s.conn.HasRoom(true)
	s.conn.Notify()
}

// Closing implements engine.Layer.
func (s *Stream) Closing(_ *engine.Conn, reset bool) {
	if !s.detached {
		s.sendEnd(reset)
	}
	s.dropReceived()
	s.detach(s.peerKnows)
	s.recycle()
}

// Cancel makes a later reset tell the peer CANCEL (the rest is not wanted) instead of an error.
func (s *Stream) Cancel() { s.canceled = true }

// sendEnd tells the peer how the stream ends on this side.
func (s *Stream) sendEnd(reset bool) {
	if s.framing == framingRaw && !reset {
		s.end()
	}
	code := http2.InternalError
	switch whole := s.framing == framingOver; {
	case s.id == 0, whole && s.ended: // it has not begun, or both sides are complete
		return
	case s.role == client, s.canceled:
		code = http2.Cancel
	case whole:
		code = http2.NoError // the rest of the request is not wanted (RFC 9113 section 8.1)
	}
	s.peerKnows = true
	s.c.writeReset(s.id, code)
}

// recycle makes the struct available for another stream.
func (s *Stream) recycle() {
	m := s.c.muxer
	s.c, s.conn = nil, nil
	m.streams.Put(s)
}
