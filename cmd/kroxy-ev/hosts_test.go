package main_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/enginetest"
)

// endpoint is an entry of "hosts".
type endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// host is a TCP server behind the proxy.
type host struct {
	endpoint
	t     *testing.T
	conns chan *net.TCPConn // accepted connections of a host without a handler
}

// listen starts a host on addr, "127.0.0.1" or "::1". With a nil handler the test takes connections with accept. A handler runs on a goroutine per
// connection, which is closed when the handler returns.
func listen(t *testing.T, addr string, handler func(*net.TCPConn)) *host {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, endpoint: endpoint{addr, ln.Addr().(*net.TCPAddr).Port}, conns: make(chan *net.TCPConn, 4096)}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c = guard(t, c)
			if handler == nil {
				h.conns <- c.(*net.TCPConn)
				continue
			}
			go func() {
				defer c.Close()
				handler(c.(*net.TCPConn))
			}()
		}
	}()
	return h
}

// promptListener is a listener whose Close takes effect at once. After a Close alone, the socket goes on listening as long as a process that another test
// has just forked, and that has not called exec yet, has it open.
type promptListener struct{ *net.TCPListener }

func (l promptListener) Close() error {
	if raw, err := l.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
	return l.TCPListener.Close()
}

// accept returns the next connection of a host without a handler.
func (h *host) accept() *net.TCPConn {
	h.t.Helper()
	select {
	case c := <-h.conns:
		return c
	case <-time.After(patience):
		h.t.Fatalf("no connection to the host after %v", patience)
		return nil
	}
}

// echo is a handler that sends everything back.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(enginetest.OnlyWriter{Writer: c}, c)
	_ = c.CloseWrite()
}

// answer returns a handler that sends s to each client and waits until the client closes.
func answer(s string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, s)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
}

// flood is a handler that sends without end and reads nothing.
func flood(c *net.TCPConn) {
	piece := make([]byte, 64<<10)
	for {
		if _, err := c.Write(piece); err != nil {
			return
		}
	}
}

// hold returns a handler that neither sends nor reads until the test ends.
func hold(t *testing.T) func(*net.TCPConn) {
	return func(*net.TCPConn) { <-t.Context().Done() }
}

// ownAddress returns an IPv4 address of this machine that nothing else uses.
func ownAddress(t *testing.T) string {
	t.Helper()
	addr := fmt.Sprintf("127.%d.%d.%d", 64+rand.N(64), rand.N(256), 1+rand.N(254))
	needAddress(t, addr, addr)
	return addr
}

// refusing returns the address of a host that refuses connections.
func refusing(t *testing.T) endpoint { return endpoint{"127.0.0.1", reservePort(t)} }

// blackHole returns the address of a host that never answers a connection attempt: a listening socket whose backlog is full.
func blackHole(t *testing.T) endpoint {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	e := endpoint{"127.0.0.1", sa.(*unix.SockaddrInet4).Port}
	limit := patience // for the first connection, which is accepted even into a backlog of 0: if it came to nothing, there would be no black hole
	for range 8 {
		c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", e.Port), limit)
		if err != nil && limit == patience {
			t.Fatal(err)
		} else if err != nil {
			return e
		}
		guard(t, c)
		limit = 500 * time.Millisecond
	}
	t.Skip("this kernel accepts connections into a full backlog: no black hole can be made here")
	return e
}

// itself returns e. The types of hosts, which embed an endpoint, have it too.
func (e endpoint) itself() endpoint { return e }

// endpoints returns the addresses of hosts.
func endpoints[H interface{ itself() endpoint }](hosts ...H) []endpoint {
	var list []endpoint
	for _, h := range hosts {
		list = append(list, h.itself())
	}
	return list
}

// connectedPair starts a proxy with one host and connects a client through it.
func connectedPair(t *testing.T, s settings) (p *proxy, client, server *net.TCPConn) {
	t.Helper()
	h := listen(t, "127.0.0.1", nil)
	p = start(t, setup{hosts: endpoints(h), settings: s})
	client = p.dial()
	return p, client, h.accept()
}

// write writes s without copying all of it.
func write(c net.Conn, s string) error {
	_, err := io.Copy(enginetest.OnlyWriter{Writer: c}, strings.NewReader(s))
	return err
}

// send writes s.
func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if err := write(c, s); err != nil {
		t.Fatalf("writing %.40q: %v", s, err)
	}
}

// expect reads len(s) bytes and demands that they are s.
func expect(t *testing.T, c net.Conn, s string) {
	t.Helper()
	got := make([]byte, len(s))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != s {
		t.Fatalf("read %d bytes (%.40q), error %v; want %.40q", n, got[:n], err, s)
	}
}

// expectAll demands s and then the end of the stream.
func expectAll(t *testing.T, c net.Conn, s string) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for at := 0; ; {
		n, err := c.Read(buf)
		if !strings.HasPrefix(s[at:], string(buf[:n])) {
			t.Fatalf("after %d bytes read %.40q, want %d bytes (%.40q)", at, buf[:n], len(s)-at, s[at:])
		}
		at += n
		switch {
		case errors.Is(err, io.EOF) && at == len(s):
			return
		case err != nil:
			t.Fatalf("after %d bytes: error %v; want %d bytes and the end", at, err, len(s))
		}
	}
}

// expectEcho sends s and demands it back.
func expectEcho(t *testing.T, c net.Conn, s string) {
	t.Helper()
	send(t, c, s)
	expect(t, c, s)
}

// expectReset reads until a reset.
func expectReset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("the stream ended with error %v, want a reset", err)
	}
}

// expectClosed reads until the stream ends or is reset.
func expectClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("the connection is not closed: %v", err)
	}
}

// reset closes c with a TCP reset.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// writeUntilFull writes the pattern to c until a write makes no progress for a while, and returns the number of bytes written. The test fails if they are
// more than the kernel's buffers may hold.
func writeUntilFull(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	for total := 0; ; {
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := c.Write(pattern(total, 64<<10))
		total += n
		if err != nil {
			_ = c.SetWriteDeadline(time.Now().Add(patience))
			return total
		}
		if total > 256<<20 {
			t.Errorf("%d MiB were accepted although nobody reads: there is no backpressure", total>>20)
			return total
		}
	}
}
