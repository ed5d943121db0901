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

// In the functions below, at is an IPv4 address and port to listen on; port zero lets the kernel choose. Another port must come from Port.

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

// BlackHole returns the address of a host that does not answer: its backlog is full, and the kernel drops further SYNs.
func BlackHole(tb testing.TB, at string) netip.AddrPort {
	tb.Helper()
	l := bind(tb, at)
	if err := unix.Listen(l, 0); err != nil {
		tb.Fatalf("enginetest: while listening: %v", err)
	}
	addr := LocalAddr(tb, l)
	for range 8 {
		fd := socket(tb)
		err := unix.Connect(fd, sockaddr(addr))
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			tb.Fatalf("enginetest: while filling a queue: %v", err)
		}
		// The lack of an event within 50 ms shows that the backlog is full.
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 50); n == 0 {
			return addr
		}
	}
	tb.Skip("this kernel accepts more connections than the queue of a listening socket holds")
	return addr
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
