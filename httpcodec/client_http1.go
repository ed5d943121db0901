package httpcodec

import (
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/streamcodec"
)

// Times in ms.
const (
	lingerSilence = 5000  // a lingering client is closed once it has sent nothing for this long,
	lingerTime    = 30000 // and after this long in any case
)

// clientState is the state of a client's connection.
type clientState uint8

const (
	clientOpen        clientState = iota // it has an exchange, or waits for a request
	clientOpening                        // its TLS handshake or PROXY header is under way
	clientLingering                      // after the last response: input is discarded
	clientFlushing                       // it will be reset once it has received what was sent to it
	clientTunnelled                      // its socket belongs to a stream session
	clientChoosing                       // it may speak HTTP/1 or HTTP/2; its first bytes will tell
	clientMultiplexed                    // its socket carries HTTP/2
)

func (s clientState) String() string {
	return [...]string{"open", "opening", "lingering", "flushing", "tunnelled", "choosing", "multiplexed"}[s]
}

// h1client is a client's connection. With HTTP/1 it has one exchange at a time. An idle one holds no other memory.
type h1client struct {
	client
	listener     *engine.Listener // that accepted it
	opening      *opening.Opening // in state clientOpening
	h2           *h2client        // in state clientMultiplexed
	next         *h1client        // in the server's list
	prev         *h1client
	since        int64             // when it became idle or began to linger, in ms on the loop's clock
	last         streamcodec.Flush // in state clientFlushing
	flushTimeout time.Duration     // in state clientFlushing
	lastRead     int64             // when it last sent something while lingering, in ms on the loop's clock
	place        metrics.Place     // where the connection is counted as active
	state        clientState
}

// Ready implements engine.Handler.
func (c *h1client) Ready(*engine.Conn) {
	if c.x != nil {
		c.x.clientReady()
		return
	}
	switch c.state {
	case clientOpen:
		if c.conn.Readable() {
			c.begin()
			c.x.readHead()
		}
	case clientLingering:
		c.linger()
	case clientFlushing:
		if c.conn.Errored() && c.conn.SocketError() != nil {
			c.reset()
		}
	case clientChoosing:
		if c.conn.Readable() {
			c.choose()
		}
	case clientOpening, clientTunnelled, clientMultiplexed:
	}
}

// Expired implements engine.Handler.
func (c *h1client) Expired(*engine.Timer) {
	now := c.server.loop.Now()
	if c.x != nil {
		c.x.expired(now)
		return
	}
	if c.state == clientFlushing {
		c.flush()
		return
	}
	if at := c.deadline(); at <= now {
		c.close()
	} else {
		c.arm(at)
	}
}

// deadline is when a client without an exchange is closed.
func (c *h1client) deadline() int64 {
	timeout := c.settings.Server.ClientHeaderTimeout
	switch {
	case c.state == clientLingering:
		return min(c.lastRead+lingerSilence, c.since+lingerTime)
	case c.served:
		timeout = c.settings.Server.KeepaliveTimeout
	case c.leaving():
		return c.since + drainGrace
	}
	if timeout == 0 {
		return engine.Never
	}
	return c.since + timeout.Milliseconds()
}

// drainGrace is how long, in ms, a drain waits for the first request of a client that connected before the drain began. The
// request is probably on its way, and unlike a client that has had a response, this one would not retry it.
const drainGrace = 1000

// leaving reports whether the client must be closed after its next response, if not before.
func (c *h1client) leaving() bool { return c.server.draining || c.entry.leaving }

// closeIfIdle closes the client, which is leaving, if it is idle. If it has sent a request that the loop has not noticed yet, the
// request is served first; if it has not had a response yet it gets drainGrace.
func (c *h1client) closeIfIdle() {
	switch {
	case c.x != nil:
	case c.state == clientOpen:
		c.begin()
		c.x.readHead()
	case c.state == clientChoosing:
		c.wait()
	case c.state == clientMultiplexed:
		c.h2.leave()
	}
}

// serve starts to serve a client whose connection has been opened.
func (c *h1client) serve() {
	switch p := c.entry.Protocols; {
	case c.peer.Protocol() == "h2", p != 0 && p&HTTP1 == 0:
		c.multiplex()
		return
	case p&H2C != 0:
		c.state = clientChoosing
	}
	c.wait()
	c.Ready(&c.conn) // its first request may already have arrived
}

// begin gives c an exchange.
func (c *h1client) begin() { c.server.begin(&c.client, c) }

// protocol implements downstream.
func (c *h1client) protocol(minor uint8) string { return protocols[minor] }

// isLast implements downstream.
func (c *h1client) isLast() bool { return c.server.leaving.Load() || c.entry.leaving }

// keep implements downstream.
func (c *h1client) keep() {
	if c.leaving() {
		c.startLinger() // it was not told that this was the last response
	} else {
		c.wait()
	}
}

// wait implements downstream. If the server is draining, a client that has had a response is closed.
func (c *h1client) wait() {
	if c.leaving() && c.served {
		c.close()
		return
	}
	c.since = c.server.loop.Now()
	c.arm(c.deadline())
}

// end implements downstream.
func (c *h1client) end(expected bool) {
	if expected {
		c.startLinger()
	} else {
		c.close()
	}
}

// fail implements downstream.
func (c *h1client) fail(why cause, timeout time.Duration) {
	if why.status >= 500 {
		c.startFlush(timeout)
	} else {
		c.reset()
	}
}

// startLinger tells the client that nothing more will come, and discards what it still sends. Closing a socket with unread bytes
// would send a reset, which may destroy the response on its way (RFC 9112 section 9.6). Lingering is bounded by time and not by
// the number of bytes, since a client may send its whole request before it reads the response.
func (c *h1client) startLinger() {
	if c.conn.CloseWrite() != nil {
		c.close()
		return
	}
	now := c.server.loop.Now()
	c.state, c.lastRead, c.since = clientLingering, now, now
	c.arm(c.deadline())
	c.linger()
}

// linger discards what the client has sent. It yields after a budget, so that a client that sends without end does not starve others.
func (c *h1client) linger() {
	loop := c.server.loop
	for left := budget; c.conn.Readable(); {
		if left <= 0 {
			loop.Again(&c.conn)
			return
		}
		n, err := c.conn.Read(loop.Scratch())
		if err != nil && !again(err) {
			c.close()
			return
		}
		if n > 0 {
			c.lastRead = loop.Now()
		}
		left -= n
	}
}

// startFlush resets the connection as soon as the client has acknowledged what was sent to it, which a reset would destroy. It
// gives up if the client acknowledges nothing for the given timeout.
func (c *h1client) startFlush(timeout time.Duration) {
	c.state, c.flushTimeout = clientFlushing, timeout
	c.server.loop.Disarm(&c.timer)
	if c.last.Begin(&c.conn) {
		c.arm(c.server.loop.Now() + streamcodec.FlushLook)
	} else {
		c.reset()
	}
}

func (c *h1client) flush() {
	if c.last.Over(&c.conn, c.flushTimeout) {
		c.reset()
		return
	}
	c.arm(c.server.loop.Now() + streamcodec.FlushLook)
}

// close implements downstream.
func (c *h1client) close() {
	if c.opening != nil {
		c.opening.Cancel()
		c.opening = nil
	}
	c.conn.Close()
	c.server.closed(c)
}

// reset ends the connection in a way that the client cannot mistake for the end of a response.
func (c *h1client) reset() {
	c.conn.Reset()
	c.server.closed(c)
}
