package engine

import (
	"errors"
	"io"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Handler is implemented by codecs. It is told of readiness and of expired timers.
type Handler interface {
	// Ready is called when the readiness of c may have changed. This is a hint: only the next system call tells for certain.
	Ready(c *Conn)
	// Expired is called after the deadline of t has passed; t is no longer armed.
	Expired(t *Timer)
}

// readiness is a set of bits that say what is known of a descriptor.
type readiness uint8

const (
	bitReadable readiness = 1 << iota
	bitWritable
	// bitMore says that a short read does not prove the socket empty: the end of the stream, an error or urgent data follows
	// the bytes, and the edge that announced it has been used up.
	bitMore
	// bitError says that the kernel has reported an error or a full hang-up since the last call of SocketError.
	bitError
	// bitWatchesOut says that the descriptor is registered for writing too. Most connections never need that. A connection
	// without it gets no initial event for being writable.
	bitWatchesOut
	// bitQueued says that the connection is in the loop's again list.
	bitQueued
	// bitInside says that the layer may have bytes to read although the socket has none.
	bitInside
	// bitFinSent says that shutdown(2) was called for writing.
	bitFinSent
)

// Conn is a non-blocking socket on a Loop, or one of the streams that share a socket, see Stream. It is meant to be embedded
// by value and may be attached again after it was closed. The zero value is a closed Conn. Its methods may only be called on the
// loop's goroutine.
type Conn struct {
	loop    *Loop
	handler Handler
	layer   Layer // nil if bytes pass unchanged
	fd      int32 // meaningful while loop is not nil; noSocket for a stream
	bits    readiness
	family  uint8 // AF_UNIX if DialUnix made it; AF_INET or AF_INET6 if Loop.Dial may reuse its socket; otherwise zero
}

// Open reports whether the Conn is attached: it owns a socket or a stream.
func (c *Conn) Open() bool { return c.loop != nil }

// SetHandler replaces the handler of the open Conn.
func (c *Conn) SetHandler(h Handler) { c.handler = h }

// MoveTo moves the socket and its readiness to d, which must be closed and on no loop; h becomes its handler. The Conn is closed
// afterwards, but not the socket.
func (c *Conn) MoveTo(d *Conn, h Handler) {
	*d = Conn{loop: c.loop, handler: h, layer: c.layer, fd: c.fd, bits: c.bits &^ bitQueued, family: c.family}
	c.loop.conns[c.fd] = d
	*c = Conn{}
}

// Readable reports whether a read is worth trying.
func (c *Conn) Readable() bool { return c.bits&(bitReadable|bitInside) != 0 }

// Writable reports whether a write is worth trying.
func (c *Conn) Writable() bool { return c.bits&bitWritable != 0 }

// Errored reports whether the kernel has announced an error or hang-up; SocketError returns the error and clears the hint.
func (c *Conn) Errored() bool { return c.bits&bitError != 0 }

// Queued reports whether Loop.Again has queued the Conn and its handler has not been called since.
func (c *Conn) Queued() bool { return c.bits&bitQueued != 0 }

// Ending reports whether something other than bytes may be next to read, most likely the end of the stream.
func (c *Conn) Ending() bool { return c.bits&bitMore != 0 }

// signal merges an epoll event into the bits.
func (c *Conn) signal(events uint32) {
	b := c.bits
	if events&unix.EPOLLIN != 0 {
		b |= bitReadable
	}
	if events&unix.EPOLLOUT != 0 {
		b |= bitWritable
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLPRI) != 0 {
		b |= bitReadable | bitMore
	}
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		b |= bitReadable | bitWritable | bitMore | bitError
	}
	c.bits = b
	if c.layer != nil && b&bitWritable != 0 {
		c.layer.Writable(c)
	}
}

// Read receives into p, which must not be empty. It returns io.EOF at the end of the stream, unix.EAGAIN if nothing is
// available (Readable is then false), or the error of recv(2) or of the layer.
func (c *Conn) Read(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.Read(c, p)
	}
	return c.RawRead(p)
}

// RawRead is Read without the layer.
func (c *Conn) RawRead(p []byte) (int, error) {
	n, errno := recv(c.fd, p, 0)
	switch {
	case errno == 0 && n > 0:
		if n < len(p) && c.bits&bitMore == 0 {
			// The socket is empty; later bytes make a new edge.
			c.bits &^= bitReadable
		}
		return n, nil
	case errno == 0:
		return 0, io.EOF
	}
	return 0, c.readFailed(errno)
}

// Peek is like RawRead, but leaves the bytes in the socket and Readable unchanged.
func (c *Conn) Peek(p []byte) (int, error) {
	n, errno := recv(c.fd, p, unix.MSG_PEEK)
	switch {
	case errno == 0 && n > 0:
		return n, nil
	case errno == 0:
		return 0, io.EOF
	}
	return 0, errno
}

// readFailed updates the bits after a failed receive, or a failed splice from the socket.
func (c *Conn) readFailed(errno syscall.Errno) error {
	if errno == unix.EAGAIN {
		c.bits &^= bitReadable | bitMore
	}
	return errno
}

// Write sends p, which must not be empty. It returns how many bytes were accepted; if fewer than len(p), it also returns unix.EAGAIN
// (Writable is then false) or the error of send(2) or of the layer. After unix.EAGAIN the next bytes written must be the ones
// that were not accepted, because a layer may have begun to process them.
func (c *Conn) Write(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.Write(c, p, false)
	}
	return c.RawWrite(p, false)
}

