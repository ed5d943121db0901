package h2conn

import "kroxy-ev/httpcodec/http2"

// A client is told to leave in two steps, since it may be about to open a stream: first that it must not open any more streams,
// and after a round trip which stream is the last that is served (RFC 9113 section 6.8).

const (
	// firstTime is how long, in ms, Leave waits for the first request of a client. That of one that has just connected is likely under way, and
	// clients do not expect GOAWAY before it: Go's does not try again elsewhere.
	firstTime = 1000
	// leaveTime is how long, in ms, to wait for the reply to the PING of the first step.
	leaveTime = 1000
	// lingerTime is how long, in ms, the peer has to read what was sent last. Closing a socket with unread input might destroy that.
	lingerTime = 1000

	everyStream = 1<<31 - 1
)

// drainPing is the payload of the PING of the first step.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'}

// Leave ends the connection once its streams are over. A client is told so; to a host no more streams are opened.
func (c *Conn) Leave() {
	if c.state != stateOpen || c.mustLeave {
		return
	}
	c.loop.Again(c.socket)
	c.since = c.loop.Now()
	switch {
	case c.role == client:
		c.state = stateLeft
	case c.asked:
		c.startLeaving()
	default:
		c.mustLeave = true
	}
}

// startLeaving tells a client that it must not open any more streams.
func (c *Conn) startLeaving() {
	c.mustLeave, c.state, c.since = false, stateLeaving, c.loop.Now()
	c.control(2 * (http2.HeaderLen + 8))
	c.out = http2.AppendGoAway(c.out, everyStream, http2.NoError, "")
	c.out = http2.AppendPing(c.out, false, drainPing)
}

// sendLastGoAway tells the client which stream is the last that is served.
func (c *Conn) sendLastGoAway() {
	c.state, c.since = stateLeft, c.loop.Now()
	c.control(8)
	c.out = http2.AppendGoAway(c.out, c.last, http2.NoError, "")
}

// startLinger ends a connection on which nothing more is served.
func (c *Conn) startLinger() {
	if c.role == client {
		if c.state == stateLeft && c.flush() {
			c.close()
			return
		}
	}
	c.state, c.since = stateLingering, c.loop.Now()
	c.freeIn()
	c.block.free(c)
}

// linger sends what is queued, and closes the socket when the peer has closed its end.
func (c *Conn) linger() {
	if c.broken != nil {
		c.close()
		return
	}
	if c.flush() && !c.finSent {
		c.finSent = true
		if c.socket.CloseWrite() != nil {
			c.close()
			return
		}
	}
	if c.socket.Readable() {
		c.loop.Again(c.socket)
	}
}
