package engine

// Stream is a Layer with no socket of its own below it: it is one of several that share a connection, as those of HTTP/2 do. Its Conn
// has the same contract as one with a socket, so whoever reads, writes, waits and closes need not know; but nothing is spliced, and
// the Raw methods, Peek, MoveTo and Connected are not for it.
//
// Where the kernel tells a socket's Conn what it is ready for, the Stream tells its Conn, by HasMore, HasRoom and Failed, and has the
// handler called by Notify.
type Stream interface {
	Layer
	// Failure is why the stream has failed; nil if it has not.
	Failure() error
	// Room is how many bytes are worth bringing to the stream, at most n: those that it takes now, but some in any case.
	Room(n int) int
	// Socket is the connection that the stream shares; nil if that is gone.
	Socket() *Conn
}

// noSocket is in the place of a descriptor.
const noSocket = -1

// AttachStream makes c, which is closed, the Conn of s. It is taken for writable, as a new connection is.
func (l *Loop) AttachStream(c *Conn, s Stream, h Handler) {
	*c = Conn{loop: l, handler: h, layer: s, fd: noSocket, bits: bitWritable}
}

// HasRoom says whether the stream takes bytes.
func (c *Conn) HasRoom(room bool) {
	c.bits &^= bitWritable
	if room {
		c.bits |= bitWritable
	}
}

// Failed says that the stream has failed: each call to it tells so from now on.
func (c *Conn) Failed() { c.bits |= bitInside | bitWritable | bitMore | bitError }

// Notify has the handler told that the bits may have changed. The Conn may be closed, and attached to something else, when it returns.
func (c *Conn) Notify() { c.handler.Ready(c) }

// Room is how many bytes are worth reading for c, at most n. A socket may have room for all; of what a stream does not take now, a slow peer would have the
// rest held for long.
func (c *Conn) Room(n int) int {
	if c.fd == noSocket {
		return c.layer.(Stream).Room(n)
	}
	return n
}
