package h2conn

import "kroxy-ev/httpcodec/http2"

// A client is told in two steps that it is to go, since it may be about to begin a stream: at first that streams are not to be begun any more, and
// after a round trip which one is the last that is served (RFC 9113 section 6.8).

const (
	// leaveTime is how long, in ms, the answer to the PING of the first step is waited for.
	leaveTime = 1000
	// lingerTime is how long, in ms, the peer has to read what it was sent last: closing a socket with unread bytes in it might destroy that.
	lingerTime = 1000

	everyStream = 1<<31 - 1
)

// drainPing is the PING of the first step.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'}

// Leave has the connection end once its streams are over. A client learns of it; to a host no stream is begun any more.
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

// sayLast tells the client which stream is the last that is served.
func (c *Conn) sayLast() {
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

// linger sends what is left, and closes the socket when the peer has closed its end.
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
