package httpcodec

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// keepalive_timeout starts at the end of a response, and ends with the first byte of a request.
func TestKeepaliveTimeout(t *testing.T) {
	t.Parallel()
	timed(t, func(t testing.TB, unit time.Duration) {
		h := startRecorder(t, always+hi)
		p := startProxy(t, func(s *flat) { s.Server.KeepaliveTimeout, s.Server.ClientHeaderTimeout = 5*unit, 20*unit }, h.addr)
		c := p.dial()
		for range 7 {
			send(c, getRoot, nil)
			readN(t, c, hi)
			time.Sleep(unit)
		}
		send(c, getRoot[:10], nil)
		time.Sleep(5*unit + unit)
		send(c, getRoot[10:], nil)
		readN(t, c, hi)
		last := time.Now()
		if got, how := readAll(c); got != "" || how != "eof" {
			t.Errorf("got %q, %s; want the end", got, how)
		}
		if d := time.Since(last); d < 5*unit-20*time.Millisecond {
			t.Errorf("%v behind the last response, want %v", d, 5*unit)
		}
	})
}

// A pooled connection is closed when it has been idle long enough, and not earlier: neither while it is busy, nor because of
// the timer of its last idle period.
func TestUpstreamKeepaliveTimeout(t *testing.T) {
	t.Parallel()
	timed(t, func(t testing.TB, unit time.Duration) {
		slow := make(chan struct{})
		conns, ended := make(chan struct{}, 9), make(chan time.Time, 9)
		at := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			conns <- struct{}{}
			for i := 0; ; i++ {
				if _, err := io.ReadFull(c, make([]byte, len(getRoot))); err != nil {
					ended <- time.Now()
					return
				}
				if i == 1 {
					<-slow
				}
				send(c, hi, nil)
			}
		})
		p := startProxy(t, func(s *flat) { s.Group.KeepaliveTimeout = 5 * unit }, at)
		c := p.dial()
		send(c, getRoot, nil)
		readN(t, c, hi)
		send(c, getRoot, nil)
		time.Sleep(5*unit + unit)
		close(slow)
		readN(t, c, hi)
		for range 6 {
			time.Sleep(unit)
			send(c, getRoot, nil)
			readN(t, c, hi)
		}
		idle := time.Now()
		if at := <-ended; at.Sub(idle) < 5*unit-20*time.Millisecond || len(conns) != 1 {
			t.Errorf("%d connections; the last ended %v behind its last response, want %v", len(conns), at.Sub(idle), 5*unit)
		}
		if n := p.idleHosts(); n != 0 {
			t.Errorf("%d connections in the pool", n)
		}
		stillOpen(t, c)
	})
}

// Without a connect timeout, only a client that gives up ends the attempt.
func TestClientLeavesWhileConnectingForEver(t *testing.T) {
	t.Parallel()
	p := startProxy(t, func(s *flat) { s.Group.ConnectTimeout = 0 }, enginetest.BlackHole(t, enginetest.Loopback))
	c := p.dial()
	send(c, getRoot, nil)
	hosts := p.entry.Settings.only().Group.Balance.Hosts()
	for began := time.Now(); hosts.Active(0) == 0 && time.Since(began) < enginetest.Patience; {
		p.settle()
	}
	_ = c.SetLinger(0)
	c.Close()
	awaitActive(t, p, 0)
	if n := hosts.Active(0); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

// New settings without an idle timeout also apply to connections that are already idle.
func TestSwapEndsTheIdleTime(t *testing.T) {
	t.Parallel()
	timed(t, func(t testing.TB, unit time.Duration) {
		h := startRecorder(t, always+hi)
		p := startProxy(t, func(s *flat) { s.Group.KeepaliveTimeout = unit }, h.addr)
		c := p.dial()
		send(c, getRoot, nil)
		readN(t, c, hi)
		p.loop.Post(func() {
			s := *p.entry.Settings
			r := s.Routes[0]
			to := *s.only()
			g := *to.Group
			g.KeepaliveTimeout, to.Group = 0, &g
			r.Targets = []Target{to}
			s.Routes = []Route{r}
			p.take(&s)
		})
		p.settle()
		time.Sleep(2 * unit)
		if n := p.idleHosts(); n != 1 {
			t.Errorf("%d connections in the pool, want the one", n)
		}
	})
}

// A long response is followed by another one that nobody requested; the next request must not get it. All of it is in the
// proxy's socket when the proxy begins to read.
func TestStrayResponseBehindALongOne(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("a", engine.ScratchSize+1000)
	first := okHead + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	asked, sent := make(chan struct{}, 2), make(chan struct{}, 2)
	at := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		for range 2 {
			if _, err := io.ReadFull(c, make([]byte, len(getRoot))); err != nil {
				return
			}
			asked <- struct{}{}
			send(c, first+hi, nil)
			sent <- struct{}{}
		}
	})
	p := startProxy(t, nil, at)
	c := p.dial()
	busy := make(chan struct{})
	send(c, getRoot+getRoot, nil)
	<-asked
	p.loop.Post(func() {
		<-sent
		close(busy)
	})
	<-busy
	readN(t, c, first)
	readN(t, c, first)
	stillOpen(t, c)
}

// The pool is last in, first out. A connection that a host ends while it is idle is removed from anywhere in the pool.
func TestIdleConnectionsThatEnd(t *testing.T) {
	t.Parallel()
	const n = 4
	conns := make(chan *net.TCPConn, 2*n)
	both := make(chan struct{})
	at := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		conns <- c
		for {
			if _, err := io.ReadFull(c, make([]byte, len(getRoot))); err != nil {
				return
			}
			<-both
			send(c, hi, nil)
		}
	})
	p := startProxy(t, nil, at)
	var clients, hosts []*net.TCPConn
	for range n {
		c := p.dial()
		send(c, getRoot, nil)
		clients = append(clients, c)
		hosts = append(hosts, <-conns)
	}
	close(both)
	for _, c := range clients {
		readN(t, c, hi)
	}
	for i, h := range hosts {
		if i%2 == 0 {
			send(h, "x", nil) // bytes that nobody requested
		} else {
			_ = h.CloseWrite()
		}
		for began := time.Now(); p.idleHosts() > n-1-i && time.Since(began) < enginetest.Patience; {
			p.settle()
		}
		if got := p.idleHosts(); got != n-1-i {
			t.Errorf("%d connections in the pool, want %d", got, n-1-i)
		}
	}
	send(clients[0], getRoot, nil)
	readN(t, clients[0], hi)
	if len(conns) != 1 {
		t.Errorf("%d new connections", len(conns))
	}
}
