package main_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHostAddresses(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]struct{ listen, configured string }{
		"IPv4":                          {"127.0.0.1", "127.0.0.1"},
		"IPv6":                          {"::1", "::1"},
		"name that resolves to IPv4":    {"127.0.0.1", "localhost"},
		"name in another case":          {"127.0.0.1", "LocalHost"},
		"name that may resolve to IPv6": {"::1", "localhost"},
		"another loopback address":      {"127.0.0.2", "127.0.0.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needAddress(t, addr.listen, addr.configured)
			var h *host
			if addr.configured == addr.listen {
				h = listen(t, addr.listen, echo)
			} else { // a name has addresses of both families: nothing else may listen on the other one
				h = listenAlone(t, addr.listen, echo)
			}
			h.Host = addr.configured
			p := start(t, setup{hosts: endpoints(h)})
			expectEcho(t, p.dial(), "hello")
		})
	}
}

// listenAlone is listen on 127.0.0.1 or ::1, on a port on which nothing listens at the other of the two.
func listenAlone(t *testing.T, addr string, handler func(*net.TCPConn)) *host {
	t.Helper()
	for range 50 {
		h := listen(t, addr, handler)
		other, family := unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: h.Port}), unix.AF_INET
		if addr == "127.0.0.1" {
			other, family = &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16(), Port: h.Port}, unix.AF_INET6
		}
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			return h
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Bind(fd, other); err == nil || errors.Is(err, unix.EADDRNOTAVAIL) {
			return h
		}
	}
	t.Fatal("found no port that is free on both addresses")
	return nil
}

// needAddress skips the test on a machine that does not have addr, or where name does not resolve to addr.
func needAddress(t *testing.T, addr, name string) {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Skipf("this machine has no %s: %v", addr, err)
	}
	_ = ln.Close()
	found, err := net.LookupHost(name)
	for _, f := range found {
		if f == addr {
			return
		}
	}
	t.Skipf("%s does not resolve to %s here: %v %v", name, addr, found, err)
}

func TestUnresolvableNameBesideGoodHost(t *testing.T) {
	t.Parallel()
	good := listen(t, "127.0.0.1", echo)
	p := start(t, setup{
		hosts:    []endpoint{{"nobody.invalid", 9}, good.endpoint, {"nowhere.invalid", 9}},
		settings: settings{"resolve_timeout": 500},
	})
	for range 10 {
		expectEcho(t, p.dial(), "hello")
	}
}

func TestAllNamesUnresolvable(t *testing.T) {
	t.Parallel()
	p := start(t, setup{
		hosts:    []endpoint{{"nobody.invalid", 9}, {"nowhere.invalid", 9}},
		settings: settings{"resolve_timeout": 500},
	})
	expectClosed(t, p.dial())
	line := p.await(p.stderr, `.*session closed.*`)[0]
	for _, part := range []string{"level=ERROR", "no host reachable", "client=127.0.0.1", ".invalid", "backend"} {
		if !strings.Contains(line, part) {
			t.Errorf("the log line lacks %q: %s", part, line)
		}
	}
	if n := p.stderr.count("level=ERROR"); n != 1 {
		t.Errorf("%d error lines about one connection, want 1", n)
	}
}

func TestRefusingHostIsSkipped(t *testing.T) {
	t.Parallel()
	good := listen(t, "127.0.0.1", echo)
	for _, algorithm := range []string{"round_robin", "first", "least_conn"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			p := start(t, setup{hosts: []endpoint{refusing(t), refusing(t), good.endpoint}, algorithm: algorithm})
			for range 9 {
				expectEcho(t, p.dial(), "hello")
			}
		})
	}
}

func TestAllHostsRefuse(t *testing.T) {
	t.Parallel()
	p := start(t, setup{hosts: []endpoint{refusing(t), refusing(t)}})
	c := p.dial()
	_ = write(c, "hello") // the connection may be closed already
	expectClosed(t, c)
	line := p.await(p.stderr, `.*session closed.*`)[0]
	for _, part := range []string{"level=ERROR", "no host reachable", "connection refused"} {
		if !strings.Contains(line, part) {
			t.Errorf("the log line lacks %q: %s", part, line)
		}
	}
}

