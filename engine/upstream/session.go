package upstream

import "kroxy-ev/engine"

// alpnHTTP2 is what ALPN calls HTTP/2 over TLS (RFC 9113 section 3.2).
const alpnHTTP2 = "h2"

// Multiplexer makes connections to hosts carry several requests at once. It belongs to one loop.
type Multiplexer interface {
	// Begin makes a session of c, the open connection to a host of g, on which nothing was sent. It sets c's handler, and c stays where
	// it is until the session is closed. It writes something at once: the last of a TLS handshake may wait for that. The owner is told of
	// nothing before Begin has returned.
	Begin(c *engine.Conn, g *Group, o SessionOwner) Session
}

// Session is a connection to a host that carries several requests at once, each on a stream of its own.
type Session interface {
	// Open makes c, which is closed, the Conn of a new stream, with that handler. It reports false if the session takes no more.
	Open(c *engine.Conn, h engine.Handler) bool
	// Free is how many streams more the session takes now, and Streams how many are open.
	Free() int
	Streams() int
	// Heard is when the host last sent something, in ms on the loop's clock.
	Heard() int64
	// Leave takes no more streams, and ends the session when the last one is over.
	Leave()
	// Abort ends the session at once. Its streams fail for this reason.
	Abort(err error)
}

// SessionOwner is told what becomes of a session, on the loop; of its end perhaps before Leave or Abort has returned.
type SessionOwner interface {
	// SessionChanged is called when the host has said how many streams it takes, which is when the first may be opened, and whenever the
	// session may take more than before. No stream is opened before it returns.
	SessionChanged()
	// SessionClosed is called once, when the connection is closed. Conns of streams that failed by that may still be open. Err says why,
	// nil if it ended in good order.
	SessionClosed(err error)
}

// Multiplex has m make the sessions of groups whose Protocol is not HTTP1. It is called once, before the first is needed.
func (k *Connector) Multiplex(m Multiplexer) { k.multiplexer = m }
