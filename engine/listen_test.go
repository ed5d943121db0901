package engine_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// gate is a listener whose connections the test keeps open.
type gate struct {
	*enginetest.Loop
	*engine.Listener
	probe  *enginetest.Probe
	addr   netip.AddrPort
	fd     int
	limit  *engine.Limit
	held   []int32 // used on the loop only
	peers  []netip.AddrPort
	pauses []error
	waits  int // how often the loop has waited for events
}

func newGate(t *testing.T, limit *engine.Limit) *gate {
	t.Helper()
	addr := enginetest.Reserve(t, enginetest.Loopback) // so that it refuses clients when the gate is closed
	fd, err := engine.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{fd: fd, addr: addr}
	g.Loop = enginetest.Start(t, engine.Options{Ran: func(_, _ time.Duration) { g.waits++ }})
	g.probe = g.Probe()
	t.Cleanup(func() {
		g.Do(func() {
			if g.Listener != nil {
				g.Close()
			} else {
				_ = unix.Close(fd)
			}
			for _, fd := range g.held {
				engine.CloseFD(fd)
			}
		})
	})
	g.open(t, limit)
	return g
}

func (g *gate) open(t *testing.T, limit *engine.Limit) {
	t.Helper()
	g.limit = limit
	g.Do(func() {
		var err error
		g.Listener, err = engine.NewListener(g.Loop.Loop, g.fd, engine.ListenerOptions{
			Limit: limit,
			Accept: func(_ *engine.Listener, fd int32, peer netip.AddrPort) {
				g.held = append(g.held, fd)
				g.peers = append(g.peers, peer)
				g.probe.Note()
			},
			Paused: func(reason error) {
				g.pauses = append(g.pauses, reason)
				g.probe.Note()
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// drop ends the oldest connection.
func (g *gate) drop() {
	engine.CloseFD(g.held[0])
	g.held = g.held[1:]
	g.Release()
}

func (g *gate) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(g.addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// queued waits until n connections wait in the kernel to be accepted. It polls, because no event tells their number.
func (g *gate) queued(t *testing.T, n uint32) {
	for deadline := time.Now().Add(enginetest.Patience); ; time.Sleep(time.Millisecond) {
		info, err := unix.GetsockoptTCPInfo(g.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
			return
		}
		if info.Unacked >= n { // for a listening socket: the length of the backlog
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d connections wait, want %d", info.Unacked, n)
			return
		}
	}
}

func TestListenerAccepts(t *testing.T) {
	t.Parallel()
	const clients = 150 // more than a batch
	g := newGate(t, nil)
	want := make(map[netip.AddrPort]bool)
	g.Do(func() { // so that they queue up
		for range clients {
			want[g.dial(t).LocalAddr().(*net.TCPAddr).AddrPort()] = true
		}
		g.queued(t, clients)
	})
	g.probe.Await(t, "all clients", func() bool { return len(g.held) >= clients })
	g.Do(func() {
		for _, p := range g.peers {
			if !want[p] {
				t.Errorf("%v is not a client, or came twice", p)
			}
			delete(want, p)
		}
		if len(g.pauses) != 0 {
			t.Errorf("paused: %v", g.pauses)
		}
		for _, fd := range g.held {
			for _, o := range []struct{ level, name int }{{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_OOBINLINE}} {
				if v, err := unix.GetsockoptInt(int(fd), o.level, o.name); v == 0 || err != nil {
					t.Errorf("option %d of level %d: %d, %v", o.name, o.level, v, err)
				}
			}
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			if err != nil || flags&unix.O_NONBLOCK == 0 {
				t.Errorf("flags %#x, %v", flags, err)
			}
		}
	})
}

func TestCloseAcceptsWhatIsQueued(t *testing.T) {
	t.Parallel()
	const clients = 100
	g := newGate(t, nil)
	var conns []*net.TCPConn
	g.Do(func() {
		for range clients {
			conns = append(conns, g.dial(t))
		}
		g.queued(t, clients)
		g.Close()
		g.Close() // does nothing
		if len(g.held) != clients {
			t.Errorf("%d clients were accepted, want %d", len(g.held), clients)
		}
		for _, fd := range g.held {
			if _, err := unix.Write(int(fd), []byte("hi")); err != nil {
				t.Error(err)
			}
		}
	})
	for _, c := range conns {
		if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
			t.Error(err)
		}
	}
	if c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(g.addr)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("after Close: %v", err)
		_ = c.Close()
	}
	g.Do(func() {
		for range g.held {
			g.drop()
		}
	})
}

func TestListenSharesThePortAndCheckFreeTells(t *testing.T) {
	t.Parallel()
	addr := enginetest.Reserve(t, enginetest.Loopback)
	fd, err := engine.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	second, err := engine.Listen(addr)
	if err != nil {
		t.Fatalf("a second socket of our own: %v", err)
	}
	_ = unix.Close(second)
	if err := (engine.Endpoint{Addr: addr}).CheckFree(); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("CheckFree of a port that is listened on: %v", err)
	}
	all := netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port())
	if err := (engine.Endpoint{Addr: all}).CheckFree(); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("CheckFree of all addresses: %v", err)
	}
	_ = unix.Close(fd)
	if err := (engine.Endpoint{Addr: addr}).CheckFree(); err != nil {
		t.Errorf("CheckFree after the end: %v", err)
	}
}

// A port on which a socket listens that does not share it.
func TestListenOnATakenPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	if fd, err := engine.Listen(addr); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Listen: %v", err)
		_ = unix.Close(fd)
	}
	if err := (engine.Endpoint{Addr: addr}).CheckFree(); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("CheckFree: %v", err)
	}
}

