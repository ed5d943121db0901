package streamcodec

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
)

// startProxy runs a stream server on a loop of its own, in front of one host, until the test ends. It returns the address to
// which clients connect.
func startProxy(t testing.TB, host net.Addr, pipes int, r config.Route) (string, *Server) {
	t.Helper()
	proxy, server, _ := startEntry(t, host, pipes, r)
	return proxy, server
}

// startEntry is startProxy, and also returns the entry of the proxy's clients.
func startEntry(t testing.TB, host net.Addr, pipes int, r config.Route) (string, *Server, *Entry) {
	t.Helper()
	loop, err := engine.NewLoop(engine.Options{MaxPipes: pipes})
	if err != nil {
		t.Fatal(err)
	}
	resolver := resolve.New(resolve.Options{})
	balancer, err := balance.New("round_robin", nil)
	if err != nil {
		t.Fatal(err)
	}
	at := host.(*net.TCPAddr).AddrPort()
	g := &upstream.Group{
		Name:           "test",
		Hosts:          []upstream.Host{upstream.NewHost(resolver, at.Addr().String(), at.Port())},
		Balance:        balance.NewGroup(1, balancer, balance.NewCounters(1, 1)),
		ConnectTimeout: 10 * time.Second,
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	server := NewServer(loop, Options{Connector: upstream.NewConnector(loop, 0, nil, nil, log), Log: log})
	fd, err := engine.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	routes := []Route{{Route: &r, Targets: []Target{{Group: g, Weight: 1}}}}
	e := server.NewEntry(EntryOptions{Settings: &Settings{Server: new(config.Server), Routes: routes}})
	if _, err := server.Serve(fd, e, nil, nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- loop.Run() }()
	t.Cleanup(func() {
		drained := make(chan struct{})
		loop.Post(func() {
			server.Shutdown(func() { close(drained) })
			server.Abort()
		})
		<-drained
		loop.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		loop.Close()
		resolver.Close()
	})
	port := sa.(*unix.SockaddrInet4).Port
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)).String(), server, e
}

// listen opens a listener for a host on an address of the given network ("tcp4", "tcp6").
func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair connects a client through the proxy and returns both ends.
func pair(t testing.TB, proxy string, hosts *net.TCPListener) (client, host *net.TCPConn) {
	t.Helper()
	c, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	h, err := hosts.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return c.(*net.TCPConn), h
}

// mustRead reads exactly len(p) bytes.
func mustRead(t testing.TB, r io.Reader, p []byte) {
	if _, err := io.ReadFull(r, p); err != nil {
		t.Fatalf("reading %d bytes: %v", len(p), err)
	}
}

// mustWrite writes all of p.
func mustWrite(t testing.TB, w io.Writer, p []byte) {
	if _, err := w.Write(p); err != nil {
		t.Fatalf("writing %d bytes: %v", len(p), err)
	}
}

// portOf returns the port in "address:port".
func portOf(addr string) int { return int(netip.MustParseAddrPort(addr).Port()) }
