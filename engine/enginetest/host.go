package enginetest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// In the functions below, at is an IPv4 address and port to listen on; port zero lets the kernel choose. Another port must come from Port or Reserve.

// Loopback is an address for a host whose port does not matter.
const Loopback = "127.0.0.1:0"

// Port returns a port for hosts with several addresses. Until the test ends, nobody gets the port by chance on any of them.
func Port(tb testing.TB, addrs ...string) uint16 {
	tb.Helper()
	for range 20 {
		if port, ok := reserve(tb, addrs); ok {
			return port
		}
	}
	tb.Fatalf("enginetest: no port is free on all of %v", addrs)
	return 0
}

// reserve binds sockets, on which nothing listens, to a port of these addresses. It returns false if the port that the kernel chose for the first
// is in use on another one.
func reserve(tb testing.TB, addrs []string) (port uint16, ok bool) {
	tb.Helper()
	for _, addr := range addrs {
		fd := socket(tb)
		share(tb, fd)
		err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(netip.MustParseAddr(addr), port)))
		if errors.Is(err, unix.EADDRINUSE) && port != 0 {
			return 0, false
		}
		if err != nil {
			tb.Fatalf("enginetest: while binding to %s: %v", addr, err)
		}
		port = LocalAddr(tb, fd).Port()
	}
	return port, true
}

// share lets a socket be bound to a given port to which another such socket is bound, if that does not listen, or was used a moment ago. The kernel still
// chooses a port for somebody else that nobody has.
func share(tb testing.TB, fd int) {
	tb.Helper()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		tb.Fatalf("enginetest: while setting an option of a socket: %v", err)
	}
}

// Accepting starts a host that calls serve, on its own goroutine, for each connection, and closes the connection afterwards. When
// the test ends, it closes the connections and waits for the goroutines.
func Accepting(tb testing.TB, at string, serve func(*net.TCPConn)) netip.AddrPort {
	tb.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		over    bool
		open    = make(map[*net.TCPConn]struct{})
	)
	running.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			mu.Lock()
			if over {
				_ = c.Close()
			} else {
				open[c] = struct{}{}
				running.Go(func() {
					serve(c)
					_ = c.Close()
					mu.Lock()
					delete(open, c)
					mu.Unlock()
				})
			}
			mu.Unlock()
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		over = true
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// Hold reads and discards until the client closes, and sends nothing.
func Hold(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

// Echo sends back what it reads.
func Echo(c *net.TCPConn) { _, _ = io.Copy(OnlyWriter{Writer: c}, c) }

// OnlyWriter hides ReadFrom, so that io.Copy copies. A connection's ReadFrom uses splice(2) with pipes that the
// net package keeps open; tests that count descriptors would take those for a leak.
type OnlyWriter struct{ io.Writer }

// Reset closes the connection with a reset.
func Reset(c *net.TCPConn) { _ = c.SetLinger(0) }

// Refusing returns the address of a host that refuses connections. Its port is reserved, so that no other process listens there.
func Refusing(tb testing.TB, at string) netip.AddrPort {
	tb.Helper()
	return LocalAddr(tb, bind(tb, at))
}

// RefusingUDP returns an address that refuses datagrams. A socket that is connected to somebody else holds the port, and does not get what others
// send there.
func RefusingUDP(tb testing.TB) netip.AddrPort {
	tb.Helper()
	loopback := net.IPv4(127, 0, 0, 1)
	u, err := net.DialUDP("udp4", &net.UDPAddr{IP: loopback}, &net.UDPAddr{IP: loopback, Port: 9})
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	tb.Cleanup(func() { _ = u.Close() })
	return u.LocalAddr().(*net.UDPAddr).AddrPort()
}

// BlackHole returns the address of a host that does not answer: its backlog is full, and the kernel drops further SYNs.
func BlackHole(tb testing.TB, at string) netip.AddrPort {
	tb.Helper()
	l := bind(tb, at)
	if err := unix.Listen(l, 0); err != nil {
		tb.Fatalf("enginetest: while listening: %v", err)
	}
	addr := LocalAddr(tb, l)
	fd := socket(tb)
	if err := unix.Connect(fd, sockaddr(addr)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		tb.Fatalf("enginetest: while filling a queue: %v", err)
	}
	Await(tb, int32(l), unix.POLLIN)
	// For a listening socket this is the length of the backlog, and its limit.
	if info, err := unix.GetsockoptTCPInfo(l, unix.IPPROTO_TCP, unix.TCP_INFO); err != nil || info.Unacked <= info.Sacked {
		tb.Skipf("this kernel has room for more connections than the limit of a backlog: %+v, %v", info, err)
	}
	return addr
}

// Reserve returns an address whose port nothing else gets before the test ends, and on which nothing listens. A socket that is bound but does
// not listen holds the port; sockets of engine.Listen and of the net package can still listen on it. The test is skipped if the machine does
// not have the address. at may also be an IPv6 address.
func Reserve(tb testing.TB, at string) netip.AddrPort {
	tb.Helper()
	addr := netip.MustParseAddrPort(at)
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, sa = unix.AF_INET, sockaddr(addr)
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		tb.Cleanup(func() { _ = unix.Close(fd) })
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
			unix.Bind(fd, sa))
	}
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		tb.Skipf("enginetest: not on this machine: %v", err)
	}
	if err != nil {
		tb.Fatalf("enginetest: while reserving a port of %s: %v", at, err)
	}
	return LocalAddr(tb, fd)
}

func socket(tb testing.TB) int {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatalf("enginetest: while making a socket: %v", err)
	}
	tb.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func bind(tb testing.TB, at string) int {
	tb.Helper()
	fd, to := socket(tb), netip.MustParseAddrPort(at)
	if to.Port() != 0 {
		share(tb, fd) // with the socket that has reserved it, see Port
	}
	if err := unix.Bind(fd, sockaddr(to)); err != nil {
		tb.Fatalf("enginetest: while binding to %s: %v", at, err)
	}
	return fd
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
