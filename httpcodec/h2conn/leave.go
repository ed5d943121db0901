package h2conn

import "kroxy-ev/httpcodec/http2"

// A client is told to leave in two steps, since it may be about to open a stream: first that it must not open any more streams,
// and after a round trip which stream is the last that is served (RFC 9113 section 6.8).

const (
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
	if c.state != stateOpen {
		return
	}
	c.since = c.loop.Now()
	if c.role == client {
		c.state = stateLeft
		c.loop.Again(c.socket)
		return
	}
	c.state = stateLeaving
	c.control(2 * (http2.HeaderLen + 8))
	c.out = http2.AppendGoAway(c.out, everyStream, http2.NoError, "")
	c.out = http2.AppendPing(c.out, false, drainPing)
	c.loop.Again(c.socket)
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
