package upstream_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// claimant is an owner of a claim.
type claimant struct {
	*enginetest.Probe
	w *world
	upstream.Claim
	outcome []error // one entry per call of Connected
	retried int64   // when retry was last called, in ms on the loop's clock
}

func (*claimant) Ends() (client, local netip.AddrPort) { return netip.AddrPort{}, netip.AddrPort{} }

func (c *claimant) Connected(err error) {
	c.outcome = append(c.outcome, err)
	if stands := c.Conn != nil && c.Conn.Open(); stands != (err == nil) || c.Lease.Held() != stands {
		c.w.t.Errorf("told %v, but a connection stands: %v, and a lease is held: %v", err, stands, c.Lease.Held())
	}
	c.Note()
}

func (w *world) claimant() *claimant {
	c := &claimant{Probe: w.loop.Probe(), w: w}
	w.t.Cleanup(func() { w.loop.Do(func() { c.Release(upstream.Report{}) }) })
	return c
}

// keeps makes the connector keep n idle connections to each host of g, and none to others.
func (w *world) keeps(g *upstream.Group, n int) *upstream.Group {
	g.Keepalive = n
	w.loop.Do(func() { w.Swap(upstream.NewGroups([]*upstream.Group{g}, 100, 0)) })
	w.t.Cleanup(func() { w.loop.Do(w.Close) })
	return g
}

// idle waits until there are that many idle connections.
func (w *world) idle(want int) {
	w.t.Helper()
	w.eventually("the number of idle connections", func() bool {
		n := 0
		w.loop.Do(func() { n = w.Idle() })
		return n == want
	})
}

// await calls begin on the loop and returns the outcome.
func (c *claimant) await(begin func()) (err error) {
	c.w.t.Helper()
	c.w.loop.Do(func() {
		c.outcome = nil
		begin()
	})
	c.Await(c.w.t, "the outcome", func() bool { return len(c.outcome) > 0 })
	c.w.loop.Do(func() {
		if err = c.outcome[0]; len(c.outcome) != 1 {
			c.w.t.Errorf("Connected was called %d times", len(c.outcome))
		}
	})
	return err
}

// expect checks the result: the host, whether the connection has served before, and how many tries it took.
func (c *claimant) expect(err error, index int, used bool, tries uint16) {
	c.w.t.Helper()
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.w.loop.Do(func() {
		if c.Lease.Host() != index || c.Conn.Used != used || c.Trace.Host != &c.Group.Hosts[index] || !c.Trace.Connected || c.Trace.Tries != tries {
			c.w.t.Errorf("host %d, used %v, %+v; want host %d, used %v, %d tries", c.Lease.Host(), c.Conn.Used, c.Trace, index, used, tries)
		}
	})
}

func (c *claimant) acquire(g *upstream.Group) error {
	c.w.t.Helper()
	return c.await(func() {
		c.Trace = upstream.Trace{}
		c.w.Acquire(g, &c.Claim, nil, c)
	})
}

// keep returns the connection to the pool.
func (c *claimant) keep() {
	c.w.loop.Do(func() {
		c.Keep(0)
		c.Release(upstream.Report{})
	})
}

// The most recently used idle connection serves the next claim. One that the host has closed, or on which the host has sent something, does not.
func TestAcquireReuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conns := make(chan *net.TCPConn, 2)
	g := w.keeps(w.group(enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		conns <- c
		enginetest.Hold(c)
	})), 2)
	one, two := w.claimant(), w.claimant()
	one.expect(one.acquire(g), 0, false, 1)
	two.expect(two.acquire(g), 0, false, 1)
	last := one.Conn
	two.keep()
	one.keep()
	w.idle(2)
	if two.expect(two.acquire(g), 0, true, 1); two.Conn != last {
		t.Error("another connection than that which was used last serves")
	}
	two.keep()
	_ = (<-conns).CloseWrite()
	w.idle(1)
	_, _ = (<-conns).Write([]byte("a word out of turn"))
	w.idle(0)
	one.expect(one.acquire(g), 0, false, 1)
}

