package upstream

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
)

// Conn is a connection to a host of a group. It is in use by the owner of a Claim, or idle in the loop's pool.
type Conn struct {
	engine.Conn
	// Codec is for the codec that uses the connection. It stays in the struct when the struct is reused for another connection,
	// which begins with Used unset.
	Codec any
	// Used says that the connection has served a request before, so that the host may be about to close it.
	Used bool

	pool   *pool
	opened int64   // when the stream was opened, in ms on the loop's clock
	shared *shared // the session that the stream belongs to; nil if the Conn has a socket of its own
	timer  engine.Timer
	addr   netip.AddrPort // the address that it is connected to
	index  int            // the host's index in its group
	addrs  uint32         // the version of the host's addresses, see hostAddrs, when addr was last found among them
	place  metrics.Place  // where it is counted as open; zero if it is not counted or another owner counts it
	until  int64          // when the host will close it if it stays idle, in ms on the loop's clock; 0 if unknown
	idle   bool
	busy   bool // counted in the demand
}

// Ready implements engine.Handler for an idle connection, on which nothing is expected: unexpected bytes are as bad as its end. A
// writable event alone means nothing, and neither do TLS records without content.
func (c *Conn) Ready(*engine.Conn) {
	if !c.Quiet() {
		c.pool.drop(c)
	}
}

// Expired implements engine.Handler. It closes the connection if it is still idle.
func (c *Conn) Expired(*engine.Timer) {
	if c.idle {
		c.pool.drop(c)
	}
}

// Quiet reports whether the host has sent nothing, not even the end of its stream. Any bytes that it has sent are lost.
func (c *Conn) Quiet() bool {
	if !c.Readable() {
		return true
	}
	_, err := c.Read(c.pool.connector.loop.Scratch())
	return errors.Is(err, unix.EAGAIN)
}

// Shared reports whether the Conn is a stream of a shared connection. It then carries one request and cannot be handed over.
func (c *Conn) Shared() bool { return c.shared != nil }

// HandOver stops counting the connection as open, because it gets another owner. That owner must count it as closed at the returned
// place, see Connector.Closed.
func (c *Conn) HandOver() metrics.Place {
	place := c.place
	c.place = 0
	return place
}

// Closed counts an open connection to the host at that place as closed.
func (k *Connector) Closed(at metrics.Place) { k.metrics.Host(at).Open.Add(-1) }

// keep returns the connection, which can be reused, to the pool, or discards it if it is a stream. idle is how long the host keeps idle
// connections open; zero if it has not said.
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
