package upstream

import "kroxy-ev/engine"

// alpnHTTP2 is the ALPN name of HTTP/2 over TLS (RFC 9113 section 3.2).
const alpnHTTP2 = "h2"

// Multiplexer makes sessions, which carry several requests at once, of connections to hosts. It belongs to one loop.
type Multiplexer interface {
	// Begin makes a session of c, an open connection to a host of g on which nothing was sent. It sets c's handler; c must not be moved
	// until the session is closed. Begin must write something at once, because the last message of a TLS handshake may be held back
	// until then. It calls no method of the owner before it returns.
	Begin(c *engine.Conn, g *Group, o SessionOwner) Session
}

// Session is a connection to a host that carries several requests at once, each on a stream of its own.
type Session interface {
	// Open makes c, which is closed, the Conn of a new stream with handler h. It returns false if the session takes no more streams.
	Open(c *engine.Conn, h engine.Handler) bool
	// Free returns how many more streams the session takes now; Streams returns how many are open.
	Free() int
	Streams() int
	// Begun returns how many streams were begun in the session's life. Served returns how many of them the host serves, if it has ended the
	// session and refused streams begun after those; otherwise 0.
	Begun() int
	Served() int
	// Heard returns when the host last sent something, in ms on the loop's clock.
	Heard() int64
	// Leave makes the session refuse new streams and end when its last stream is over.
	Leave()
	// Abort ends the session at once. Its streams fail with err.
	Abort(err error)
}

// SessionOwner is told of changes to a session, on the loop. SessionClosed may be called before Leave or Abort has returned.
type SessionOwner interface {
	// SessionChanged is called when the host has said how many streams it accepts, after which the first may be opened, and whenever the
	// session may take more than before or Served has changed. No stream is opened before it returns.
	SessionChanged()
	// SessionClosed is called once, when the connection is closed. Conns of streams that failed with it may still be open. Err says
	// why; it is nil if the session ended in good order.
	SessionClosed(err error)
}

// Multiplex sets the Multiplexer for groups whose Protocol is not HTTP1. It is called once, before the first session is needed.
func (k *Connector) Multiplex(m Multiplexer) { k.multiplexer = m }