// A host that comes up later is used, even though it was down before.
func TestHostComesUp(t *testing.T) {
	t.Parallel()
	port := reservePort(t)
	p := start(t, setup{hosts: []endpoint{{"127.0.0.1", port}}})
	expectClosed(t, p.dial())
	late := listenShared(t, port)
	go func() {
		for {
			c, err := late.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				echo(guard(t, c))
			}()
		}
	}()
	expectEcho(t, p.dial(), "hello")
}

// listenShared listens on a port that reservePort returned.
func listenShared(t *testing.T, port int) net.Listener {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return err
	}}
	lc.SetMultipathTCP(false) // like systemd's sockets
	ln, err := lc.Listen(t.Context(), "tcp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestBlackHoleIsSkipped(t *testing.T) {
	t.Parallel()
	hole := blackHole(t)
	good := listen(t, "127.0.0.1", echo)
	p := start(t, setup{
		hosts: []endpoint{hole, good.endpoint}, algorithm: "first",
		settings: settings{"connect_timeout": 4000}, // half of it for each host
	})
	idle := p.sockets()
	begin := time.Now()
	c := p.dial()
	expectEcho(t, c, "hello")
	if d := time.Since(begin); d < time.Second {
		t.Errorf("served after %v, without waiting for the black hole", d)
	}
	endSession(t, c)
	p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= idle })
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	hole := blackHole(t)
	p := start(t, setup{hosts: []endpoint{hole}, settings: settings{"connect_timeout": 300}})
	idle := p.sockets()
	begin := time.Now()
	expectClosed(t, p.dial())
	notBefore(t, begin, 300*time.Millisecond)
	p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= idle })
	p.await(p.stderr, `session closed.*connecting timed out`)
}

// A client that leaves while the proxy connects to a host ends its session.
func TestClientLeavesWhileConnecting(t *testing.T) {
	t.Parallel()
	hole := blackHole(t)
	p := start(t, setup{hosts: []endpoint{hole}, settings: settings{"connect_timeout": 2 * patience.Milliseconds()}})
	idle := p.sockets()
	c := p.dial()
	p.awaitSockets(t, "a host is being connected to", func(n int) bool { return n >= idle+2 })
	reset(c)
	p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= idle })
}

// notBefore demands that d has passed since begin, less the milliseconds to which clocks are rounded.
func notBefore(t *testing.T, begin time.Time, d time.Duration) {
	t.Helper()
	if passed := time.Since(begin); passed < d-5*time.Millisecond {
		t.Errorf("ended after %v, want at least %v", passed, d)
	}
}

func TestResolveTimeout(t *testing.T) {
	t.Parallel()
	silent := silentNameServer(t)
	good := listen(t, "127.0.0.1", echo)

	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		p := start(t, setup{hosts: []endpoint{{"db.test", 9}}, settings: settings{"resolve_timeout": 700}, prepare: silent})
		expectClosed(t, p.dial())
		p.await(p.stderr, `session closed.*(resolving the name timed out|no answer within 700ms)`)
	})
	t.Run("before a good host", func(t *testing.T) {
		t.Parallel()
		p := start(t, setup{
			hosts: []endpoint{{"db.test", 9}, good.endpoint}, algorithm: "first", prepare: silent,
			settings: settings{"resolve_timeout": 6000, "connect_timeout": 5000}, // enough to connect even if the machine stands still for a while
		})
		expectEcho(t, p.dial(), "hello") // waiting for DNS does not count towards connect_timeout
	})
}

// silentNameServer returns a prepare function that gives the program an /etc/resolv.conf of its own with a name server that never answers.
func silentNameServer(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a program its own resolv.conf")
	}
	var server *net.UDPConn
	var err error
	for last := byte(1); last < 250 && server == nil; last++ {
		server, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 53, byte(os.Getpid()), last), Port: 53})
	}
	if err != nil {
		t.Skipf("port 53 is not available: %v", err)
	}
	t.Cleanup(func() { _ = server.Close() })
	file := writeConfig(t, t.TempDir(), fmt.Appendf(nil, "nameserver %s\n", server.LocalAddr().(*net.UDPAddr).IP))
	script := `mount --bind "$0" /etc/resolv.conf && exec "$@"`
	prepare := func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", script, file, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		cmd.Env = append(os.Environ(), "GODEBUG=netdns=go")
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{}
	if prepare(probe); probe.Run() != nil {
		t.Skip("/etc/resolv.conf cannot be replaced here")
	}
	return prepare
}