// WriteLast is like Write, for the last bytes of a stream: they are held back to share a segment with the FIN. The caller must
// call CloseWrite or Close at once, or Write if not all bytes were accepted; otherwise the bytes may be delayed by 200 ms.
func (c *Conn) WriteLast(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.Write(c, p, true)
	}
	return c.RawWrite(p, true)
}

// RawWrite is Write, or WriteLast if last is true, without the layer.
func (c *Conn) RawWrite(p []byte, last bool) (int, error) {
	var flags uintptr
	if last {
		flags = unix.MSG_MORE
	}
	n, errno := send(c.fd, p, flags)
	if errno != 0 {
		return 0, c.writeFailed(errno)
	}
	if n < len(p) {
		return n, c.writeFailed(unix.EAGAIN)
	}
	return n, nil
}

// writeFailed updates the bits after a failed send, or a failed splice into the socket.
func (c *Conn) writeFailed(errno syscall.Errno) error {
	if errno == unix.EAGAIN {
		c.bits &^= bitWritable
		if c.bits&bitWatchesOut != 0 || c.loop.watchOut(c) {
			return errno
		}
		errno = unix.ENOMEM // no event would tell when it is writable again
	}
	c.bits |= bitReadable | bitMore // bytes that the peer sent before it failed are still to be read, and then the end
	return errno
}

// CloseWrite ends the stream in this direction (half-close).
func (c *Conn) CloseWrite() error {
	if c.layer != nil {
		return c.layer.CloseWrite(c)
	}
	return c.RawCloseWrite()
}

// RawCloseWrite sends a FIN. See shutdown(2).
func (c *Conn) RawCloseWrite() error {
	if errno := shutdownWrite(c.fd); errno != 0 {
		return errno
	}
	c.bits |= bitFinSent
	return nil
}

// QuickAck makes the kernel acknowledge received data now, instead of with the next bytes sent or after 40 ms. Call it when more
// data is expected and there is nothing to write: a peer that uses Nagle's algorithm may hold data back until the acknowledgement.
func (c *Conn) QuickAck() {
	if c.fd != noSocket && c.family != unix.AF_UNIX {
		quickAck(c.fd)
	}
}

// SocketError returns and clears the socket's pending error (SO_ERROR), or returns the stream's failure; nil if there is none.
func (c *Conn) SocketError() error {
	c.bits &^= bitError
	if c.fd == noSocket {
		return c.layer.(Stream).Failure()
	}
	if errno := socketError(c.fd); errno != 0 {
		return errno
	}
	return nil
}

// Connected checks the connection to addr that Loop.Dial began. It returns nil if the connection is established, unix.EALREADY if
// not yet, or the reason why it failed. It asks the socket, because the event may be stale. A connection that was established and
// then reset counts as established if it has received bytes: they can be read, and then the reset.
func (c *Conn) Connected(addr netip.AddrPort) error {
	if c.Errored() {
		// connect(2) would discard these bytes.
		var one [1]byte
		switch n, err := c.Peek(one[:]); {
		case n > 0:
			return nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, io.EOF):
			return err
		}
	}
	errno := connect(c.fd, addr)
	switch errno {
	case 0, unix.EISCONN:
		return nil
	case unix.EALREADY, unix.EINPROGRESS:
		c.bits &^= bitWritable
		return unix.EALREADY
	}
	return errno
}

// LocalAddr returns the local address and port of the open Conn. It is invalid for a unix socket, and for a stream whose connection is
// gone. It costs a system call.
func (c *Conn) LocalAddr() netip.AddrPort {
	if c.fd == noSocket {
		if socket := c.layer.(Stream).Socket(); socket != nil {
			return socket.LocalAddr()
		}
		return netip.AddrPort{}
	}
	return getsockname(c.fd)
}

// Unacknowledged returns how many of the bytes written the peer has not acknowledged. Reset would discard them.
func (c *Conn) Unacknowledged() int {
	if c.fd == noSocket {
		return c.layer.Unsent()
	}
	n, _ := sendQueue(c.fd) // zero if it fails
	if c.layer != nil {
		n += c.layer.Unsent()
	}
	return n
}

// Close closes the socket in the ordinary way: with a FIN, or with a reset if unread bytes are left in it. Closing a closed Conn
// does nothing.
func (c *Conn) Close() { c.close(false) }

func (c *Conn) close(reset bool) {
	if c.loop == nil {
		return
	}
	if c.layer != nil {
		c.layer.Closing(c, reset)
	}
	if c.fd == noSocket {
		*c = Conn{}
		return
	}
	if reset {
		resetOnClose(c.fd)
	}
	c.loop.detach(c)
	CloseFD(c.fd)
}

// CloseEnded is like Close, for a connection that Loop.Dial made, once io.EOF has been read from it and nothing is left to
// write. The peer sees no difference, but another Dial may reuse the socket.
func (c *Conn) CloseEnded() {
	if c.loop == nil || c.layer != nil || c.family == 0 || c.family == unix.AF_UNIX {
		c.Close()
		return
	}
	if c.bits&bitFinSent == 0 {
		_ = shutdownWrite(c.fd) // if it fails, the connection is gone
	}
	l, family := c.loop, c.family
	spent := spentSocket{fd: c.fd, watchesOut: c.bits&bitWatchesOut != 0, since: l.now}
	l.detach(c)
	if !l.spent.put(family, spent) {
		CloseFD(spent.fd)
	}
}

// Reset closes the socket with a reset and discards unsent bytes. Resetting a closed Conn does nothing.
func (c *Conn) Reset() { c.close(true) }
