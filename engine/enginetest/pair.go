package enginetest

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
)

// Pair connects two TCP sockets over loopback. One end is for the test to use; the other is a non-blocking descriptor, which
// the caller owns and may pass to engine.Loop.Attach. The descriptor comes from a socket of engine.Listen.
func Pair(tb testing.TB) (peer *net.TCPConn, fd int32) {
	tb.Helper()
	l, err := engine.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	defer unix.Close(l)
	peer, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(LocalAddr(tb, l)))
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	tb.Cleanup(func() { _ = peer.Close() })
	for {
		Await(tb, int32(l), unix.POLLIN)
		n, from, err := unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			tb.Fatalf("enginetest: while accepting: %v", err)
		}
		if in, ok := from.(*unix.SockaddrInet4); ok && in.Port == peer.LocalAddr().(*net.TCPAddr).Port {
			return peer, int32(n)
		}
		_ = unix.Close(n) // somebody has looked for a former owner of the port
	}
}

// Attach makes a pair and attaches its descriptor to a connection on l, which is closed when the test ends.
func (l *Loop) Attach(tb testing.TB, h engine.Handler) (peer *net.TCPConn, c *engine.Conn) {
	tb.Helper()
	peer, fd := Pair(tb)
	c = new(engine.Conn)
	l.AttachFD(tb, c, fd, h)
	return peer, c
}

// AttachFD attaches fd to c on l; c is closed when the test ends.
func (l *Loop) AttachFD(tb testing.TB, c *engine.Conn, fd int32, h engine.Handler) {
	tb.Helper()
	var err error
	l.Do(func() {
		if err = l.Loop.Attach(c, fd, h); err == nil {
			l.Again(c) // there is no event for a new connection being writable
		}
	})
	if err != nil {
		engine.CloseFD(fd)
		tb.Fatalf("enginetest: %v", err)
	}
	tb.Cleanup(func() { l.Do(c.Close) })
}

// Await waits until poll(2) reports one of the events on fd, and fails the test if that takes too long.
func Await(tb testing.TB, fd int32, events int16) {
	tb.Helper()
	p := []unix.PollFd{{Fd: fd, Events: events}}
	for {
		switch n, err := unix.Poll(p, int(Patience.Milliseconds())); {
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0:
			tb.Fatalf("enginetest: while waiting for events %#x of descriptor %d: %v", events, fd, err)
		default:
			return
		}
	}
}

// LocalAddr returns the address that the socket fd is bound to.
func LocalAddr(tb testing.TB, fd int) netip.AddrPort {
	tb.Helper()
	sa, err := unix.Getsockname(fd)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	tb.Fatalf("enginetest: no address of descriptor %d: %v", fd, err)
	return netip.AddrPort{}
}
