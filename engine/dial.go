package engine

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dial begins a TCP connection to addr and attaches c to it. It never blocks. If c is writable afterwards, the connection is
// established, as is usual within the machine. Otherwise h.Ready is called when the outcome may be known; Conn.Connected returns
// it. On an error c stays closed and no descriptor is left open.
//
// Dial may reuse a socket that CloseEnded has left.
//
// Prompt says that the caller has bytes to send as soon as the connection is established. The acknowledgement that completes
// the handshake then travels with them, which saves a segment here and a wake-up of the peer.
func (l *Loop) Dial(c *Conn, addr netip.AddrPort, prompt bool, h Handler) error {
	family := familyOf(addr.Addr())
	spent, reused := l.spent.take(family)
	fd := spent.fd
	if !reused {
		var errno syscall.Errno
		fd, errno = l.socket(family)
		if errno != 0 {
			return errno
		}
		// Without this option the connection works, only slower.
		_ = setsockopt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if prompt {
		_ = setsockopt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
	}
	errno := connect(fd, addr)
	if errno != 0 && errno != unix.EINPROGRESS {
		CloseFD(fd)
		return errno
	}
	// Within the machine, the handshake completes during the call.
	stands := errno == 0 || addr.Addr().IsLoopback() && hasPeer(fd)
	var err error
	switch {
	case reused:
		err = l.attachSpent(c, spent, stands, h)
	case stands:
		err = l.Attach(c, fd, h)
	default:
		err = l.attachConnecting(c, fd, h)
	}
	if err != nil {
		CloseFD(fd)
		return err
	}
	c.family = family
	return nil
}

// SetKeepalive makes TCP probe the peer of a connection that Loop.Dial made, as Endpoint.Keepalive does. The socket is then not
// reused, because its options differ from those of the others.
func (c *Conn) SetKeepalive(every time.Duration) {
	seconds := keepaliveSeconds(every)
	// Without these options the connection works.
	_ = setsockopt(c.fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
	_ = setsockopt(c.fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
	_ = setsockopt(c.fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepaliveProbes)
	_ = setsockopt(c.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	c.family = 0
}

// socket makes a socket. If there is no free descriptor, it closes the spent sockets and tries again.
func (l *Loop) socket(family uint8) (int32, syscall.Errno) {
	fd, errno := streamSocket(family)
	if errno == unix.EMFILE && l.spent.giveUp() {
		fd, errno = streamSocket(family)
	}
	return fd, errno
}

// DialUnix connects to the unix socket at path and attaches c to the established connection. On an error, usually
// unix.ENOENT or unix.ECONNREFUSED, c stays closed and no descriptor is left open. A full backlog counts as a refusal, because
// no event would tell when it has room.
func (l *Loop) DialUnix(c *Conn, path string, h Handler) error {
	fd, errno := l.socket(unix.AF_UNIX)
	if errno != 0 {
		return errno
	}
	var err error
	switch errno := connectUnix(fd, path); errno {
	case 0:
		err = l.Attach(c, fd, h)
	case unix.EAGAIN:
		err = errQueueFull
	default:
		err = errno
	}
	if err != nil {
		CloseFD(fd)
		return err
	}
	c.family = unix.AF_UNIX
	return nil
}

// errQueueFull does not wrap unix.EAGAIN, which would mean that this machine has run out of something.
var errQueueFull = fmt.Errorf("the socket's backlog is full: %w", unix.ECONNREFUSED)

// familyOf returns the address family of the sockets for addr.
func familyOf(addr netip.Addr) uint8 {
	if addr.Is4() || addr.Is4In6() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// zoneIndex returns the index of the interface that a link-local address (fe80::1%eth0) names; zero if it names none.
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
