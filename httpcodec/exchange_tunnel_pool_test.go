package httpcodec

import (
	"bufio"
	"net"
	"net/http"
	"testing"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// Where descriptors are shared among connections in use, those of tunnels to hosts count.
func TestTunnelsCountAsInUse(t *testing.T) {
	t.Parallel()
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Upgrade") != "" {
				send(c, switched, nil)
				enginetest.Hold(c)
				return
			}
			send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", nil)
		}
	})
	p := startProxy(t, func(set *flat) { set.Group.Keepalive = upstream.KeepaliveAuto }, host)
	shared := make(chan struct{})
	p.loop.Post(func() { // one connection to hosts, in use or idle
		p.hosts.Swap(upstream.NewGroups([]*upstream.Group{p.entry.Settings.only().Group}, 0, 1))
		close(shared)
	})
	<-shared
	idle := func() int {
		t.Helper()
		c := p.dial()
		send(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil)
		if _, how := readAll(c); how != "eof" {
			t.Errorf("the client's connection ended with %s", how)
		}
		n := make(chan int)
		p.loop.Post(func() { n <- p.hosts.Idle() })
		return <-n
	}
	c := p.dial()
	send(c, askSwitch, nil)
	readN(t, c, switched)
	if n := idle(); n != 0 {
		t.Errorf("%d idle connections beside a tunnel", n)
	}
	_ = c.Close()
	awaitActive(t, p, 0)
	if n := idle(); n != 1 {
		t.Errorf("%d idle connections without a tunnel", n)
	}
}
