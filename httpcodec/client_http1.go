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
	lingerSilence = 5000  // a client that was told of the end is closed once it has sent nothing for this long,
	lingerTime    = 30000 // and after this long whatever it sends
)

// clientState is what a connection is at.
type clientState uint8

const (
	clientOpen        clientState = iota // with an exchange, between two, or before the first
	clientOpening                        // what comes before its first request is being waited for
	clientLingering                      // after the last response: what it still sends is dropped
	clientFlushing                       // about to be reset, once it has what was sent to it
	clientTunnelled                      // its socket belongs to a stream session
	clientChoosing                       // whether it speaks HTTP/1 or HTTP/2 is not known
	clientMultiplexed                    // its socket carries HTTP/2
)

func (s clientState) String() string {
	return [...]string{"open", "opening", "lingering", "flushing", "tunnelled", "choosing", "multiplexed"}[s]
}

// h1client is a client's connection, which has one exchange of HTTP/1 at a time. An idle one owns nothing but itself.
type h1client struct {
	client
	listener *engine.Listener // that let it in
	opening  *opening.Opening // of clientOpening
	h2       *h2client        // of clientMultiplexed
	next     *h1client        // in the server's list
	prev     *h1client
	since    int64             // when it became idle, or began to linger; ms on the loop's clock
	last     streamcodec.Flush // of clientFlushing
	patience time.Duration     // likewise
	heard    int64             // when it last sent something while lingering; ms on the loop's clock
	place    metrics.Place     // where the connection is counted as active
	state    clientState
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
		return min(c.heard+lingerSilence, c.since+lingerTime)
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

// drainGrace is how long, in ms, a drain waits for the first request of a client that has connected before it: it is likely
// to be under way, and its client, unlike one that was answered before, would not try it again.
const drainGrace = 1000

// leaving reports whether the client is to be gone after its next response at the latest.
func (c *h1client) leaving() bool { return c.server.draining || c.entry.leaving }

// hurry closes an idle client that is to be gone, unless it has sent a request that the loop has not been told of.
func (c *h1client) hurry() {
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

// serve serves a client whose connection is open, as the first thing.
func (c *h1client) serve() {
	switch p := c.entry.Protocols; {
	case c.peer.Protocol() == "h2", p != 0 && p&HTTP1 == 0:
		c.multiplex()
		return
	case p&H2C != 0:
		c.state = clientChoosing
	}
	c.wait()
	c.Ready(&c.conn) // its first request may have come along
}

// begin gives it an exchange.
func (c *h1client) begin() { c.server.begin(&c.client, c) }

// protocol implements downstream.
func (c *h1client) protocol(minor uint8) string { return protocols[minor] }

// isLast implements downstream.
func (c *h1client) isLast() bool { return c.server.leaving.Load() || c.entry.leaving }

// keep implements downstream.
func (c *h1client) keep() {
	if c.leaving() {
		c.startLinger() // it was not told that this is the last response
	} else {
		c.wait()
	}
}

// wait implements downstream. If the server takes no more requests a client that has had a response is closed.
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
func (c *h1client) fail(why cause, patience time.Duration) {
	if why.status >= 500 {
		c.startFlush(patience)
	} else {
		c.reset()
	}
}

// startLinger tells the client that nothing more will come, and drops what it still sends: closing a socket with unread
// bytes is a reset, which may destroy the response on its way (RFC 9112 section 9.6). Time bounds this and not the number of
// bytes: a client may send its whole request before it reads the response.
func (c *h1client) startLinger() {
	if c.conn.CloseWrite() != nil {
		c.close()
		return
	}
	now := c.server.loop.Now()
	c.state, c.heard, c.since = clientLingering, now, now
	c.arm(c.deadline())
	c.linger()
}

// linger drops what the client has sent. One that sends without end must not keep the loop from others.
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
			c.heard = loop.Now()
		}
		left -= n
	}
}

// startFlush resets the connection as soon as the client has confirmed what it was sent, which a reset would destroy. It is not waited
// for when it confirms nothing for so long.
func (c *h1client) startFlush(patience time.Duration) {
	c.state, c.patience = clientFlushing, patience
	c.server.loop.Disarm(&c.timer)
	if c.last.Begin(&c.conn) {
		c.arm(c.server.loop.Now() + streamcodec.FlushLook)
	} else {
		c.reset()
	}
}

func (c *h1client) flush() {
	if c.last.Over(&c.conn, c.patience) {
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

// reset ends the connection in a way that cannot be taken for the end of a response.
func (c *h1client) reset() {
	c.conn.Reset()
	c.server.closed(c)
}
