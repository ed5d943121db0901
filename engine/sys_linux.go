package engine

import (
	"net/netip"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file holds every system call the loop makes while it serves traffic.
//
// They are raw: syscall.RawSyscall does not tell Go's scheduler that the thread may block, which saves entering and
// leaving the scheduler each time (figures: docs/performance.md). That is sound only because every fd here is
// non-blocking, so each call returns in microseconds. Invariant: a call that can sleep (epoll_wait, file I/O) must not be
// added here in raw form.
//
// unsafe.Pointer is turned into uintptr only inside the argument list of the call, as the unsafe package demands.

// recv receives into p without blocking; p is not empty. See recv(2).
func recv(fd int32, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
	return int(n), e
}

// send sends p, which is not empty, without blocking and without SIGPIPE; flags are added to that. See send(2).
func send(fd int32, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL|flags, 0, 0)
	return int(n), e
}

// splice moves up to n bytes between a socket and a pipe inside the kernel. See splice(2).
//
// SPLICE_F_MORE is never passed: with it the last segment of a burst waits up to 200 ms for a successor.
func splice(from, to int32, n int) (int, syscall.Errno) {
	r, _, e := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	return int(r), e
}

// accept4 takes one connection from a listening socket: non-blocking, close-on-exec. See accept4(2).
func accept4(fd int32) (int32, netip.AddrPort, syscall.Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, netip.AddrPort{}, e
	}
	return int32(n), addrPort(&sa), 0
}

// getsockname is the address of this end of a connection; not valid if it is not one of IPv4 or IPv6. See getsockname(2).
func getsockname(fd int32) netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, e := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size))); e != 0 {
		return netip.AddrPort{}
	}
	return addrPort(&sa)
}

// streamSocket makes a non-blocking TCP socket, or a unix one.
func streamSocket(family uint8) (int32, syscall.Errno) {
	n, _, e := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	return int32(n), 0
}

// connect begins, or asks after, a connection. A second call for the same socket answers 0 or EISCONN when it is
// established, EALREADY while it is not, and the failure otherwise. See connect(2).
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

// hasPeer reports whether a TCP connection stands: getpeername(2) answers. Unlike a second connect(2) it leaves alone what a peer said
// before it reset the connection.
func hasPeer(fd int32) bool {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, e := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	return e == 0
}

// connectUnix connects a unix socket to the one that listens at path. It answers 0, or the failure, which is EAGAIN if that
// one's queue is full. See unix(7). This one call is not raw: to find a file may take the kernel long.
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

// quickAck sends the acknowledgement that is owed, if one is. TCP_QUICKACK with 2, which tcp(7) does not tell of, goes on to delay
// those to come, so that they travel with what is written (__tcp_sock_set_quickack in the kernel: even values do).
func quickAck(fd int32) {
	_ = setsockopt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 2) // if it fails, the acknowledgement comes later
}

// resetOnClose makes the coming close(2) send a reset instead of a FIN (SO_LINGER with a zero time, socket(7)).
func resetOnClose(fd int32) {
	linger := unix.Linger{Onoff: 1}
	_, _, _ = syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&linger)), unix.SizeofLinger, 0)
	runtime.KeepAlive(&linger)
}

// socketError takes the pending error of a socket (SO_ERROR, socket(7)); zero if there is none.
func socketError(fd int32) syscall.Errno {
	var v int32
	size := uint32(4)
	_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR, uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}
	return syscall.Errno(v)
}

// sendQueue is how many bytes of the send queue the peer has not confirmed; a FIN is one (SIOCOUTQ, tcp(7)).
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

// CloseFD closes fd. On Linux the descriptor is gone whatever close(2) answers, so the answer is not looked at.
func CloseFD(fd int32) {
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// networkOrder swaps a port into network byte order; every platform this package is built for is little-endian.
func networkOrder(port uint16) uint16 { return port<<8 | port>>8 }

// addrPort reads the address that the kernel wrote. IPv4-mapped addresses come out as IPv4.
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
