package httpcodec

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/opening"
	"kroxy-ev/streamcodec"
)

// Times in ms.
const (
	lingerSilence = 5000  // a client that was told of the end is closed once it has sent nothing for this long,
	lingerTime    = 30000 // and after this long whatever it sends
)

// clientState is what a client connection is at.
type clientState uint8

const (
	clientIdle      clientState = iota // between requests, or before the first
	clientOpening                      // what comes before its first request is being waited for
	clientBusy                         // with an exchange
	clientLingering                    // after the last response: what it still sends is dropped
	clientFlushing                     // about to be reset, once it has what was sent to it
	clientTunnelled                    // its socket belongs to a stream session
)

func (s clientState) String() string {
	return [...]string{"idle", "opening", "busy", "lingering", "flushing", "tunnelled"}[s]
}

// client is a client connection of HTTP/1, which has one exchange at a time. An idle one owns nothing but itself.
type client struct {
	server   *Server
	entry    *Entry           // of the listener
	settings *Settings        // the entry's, as they were when its last request was there, or it came
	listener *engine.Listener // that let it in
	x        *exchange        // while busy
	opening  *opening.Opening // of clientOpening
	next     *client          // in the server's list
	prev     *client
	conn     engine.Conn
	timer    engine.Timer
	peer     opening.Peer
	since    int64             // when it became idle, or began to linger; ms on the loop's clock
	last     streamcodec.Flush // of clientFlushing
	patience time.Duration     // likewise
	heard    int64             // when it last sent something while lingering; ms on the loop's clock
	state    clientState
	served   bool // it has had a response
	pieces   pieces
}

// Ready implements engine.Handler.
func (c *client) Ready(*engine.Conn) {
	switch c.state {
	case clientBusy:
		c.x.clientReady()
	case clientIdle:
		if c.conn.Readable() {
			c.server.begin(c)
			c.x.readHead()
		}
	case clientLingering:
		c.linger()
	case clientFlushing:
		if c.conn.Errored() && c.conn.SocketError() != nil {
			c.reset()
		}
	case clientOpening, clientTunnelled:
	}
}

// Expired implements engine.Handler.
func (c *client) Expired(*engine.Timer) {
	now := c.server.loop.Now()
	if c.state == clientBusy {
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
func (c *client) deadline() int64 {
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

func (c *client) arm(at int64) {
	if at != engine.Never {
		c.server.loop.Arm(&c.timer, at)
	}
}

// drainGrace is how long, in ms, a drain waits for the first request of a client that has connected before it: it is likely
// to be under way, and its client, unlike one that was answered before, would not try it again.
const drainGrace = 1000

// leaving reports whether the client is to be gone after its next response at the latest.
func (c *client) leaving() bool { return c.server.draining || c.entry.leaving }

// hurry closes an idle client that is to be gone, unless it has sent a request that the loop has not been told of.
func (c *client) hurry() {
	if c.state == clientIdle {
		c.server.begin(c)
		c.x.readHead()
	}
}

// isLast reports whether a response whose head is written now is the client's last.
func (c *client) isLast() bool { return c.server.leaving.Load() || c.entry.leaving }

// wait makes the client idle: its next request is waited for, if the server takes any more.
func (c *client) wait() {
	if c.leaving() && c.served {
		c.close()
		return
	}
	c.since = c.server.loop.Now()
	c.arm(c.deadline())
}

// startLinger tells the client that nothing more will come, and drops what it still sends: closing a socket with unread
// bytes is a reset, which may destroy the response on its way (RFC 9112 section 9.6). Time bounds this and not the number of
// bytes: a client may send its whole request before it reads the response.
func (c *client) startLinger() {
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
func (c *client) linger() {
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
func (c *client) startFlush(patience time.Duration) {
	c.state, c.patience = clientFlushing, patience
	c.server.loop.Disarm(&c.timer)
	if c.last.Begin(&c.conn) {
		c.arm(c.server.loop.Now() + streamcodec.FlushLook)
	} else {
		c.reset()
	}
}

func (c *client) flush() {
	if c.last.Over(&c.conn, c.patience) {
		c.reset()
		return
	}
	c.arm(c.server.loop.Now() + streamcodec.FlushLook)
}

// close ends the connection.
func (c *client) close() {
	if c.opening != nil {
		c.opening.Cancel()
		c.opening = nil
	}
	c.conn.Close()
	c.server.closed(c)
}

// reset ends the connection in a way that cannot be taken for the end of a response.
func (c *client) reset() {
	c.conn.Reset()
	c.server.closed(c)
}

// again reports whether err only means that the descriptor is not ready.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }

// ended reports whether err is the end of a stream.
func ended(err error) bool { return errors.Is(err, io.EOF) }