// A socket that is bound but does not listen takes no connections.
func TestCheckFreeToleratesABoundSocket(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr := enginetest.LocalAddr(t, fd)
	if err := (engine.Endpoint{Addr: addr}).CheckFree(); err != nil {
		t.Errorf("CheckFree: %v", err)
	}
	// Also with connections of a former listener that are still closing.
	l, err := engine.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Await(t, int32(l), unix.POLLIN)
	accepted, _, err := unix.Accept(l)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(accepted) // first, so that this end is the one in TIME_WAIT
	_ = c.Close()
	_ = unix.Close(l)
	if err := (engine.Endpoint{Addr: addr}).CheckFree(); err != nil {
		t.Errorf("CheckFree with a connection in TIME_WAIT: %v", err)
	}
}

func TestListenIPv6(t *testing.T) {
	t.Parallel()
	fd, err := engine.Listen(netip.MustParseAddrPort("[::1]:0"))
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Skipf("no IPv6 here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	var peer netip.AddrPort
	var l *engine.Listener
	addr := enginetest.LocalAddr(t, fd)
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	loop.Do(func() {
		l, err = engine.NewListener(loop.Loop, dup, engine.ListenerOptions{Accept: func(_ *engine.Listener, fd int32, from netip.AddrPort) {
			peer = from
			engine.CloseFD(fd)
			p.Note()
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Do(func() { l.Close() })
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Await(t, "a client", func() bool { return peer.IsValid() })
	if want := c.LocalAddr().(*net.TCPAddr).AddrPort(); peer != want {
		t.Errorf("accepted %v, want %v", peer, want)
	}
}

// NewListener owns the descriptor even if it fails.
func TestNewListenerOwnsTheDescriptor(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	loop := enginetest.Start(t, engine.Options{})
	dir, err := unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // not supported by epoll
	if err != nil {
		t.Fatal(err)
	}
	loop.Do(func() {
		if _, err := engine.NewListener(loop.Loop, dir, engine.ListenerOptions{}); !errors.Is(err, unix.EPERM) {
			t.Errorf("NewListener: %v", err)
		}
		if _, err := unix.FcntlInt(uintptr(dir), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
			t.Errorf("the descriptor is open: %v", err)
		}
	})
}

// If Attach fails, the caller still owns the descriptor.
func TestAttachThatFails(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	dir, err := unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	loop.Do(func() {
		var c engine.Conn
		if err := loop.Loop.Attach(&c, int32(dir), ignore{}); !errors.Is(err, unix.EPERM) || c.Open() {
			t.Errorf("Attach: %v, open %v", err, c.Open())
		}
		if _, err := unix.FcntlInt(uintptr(dir), unix.F_GETFD, 0); err != nil {
			t.Errorf("the descriptor is closed: %v", err)
		}
	})
}

func TestListensOn(t *testing.T) {
	t.Parallel()
	for at, want := range map[string][]string{"127.0.0.1:0": {"127.0.0.1"}, "0.0.0.0:0": {"0.0.0.0"}, "[::]:0": {"::", "0.0.0.0"}, "[::1]:0": {"::1"}} {
		fd, err := engine.Listen(netip.MustParseAddrPort(at))
		if err != nil {
			t.Logf("skipped: %v", err) // no IPv6
			continue
		}
		addrs, err := engine.ListensOn(fd)
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, a := range addrs {
			got = append(got, a.Addr().String())
			if a.Port() == 0 {
				t.Errorf("%s: no port in %v", at, a)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: listens on %v, want %v", at, got, want)
		}
		_ = unix.Close(fd)
	}
	if addrs, err := engine.ListensOn(-1); err == nil {
		t.Errorf("a closed socket listens on %v", addrs)
	}
}
