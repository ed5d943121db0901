package engine

// Stream is a Layer without a socket of its own: it is one of several that share a connection, like a stream of HTTP/2. Its Conn
// has the same contract as a Conn with a socket, so code that reads, writes, waits and closes need not know. But nothing can be spliced, and
// the Raw methods, Peek, MoveTo and Connected must not be used.
//
// A socket's Conn learns from the kernel what it is ready for. A Stream tells its Conn instead, by HasMore, HasRoom and Failed, and calls the
// handler by Notify.
type Stream interface {
	Layer
	// Failure returns why the stream has failed; nil if it has not.
	Failure() error
	// Room returns how many of n bytes are worth passing to the stream: as many as it accepts now, but at least some.
	Room(n int) int
	// Socket returns the connection that the stream shares; nil if that is gone.
	Socket() *Conn
}

// noSocket is the fd of a Conn without a socket.
const noSocket = -1

// AttachStream makes c, which is closed, the Conn of s. It is assumed to be writable, as a new connection is.
func (l *Loop) AttachStream(c *Conn, s Stream, h Handler) {
	*c = Conn{loop: l, handler: h, layer: s, fd: noSocket, bits: bitWritable}
}

// HasRoom sets whether the stream accepts bytes.
func (c *Conn) HasRoom(room bool) {
	c.bits &^= bitWritable
	if room {
		c.bits |= bitWritable
	}
}

// Failed marks the stream as failed: from now on each call on it returns the failure.
func (c *Conn) Failed() { c.bits |= bitInside | bitWritable | bitMore | bitError }

// Notify calls the handler, because the bits may have changed. When it returns, the Conn may be closed and attached to something else.
func (c *Conn) Notify() { c.handler.Ready(c) }

// Room returns how many of n bytes are worth reading in order to write them to c. A socket may have room for all. Bytes that a stream does not
// accept now would have to be buffered, for long if the peer is slow.
func (c *Conn) Room(n int) int {
	if c.fd == noSocket {
		return c.layer.(Stream).Room(n)
	}
	return n
}