// A connection to an address that its host's name no longer has is not reused after a few seconds, whether it is idle or in use
// when the name changes. Others stay.
func TestAcquireFollowsTheName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := onPort(enginetest.Port(t, "127.0.0.1", "127.0.0.2"))
	enginetest.Accepting(t, at("127.0.0.1"), enginetest.Hold)
	enginetest.Accepting(t, at("127.0.0.2"), enginetest.Hold)
	w.knows("moves.test", "127.0.0.1")
	g := w.keeps(w.group(at("moves.test")), 3)
	one, two, three := w.claimant(), w.claimant(), w.claimant()
	one.expect(one.acquire(g), 0, false, 1)
	two.expect(two.acquire(g), 0, false, 1)
	two.keep()
	// next returns where the next request goes, and whether its connection has served before.
	next := func() (at string, used bool) {
		if err := three.acquire(g); err != nil {
			t.Fatal(err)
		}
		w.loop.Do(func() { at, used = three.Trace.Addr.Addr().String(), three.Conn.Used })
		three.keep()
		return at, used
	}
	if at, used := next(); at != "127.0.0.1" || !used {
		t.Fatalf("the next one goes to %s, by a kept connection: %v", at, used)
	}
	w.changes("moves.test", "127.0.0.2")
	for begin := time.Now(); time.Since(begin) < 2*time.Second; time.Sleep(20 * time.Millisecond) { // a single answer may lack the address
		if at, used := next(); at != "127.0.0.1" || !used {
			t.Fatalf("the next one goes to %s at once, by a kept connection: %v", at, used)
		}
	}
	w.eventually("requests go to where the name leads now", func() bool { at, _ := next(); return at == "127.0.0.2" })
	w.idle(1)
	one.keep()
	w.idle(1)

	w.changes("moves.test", "127.0.0.1", "127.0.0.2")
	w.eventually("the name has changed", func() bool { return len(w.resolver.Name("moves.test").Addrs()) == 2 })
	for begin := time.Now(); time.Since(begin) < 1200*time.Millisecond; time.Sleep(20 * time.Millisecond) { // the name's addresses are checked every second
		if at, used := next(); at != "127.0.0.2" || !used {
			t.Fatalf("the next one goes to %s, by a kept connection: %v; where that leads has stayed", at, used)
		}
	}
}

// An attempt that goes on to another host takes an idle connection to that host, if there is one. An attempt that replaces a connection that had
// been idle makes a new one, to whichever host.
func TestAcquireGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, bad := enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold), enginetest.Refusing(t, enginetest.Loopback)
	ends, end := ending(t)
	g := w.keeps(w.group(bad, good), 2)
	c := w.claimant()
	c.expect(c.acquire(g), 1, false, 2)
	c.keep()
	g = w.keeps(w.group(bad, good), 2) // no loop knows yet that a host of this group is down
	c.expect(c.acquire(g), 1, true, 2)
	c.keep()

	g = w.keeps(w.group(ends, good), 2)
	w.idle(1)
	c.expect(c.acquire(g), 0, false, 1)
	c.keep()
	c.expect(c.acquire(g), 0, true, 1)
	c.expect(c.await(func() { w.Renew(&c.Claim, nil, c) }), 0, false, 2)
	end()
	c.expect(c.await(func() { w.Renew(&c.Claim, nil, c) }), 1, false, 4)
	w.idle(1)
	w.loop.Do(func() { c.Release(upstream.Report{}) })
	expect(t, g, "released", []int64{0, 0}, []int64{1, 0})
}

// ending starts a host that lets its clients wait, until end makes it refuse them. Its port stays reserved, so that no other process listens there.
func ending(t *testing.T) (at netip.AddrPort, end func()) {
	t.Helper()
	at = enginetest.Reserve(t, enginetest.Loopback)
	fd, err := engine.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() { _ = unix.Close(fd) })
	t.Cleanup(end)
	return at, end
}

func TestAcquireNoHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.Refusing(t, enginetest.Loopback))
	g.Balance = balance.NewGroup(1, nobody{}, balance.NewCounters(2, 1))
	if err := w.claimant().acquire(g); err != upstream.ErrNoHost { //nolint:errorlint // it is that error itself
		t.Errorf("outcome: %v", err)
	}
}

// A claim that is released before it has a connection leaves nothing behind.
func TestReleaseWhileConnecting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.keeps(w.group(enginetest.BlackHole(t, enginetest.Loopback)), 2)
	c := w.claimant()
	w.loop.Do(func() {
		w.Acquire(g, &c.Claim, nil, c)
		if !c.Lease.Held() || c.Conn != nil {
			t.Errorf("while it is being connected: %+v", c.Claim)
		}
		c.Release(upstream.Report{})
		c.Release(upstream.Report{})
		if c.Lease.Held() || len(c.outcome) != 0 {
			t.Errorf("a lease is held: %v; told %v", c.Lease.Held(), c.outcome)
		}
	})
	expect(t, g, "released", []int64{0}, []int64{0})
}

// A group's connections have TCP keepalive if the group says so; unix sockets have none.
func TestTCPKeepalive(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "app")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, host := range []any{"unix:" + path, enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold)} {
		g := w.group(host)
		g.TCPKeepalive = 5 * time.Second
		if _, err := w.connect(g); err != nil {
			t.Fatal(err)
		}
		n := 0
		for fd := range enginetest.FDs(t) {
			if every, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); err == nil && every == 5 {
				n++
			}
		}
		if want := map[bool]int{false: 1}[host == "unix:"+path]; n != want {
			t.Errorf("%v: %d sockets have the time, want %d", host, n, want)
		}
	}
}

// When descriptors have run out, an idle connection to any host is closed, even for a connection that will not be kept.
func TestIdleConnectionsAreGivenUp(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	w := newWorld(t)
	// The host does not accept, because it shares the process's descriptors.
	ln, err := net.Listen("tcp", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	g := w.keeps(w.group(ln.Addr()), 2)
	one, two, three := w.claimant(), w.claimant(), w.client(w.group(ln.Addr()))
	for _, c := range []*claimant{one, two} {
		c.expect(c.acquire(g), 0, false, 1)
	}
	one.keep()
	var taken []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	w.loop.Do(three.begin)
	three.Await(t, "the outcome", func() bool { return len(three.outcome) > 0 })
	if err := three.result(); err != nil {
		t.Error(err)
	}
	w.idle(0)
	for _, fd := range taken {
		unix.Close(fd)
	}
}

// A client that could not be accepted otherwise gets the descriptor of an idle connection.
func TestIdleConnectionsAreGivenUpForClients(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	w := newWorld(t)
	// The host does not accept, because it shares the process's descriptors.
	ln, err := net.Listen("tcp", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := w.claimant()
	c.expect(c.acquire(w.keeps(w.group(ln.Addr()), 1)), 0, false, 1)
	c.keep()
	fd, err := engine.Listen(netip.MustParseAddrPort(enginetest.Loopback))
	if err != nil {
		t.Fatal(err)
	}
	accepted, came := make(chan struct{}, 1), w.loop.Probe()
	var l *engine.Listener
	var client engine.Conn
	w.loop.Do(func() {
		l, err = engine.NewListener(w.loop.Loop, fd, engine.ListenerOptions{Accept: func(_ *engine.Listener, fd int32, _ netip.AddrPort) {
			if err := w.loop.Loop.Attach(&client, fd, came); err != nil {
				t.Error(err)
			}
			accepted <- struct{}{}
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	var taken []int
	w.loop.Do(func() { // so that the client is not accepted earlier
		conn, err := net.Dial("tcp", enginetest.LocalAddr(t, fd).String())
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { conn.Close() })
		for {
			fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				break
			}
			taken = append(taken, fd)
		}
	})
	select {
	case <-accepted:
	case <-time.After(enginetest.Patience):
		t.Error("the client is not accepted")
	}
	w.idle(0)
	w.loop.Do(func() {
		l.Close()
		client.Close()
	})
	for _, fd := range taken {
		unix.Close(fd)
	}
}
