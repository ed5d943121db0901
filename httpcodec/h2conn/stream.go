package h2conn

import (
	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// Stream is a stream of a connection: the engine.Stream of the Conn that it is attached to. It is over when that is closed.
//
// It is two halves. What is received is a head in the form of HTTP/1.1, then content, which is chunked in that form if nobody knows its length,
// then an end. What is sent is read in the same form: see framing.
type Stream struct {
	c        *Conn
	role     role
	conn     *engine.Conn // that it is attached to; nil before
	id       uint32       // 0 before the head of a request to a host was sent
	began    int64        // ms on the loop's clock
	head     int          // bytes of a request's head, which are counted in the connection's heads
	chain    *Stream      // in the table
	next     *Stream      // in the connection's fifo
	prev     *Stream
	waits    bool // in the fifo
	gone     bool // it is not among the connection's streams any more, which may itself be gone
	told     bool // the peer knows that it is over: by its own reset, or by ours
	canceled bool // a reset says that nobody wants the rest, not that something has failed
	grew     bool // moveWindows has not come to it
	asksHead bool // the request is for a head only
	failure  error

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

// Attach makes to, which is closed, the Conn of the stream.
func (s *Stream) Attach(to *engine.Conn, h engine.Handler) {
	s.conn = to
	s.c.loop.AttachStream(to, s, h)
}

// ID is the stream's number; 0 if it has none yet.
func (s *Stream) ID() uint32 { return s.id }

// Open makes to, which is closed, a new stream to the host. It reports false if the connection takes no more.
func (c *Conn) Open(to *engine.Conn, h engine.Handler) bool {
	if c.Free() == 0 {
		return false
	}
	s := c.stream()
	s.Attach(to, h)
	c.add(s)
	return true
}

// Free is how many streams more the host takes now: none before its settings have come.
func (c *Conn) Free() int {
	const lastID = 1<<31 - 1
	if !c.greeted || c.goingAway || c.state != stateOpen || c.broken != nil || c.next >= lastID-2*maxClosed {
		return 0
	}
	return max(min(int(c.peer.MaxStreams), c.limits.MaxStreams)-c.open, 0)
}

// Failure implements engine.Stream.
func (s *Stream) Failure() error { return s.failure }

// Socket implements engine.Stream; nil if the connection may be gone.
func (s *Stream) Socket() *engine.Conn {
	if s.gone {
		return nil
	}
	return s.c.socket
}

// Writable implements engine.Layer. Nobody calls it: there is no socket.
func (s *Stream) Writable(*engine.Conn) {}

// Unsent implements engine.Layer. What the stream took is the connection's.
func (s *Stream) Unsent() int { return 0 }

// fail ends the stream, of which nothing is any use. Its user is told, and closes it. Reset says that this side has reset it.
func (s *Stream) fail(err error, reset bool) {
	s.failure = err
	s.dropReceived()
	s.leave(reset)
	if s.conn != nil {
		s.conn.Failed()
		s.conn.Notify()
	}
}

// leave takes the stream out of the connection.
func (s *Stream) leave(reset bool) {
	if s.gone {
		return
	}
	s.gone = true
	c := s.c
	if c.fresh == s {
		c.fresh = nil
	}
	c.open--
	c.heads -= s.head
	c.widened -= int(s.grant.Size) - c.limits.Window
	c.remove(s, reset)
	if c.open == 0 {
		c.idleSince = c.loop.Now()
	}
	c.later()
}

// peerReset ends the stream because the peer has reset it. A host that has sent its whole response wants no more of the request: that response
// is to be read still.
func (s *Stream) peerReset(code http2.Code) {
	s.told = true
	err := resetBy(code)
	if s.role == client && code == http2.RefusedStream {
		err = ErrRefused
	}
	if s.isWhole() {
		s.outlive(err)
		return
	}
	s.fail(err, false)
}

// isWhole reports whether the stream is one to a host, and nothing more of its response is to come.
func (s *Stream) isWhole() bool { return s.role == client && s.ended }

// outlive takes the stream out of the connection; its user may still read what has come. Err is why nothing more is sent.
func (s *Stream) outlive(err error) {
	s.unwanted = err
	s.leave(false)
	s.conn.HasRoom(true)
	s.conn.Notify()
}

// Closing implements engine.Layer.
func (s *Stream) Closing(_ *engine.Conn, reset bool) {
	if !s.gone {
		s.say(reset)
	}
	s.dropReceived()
	s.leave(s.told)
	s.recycle()
}

// Cancel has the reset that may come tell the peer that the rest is not wanted any more (CANCEL), not that something has failed.
func (s *Stream) Cancel() { s.canceled = true }

// say tells the peer how the stream ends here.
func (s *Stream) say(reset bool) {
	if s.framing == framingRaw && !reset {
		s.end()
	}
	code := http2.InternalError
	switch whole := s.framing == framingOver; {
	case s.id == 0, whole && s.ended: // it has not begun, or both sides have said all
		return
	case s.role == client, s.canceled:
		code = http2.Cancel
	case whole:
		code = http2.NoError // the rest of the request is not wanted (RFC 9113 section 8.1)
	}
	s.told = true
	s.c.writeReset(s.id, code)
}

// recycle makes the struct ready for another stream.
func (s *Stream) recycle() {
	m := s.c.muxer
	s.c, s.conn = nil, nil
	m.streams.Put(s)
}
