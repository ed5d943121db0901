package engine

import (
	"errors"
	"io"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Handler is what a codec implements to be told of readiness and of time.
type Handler interface {
	// Ready is called when the bits of c may have changed. It is a hint: the next system call tells the truth.
	Ready(c *Conn)
	// Expired is called once the deadline of t has passed; t is no longer armed.
	Expired(t *Timer)
}

// readiness is what is known of a descriptor's readiness.
type readiness uint8

const (
	bitReadable readiness = 1 << iota
	bitWritable
	// bitMore says that a short read is not the last word: the end of the stream, an error or urgent data is behind the
	// bytes, and the edge that announced it has already been used up.
	bitMore
	// bitError says that the kernel reported an error or a full hang-up since SocketError was last asked.
	bitError
	// bitWatchesOut says that the descriptor is registered for writing too. Most connections never need it, and one that
	// is not has no event for being writable from the start.
	bitWatchesOut
	// bitQueued says that the connection is in the loop's again list.
	bitQueued
	// bitInside says that the layer may have bytes for a reader although the socket has none.
	bitInside
	// bitFinSent says that the kernel was told to send a FIN.
	bitFinSent
)

// Conn is one non-blocking socket on one Loop, or one of the streams that share a socket, see Stream. It is meant to be embedded
// by value in what uses it and may be attached again after it was closed. The zero value is a closed Conn. Its methods are for the
// loop's goroutine only.
type Conn struct {
	loop    *Loop
	handler Handler
	layer   Layer // nil if bytes go through as they are
	fd      int32 // meaningful while loop is not nil; noSocket if it has none
	bits    readiness
	family  uint8 // AF_UNIX of one that DialUnix made, AF_INET or AF_INET6 of one that may serve Loop.Dial again, else zero
}

// Open reports whether the Conn owns a descriptor.
func (c *Conn) Open() bool { return c.loop != nil }

// SetHandler gives the open Conn to another handler.
func (c *Conn) SetHandler(h Handler) { c.handler = h }

// MoveTo hands the socket, with what is known of it, over to d, which must be closed and on no loop; h is told of it from
// now on. The Conn is closed afterwards, the socket is not.
func (c *Conn) MoveTo(d *Conn, h Handler) {
	*d = Conn{loop: c.loop, handler: h, layer: c.layer, fd: c.fd, bits: c.bits &^ bitQueued, family: c.family}
	c.loop.conns[c.fd] = d
	*c = Conn{}
}

// Readable reports whether a read is worth trying.
func (c *Conn) Readable() bool { return c.bits&(bitReadable|bitInside) != 0 }

// Writable reports whether a write is worth trying.
func (c *Conn) Writable() bool { return c.bits&bitWritable != 0 }

// Errored reports whether the kernel announced an error or hang-up; SocketError tells which and forgets the hint.
func (c *Conn) Errored() bool { return c.bits&bitError != 0 }

// Queued reports whether Loop.Again will still have the handler called.
func (c *Conn) Queued() bool { return c.bits&bitQueued != 0 }

// Ending reports whether something other than bytes may be next to read: the end of the stream, most likely.
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

// Read receives into p, which must not be empty. It returns io.EOF at the end of the stream, unix.EAGAIN when nothing
// is there (Readable is then false), or the error of recv(2) or of the layer.
func (c *Conn) Read(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.Read(c, p)
	}
	return c.RawRead(p)
}

// RawRead is Read past the layer.
func (c *Conn) RawRead(p []byte) (int, error) {
	n, errno := recv(c.fd, p, 0)
	switch {
	case errno == 0 && n > 0:
		if n < len(p) && c.bits&bitMore == 0 {
			// The socket is empty; what arrives from here on makes a new edge.
			c.bits &^= bitReadable
		}
		return n, nil
	case errno == 0:
		return 0, io.EOF
	}
	return 0, c.readFailed(errno)
}

// Peek is RawRead without taking the bytes out: they stay to be read, and Readable as it was.
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

// readFailed accounts for a failed receive or splice from the socket.
func (c *Conn) readFailed(errno syscall.Errno) error {
	if errno == unix.EAGAIN {
		c.bits &^= bitReadable | bitMore
	}
	return errno
}

