package h2conn

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// dup returns another, non-blocking descriptor of the same socket.
func dup(fd int) int32 {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	_ = unix.SetNonblock(n, true)
	return int32(n)
}

// dial connects to addr and waits until the connection is established.
func dial(addr netip.AddrPort) (int32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return -1, err
	}
	_ = unix.SetNonblock(fd, true)
	return int32(fd), nil
}
