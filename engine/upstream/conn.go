package upstream

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
)

// Conn is a connection to a host of a group. It is in use, by the owner of the Claim that has it, or idle in the loop's pool.
type Conn struct {
	engine.Conn
	// Codec is what the codec that uses connections keeps with each. It stays in the struct when that serves for another
	// connection, which is not Used at first.
	Codec any
	// Used says that the connection has served before. The host may be about to close it.
	Used bool

	pool   *pool
	opened int64   // when the stream was, ms on the loop's clock
	shared *shared // of which it is a stream; nil if it has a socket
	timer  engine.Timer
	addr   netip.AddrPort // that it was made to
	index  int            // of the host in its group
	addrs  uint32         // version of its host's addresses when it was last known to be to one of them
	place  metrics.Place  // where it is counted as open; zero if it is not, or by somebody else
	until  int64          // when the host will close it if it stays idle, ms on the loop's clock; 0 if it has not said
	idle   bool
	busy   bool // counted in the demand
}

// Ready implements engine.Handler for an idle connection. Nothing is expected of it: bytes are as bad as its end. A writable
// event alone is nothing, and so are records of TLS without content.
func (c *Conn) Ready(*engine.Conn) {
	if !c.Quiet() {
		c.pool.drop(c)
	}
}

// Expired implements engine.Handler: the connection has been idle for long enough, unless it is in use now.
func (c *Conn) Expired(*engine.Timer) {
	if c.idle {
		c.pool.drop(c)
	}
}

// Quiet reports whether the host has sent nothing more, not even the end of its stream. Bytes that it has sent are lost.
func (c *Conn) Quiet() bool {
	if !c.Readable() {
		return true
	}
	_, err := c.Read(c.pool.connector.loop.Scratch())
	return errors.Is(err, unix.EAGAIN)
}

// Shared reports whether the Conn is one of several that share a connection: it carries one request, and is not handed over.
func (c *Conn) Shared() bool { return c.shared != nil }

// HandOver has the connection counted as open no longer, since it is somebody else's from now on, who has it counted as closed at
// the place that is returned, see Connector.Closed.
func (c *Conn) HandOver() metrics.Place {
	place := c.place
	c.place = 0
	return place
}

// Closed counts a connection to the host at that place as closed, which was counted as made.
func (k *Connector) Closed(at metrics.Place) { k.metrics.Host(at).Open.Add(-1) }

// keep gives the connection, which may serve again, to the pool. The host keeps it idle for that long; zero if it has not said. A stream is
// over.
func (c *Conn) keep(idle time.Duration) {
	if c.shared != nil {
		c.pool.discard(c)
		return
	}
	c.until = 0
	if idle > 0 {
		c.until = c.pool.connector.loop.Now() + idle.Milliseconds()
	}
	c.pool.put(c)
}
