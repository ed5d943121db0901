package upstream

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
)

// Conn is a connection to a host of a group. It is in use, by the owner of the Claim that has it, or idle in the loop's pool.
type Conn struct {
	engine.Conn
	// Codec is what the codec that uses connections keeps with each. It stays in the struct when that serves for another
	// connection, which is not Used at first.
	Codec any
	// Used says that the connection has served before. The host may be about to close it.
	Used bool

	pool  *pool
	timer engine.Timer
	addr  netip.AddrPort // that it was made to
	index int            // of the host in its group
	until int64          // when the host will close it if it stays idle, ms on the loop's clock; 0 if it has not said
	idle  bool
	busy  bool // counted in the demand
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

// keep gives the connection, which may serve again, to the pool. The host keeps it idle for that long; zero if it has not said.
func (c *Conn) keep(idle time.Duration) {
	c.until = 0
	if idle > 0 {
		c.until = c.pool.connector.loop.Now() + idle.Milliseconds()
	}
	c.pool.put(c)
}
