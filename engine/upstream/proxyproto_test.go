package upstream_test

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/proxyproto"
)

const told = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"

// firstLines returns a host's handler that reports the first line of each connection.
func firstLines() (lines chan string, serve func(net.Conn)) {
	lines = make(chan string, 100)
	return lines, func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(enginetest.Patience))
		in := bufio.NewReader(c)
		line, _ := in.ReadString('\n')
		lines <- line
		_, _ = io.Copy(io.Discard, in) // the connection must stay open for a later write
	}
}

// Hosts get the client's address, whether they are reached at once, after other hosts, or by a unix socket.
func TestHostsAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lines, serve := firstLines()
	tcp := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) { serve(c) })
	path := filepath.Join(t.TempDir(), "app")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	for _, hosts := range [][]any{{tcp}, {"unix:" + path}, {enginetest.Refusing(t, enginetest.Loopback), tcp}} {
		g := w.group(hosts...)
		g.ProxyProtocol = proxyproto.V1
		c, err := w.connect(g)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := func() (n int, err error) {
			w.loop.Do(func() { n, err = c.conn.Write([]byte("x\n")) })
			return
		}(); err != nil {
			t.Fatal(err)
		}
		if got := <-lines; got != told {
			t.Errorf("the last of %v was told %q", hosts, got)
		}
	}
}

// A probe is for no client and says so in its header, because a host may refuse connections without a header.
func TestProbesTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lines, serve := firstLines()
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) { serve(c) })
	g := w.group(named("late.test", host), hello(t, enginetest.Loopback, "spare"))
	g.ProxyProtocol = proxyproto.V1
	g.ResolveTimeout = time.Second // in case there are more lookups than answers
	for range 2 {                  // see TestProbeResolves
		w.answer("late.test") <- answer{err: errNoName}
	}
	if _, err := w.connect(g); err != nil {
		t.Fatal(err)
	}
	w.answer("late.test") <- found("127.0.0.1")
	w.eventually("the host is probed", func() bool {
		c, err := w.connect(g)
		if err != nil {
			t.Fatal(err)
		}
		w.loop.Do(func() { c.lease.Release(balance.Outcome{Class: balance.Unused}, 0); c.conn.Close() })
		return len(lines) > 0
	})
	w.eventually("what the probe tells", func() bool { // the host may see first a client's connection that was made after the probe
		for len(lines) > 0 {
			if got := <-lines; got == "PROXY UNKNOWN\r\n" {
				return true
			} else if got != told {
				t.Fatalf("a probe began with %q", got)
			}
		}
		return false
	})
}
