package engine

import (
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Dial begins a TCP connection to addr and attaches c to it. It never waits: if c is writable afterwards the connection
// stands, as one within the machine does; else h.Ready is called when the outcome may be known, and Conn.Connected tells
// it. On an error c stays closed and no descriptor is left open.
//
// Prompt says that the caller has bytes to send as soon as the connection stands. The acknowledgement that completes
// the handshake is then left to travel with them, which saves a segment here and a wake-up there.
func (l *Loop) Dial(c *Conn, addr netip.AddrPort, prompt bool, h Handler) error {
	fd, errno := tcpSocket(addr.Addr())
	if errno != 0 {
		return errno
	}
	// Without these options the connection works, only slower.
	_ = setsockopt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if prompt {
		_ = setsockopt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
	}
	errno = connect(fd, addr)
	if errno == unix.EINPROGRESS && addr.Addr().IsLoopback() {
		errno = connect(fd, addr) // the handshake took place in the first call
	}
	attach := l.attachConnecting
	switch errno {
	case 0, unix.EISCONN:
		attach = l.Attach
	case unix.EINPROGRESS, unix.EALREADY:
	default:
		CloseFD(fd)
		return errno
	}
	if err := attach(c, fd, h); err != nil {
		CloseFD(fd)
		return err
	}
	return nil
}

// zoneIndex is the interface that a link-local address (fe80::1%eth0) belongs to; zero if it names none.
func zoneIndex(addr netip.Addr) uint32 {
	zone := addr.Zone()
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}
