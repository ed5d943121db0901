package engine

import (
	"net/netip"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file holds every system call that the loop makes while it serves traffic.
//
// The calls are raw: syscall.RawSyscall does not tell Go's scheduler that the thread may block, which saves entering and
// leaving the scheduler each time (figures: docs/performance.md). That is sound only because every fd here is
// non-blocking, so that each call returns in microseconds. Invariant: a call that can sleep (epoll_wait, file I/O) must not be
// added here in raw form.
//
// unsafe.Pointer is converted to uintptr only inside the argument list of the call, as the unsafe package demands.

// recv receives into p, which must not be empty, without blocking. See recv(2).
func recv(fd int32, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
	return int(n), e
}

// send sends p, which must not be empty, without blocking and without SIGPIPE; flags are added to MSG_NOSIGNAL. See send(2).
func send(fd int32, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL|flags, 0, 0)
	return int(n), e
}

// splice moves up to n bytes between a socket and a pipe inside the kernel. See splice(2).
//
// SPLICE_F_MORE is never passed: with it the last segment of a burst may wait up to 200 ms for more data.
func splice(from, to int32, n int) (int, syscall.Errno) {
	r, _, e := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	return int(r), e
}

// accept4 accepts one connection from a listening socket: non-blocking, close-on-exec. See accept4(2).
func accept4(fd int32) (int32, netip.AddrPort, syscall.Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, netip.AddrPort{}, e
	}
	return int32(n), addrPort(&sa), 0
}

// getsockname returns the local address of a connection; invalid if it is neither IPv4 nor IPv6. See getsockname(2).
func getsockname(fd int32) netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, e := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size))); e != 0 {
		return netip.AddrPort{}
	}
	return addrPort(&sa)
}

// streamSocket makes a non-blocking TCP or unix socket.
func streamSocket(family uint8) (int32, syscall.Errno) {
	n, _, e := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	return int32(n), 0
}

// connect begins a connection, or checks on one. A second call for the same socket returns 0 or EISCONN if the connection is
// established, EALREADY if it is not yet, and otherwise why it failed. See connect(2).
func connect(fd int32, to netip.AddrPort) syscall.Errno {
	addr := to.Addr()
	if addr.Is4() || addr.Is4In6() {
		sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(to.Port()), Addr: addr.As4()}
		_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet4)
		return e
	}
	sa := unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(to.Port()), Addr: addr.As16(), Scope_id: zoneIndex(addr)}
	_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet6)
	return e
}

// hasPeer reports whether a TCP connection is established: getpeername(2) succeeds. Unlike a second connect(2) it does not discard bytes that
// the peer sent before it reset the connection.
func hasPeer(fd int32) bool {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, e := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	return e == 0
}

// connectUnix connects a unix socket to the one that listens at path. It returns 0 or the error, which is EAGAIN if the listener's
// backlog is full. See unix(7). This call alone is not raw: the kernel may take long to look up the file.
func connectUnix(fd int32, path string) syscall.Errno {
	sa := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	if len(path) >= len(sa.Path) {
		return unix.ENAMETOOLONG
	}
	for i := range len(path) {
		sa.Path[i] = int8(path[i])
	}
	_, _, e := syscall.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrUnix)
	return e
}

// disconnect makes a TCP socket an unconnected one. See connect(2) on AF_UNSPEC.
func disconnect(fd int32) syscall.Errno {
	sa := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, e := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unix.SizeofSockaddrInet4)
	return e
}

// setsockopt sets an integer socket option. See setsockopt(2).
func setsockopt(fd int32, level, name, value int) syscall.Errno {
	v := int32(value)
	_, _, e := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&v)), 4, 0)
	return e
}

// quickAck sends a pending acknowledgement. The value 2 of TCP_QUICKACK, which tcp(7) does not document, keeps later
// acknowledgements delayed, so that they travel with data (__tcp_sock_set_quickack in the kernel: even values do that).
func quickAck(fd int32) {
	_ = setsockopt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 2) // if it fails, the acknowledgement comes later
}

// resetOnClose makes the next close(2) send a reset instead of a FIN (SO_LINGER with a zero timeout, socket(7)).
func resetOnClose(fd int32) {
	linger := unix.Linger{Onoff: 1}
	_, _, _ = syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&linger)), unix.SizeofLinger, 0)
	runtime.KeepAlive(&linger)
}

// socketError returns and clears the pending error of a socket (SO_ERROR, socket(7)); zero if there is none.
func socketError(fd int32) syscall.Errno {
	var v int32
	size := uint32(4)
	_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR, uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}
	return syscall.Errno(v)
}

// sendQueue returns how many bytes of the send queue the peer has not acknowledged; a FIN counts as one (SIOCOUTQ, tcp(7)).
func sendQueue(fd int32) (int, syscall.Errno) {
	var n int32
	_, _, e := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	return int(n), e
}

// shutdownWrite sends a FIN. See shutdown(2).
func shutdownWrite(fd int32) syscall.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return e
}

// CloseFD closes fd. On Linux the descriptor is gone whatever close(2) returns, so the result is ignored.
func CloseFD(fd int32) {
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// networkOrder swaps a port into network byte order; every platform this package is built for is little-endian.
func networkOrder(port uint16) uint16 { return port<<8 | port>>8 }

// addrPort converts the address that the kernel wrote. IPv4-mapped addresses become IPv4.
func addrPort(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), networkOrder(in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), networkOrder(in.Port))
	}
	return netip.AddrPort{}
}