// Write sends p, which must not be empty. It returns how much the kernel took; less than len(p) comes with unix.EAGAIN
// (Writable is then false) or the error of send(2) or of the layer. After unix.EAGAIN the next bytes to be written must be
// those that were not taken: a layer may have begun with them.
func (c *Conn) Write(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.Write(c, p, false)
	}
	return c.RawWrite(p, false)
}

// WriteLast is Write for the last bytes of a stream: they wait for the FIN, to share a segment with it. The caller must
// go on at once to CloseWrite or Close, or to Write if not all was taken; else the bytes may stay for 200 ms.
func (c *Conn) WriteLast(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.Write(c, p, true)
	}
	return c.RawWrite(p, true)
}

// RawWrite is Write, or WriteLast, past the layer.
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

// writeFailed accounts for a failed send or splice into the socket.
func (c *Conn) writeFailed(errno syscall.Errno) error {
	if errno == unix.EAGAIN {
		c.bits &^= bitWritable
		if c.bits&bitWatchesOut != 0 || c.loop.watchOut(c) {
			return errno
		}
		errno = unix.ENOMEM // nobody would say when it can be written again
	}
	c.bits |= bitReadable | bitMore // what the peer sent before it failed, and the end, are still to be read
	return errno
}

// CloseWrite tells the peer that no more bytes will come: half-close.
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

// QuickAck has the kernel acknowledge now what the peer has sent, instead of with the next bytes to it or after 40 ms. It is for when
// more is expected and nothing is there to be written: a peer with Nagle's algorithm on may be holding it back until then.
func (c *Conn) QuickAck() {
	if c.fd != noSocket && c.family != unix.AF_UNIX {
		quickAck(c.fd)
	}
}

// SocketError takes the socket's pending error (SO_ERROR), or the stream's; nil if there is none.
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

// Connected asks whether the connection that Loop.Dial began to addr stands. It returns unix.EALREADY while it does not,
// and the reason when it failed. It asks the socket and not the event, which may be stale. A connection that stood, and was
// reset before anybody asked, counts as one that stands if bytes came over it: they are to be read, and the reset behind them.
func (c *Conn) Connected(addr netip.AddrPort) error {
	if c.Errored() {
		// connect(2) would throw these bytes away.
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

// LocalAddr is the address and port of this end of the open Conn; not valid for one of a unix socket, and for a stream whose connection is gone. It costs a system call.
func (c *Conn) LocalAddr() netip.AddrPort {
	if c.fd == noSocket {
		if socket := c.layer.(Stream).Socket(); socket != nil {
			return socket.LocalAddr()
		}
		return netip.AddrPort{}
	}
	return getsockname(c.fd)
}

// Unacknowledged is how many of the bytes written the peer has not confirmed yet. Reset would destroy them.
func (c *Conn) Unacknowledged() int {
	if c.fd == noSocket {
		return c.layer.Unsent()
	}
	n, _ := sendQueue(c.fd) // none if it fails
	if c.layer != nil {
		n += c.layer.Unsent()
	}
	return n
}

// Close closes the socket in the ordinary way: a FIN, or a reset if unread bytes are left in it. Closing a closed Conn
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

// CloseEnded is Close for a connection that Loop.Dial made, once io.EOF has been read from it and nothing is left to be
// written. The peer sees the same, but the socket may serve another Dial.
func (c *Conn) CloseEnded() {
	if c.loop == nil || c.layer != nil || c.family == 0 || c.family == unix.AF_UNIX {
		c.Close()
		return
	}
	if c.bits&bitFinSent == 0 {
		_ = shutdownWrite(c.fd) // if it fails there is no connection any more
	}
	l, family := c.loop, c.family
	spent := spentSocket{fd: c.fd, watchesOut: c.bits&bitWatchesOut != 0, since: l.now}
	l.detach(c)
	if !l.spent.put(family, spent) {
		CloseFD(spent.fd)
	}
}

// Reset closes the socket with a reset, discarding what is not yet sent. Resetting a closed Conn does nothing.
func (c *Conn) Reset() { c.close(true) }
