package upstream_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

func TestHostLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, want := range map[string]string{"db1.example": "db1.example:5432", "10.0.0.1": "10.0.0.1:5432", "::1": "[::1]:5432"} {
		h := upstream.NewHost(w.resolver, name, 5432)
		if h.Label != want || h.Port != 5432 || h.Name.Host() != name {
			t.Errorf("%q: %q, %d, %q", name, h.Label, h.Port, h.Name.Host())
		}
	}
}

func TestSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(hello(t, enginetest.Loopback, "a"))
	c, err := w.connect(g)
	if err != nil {
		t.Fatal(err)
	}
	w.loop.Do(func() {
		if !c.conn.Writable() {
			t.Error("not writable")
		}
	})
	c.greeting("a")
	expect(t, g, "connected", []int64{1}, []int64{0})
	w.loop.Do(func() { c.lease.Release(balance.Outcome{Class: balance.Unused}, 0) })
	expect(t, g, "released", []int64{0}, []int64{0})
}

func TestRefusedGoesToTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.Refusing(t, enginetest.Loopback), enginetest.Refusing(t, enginetest.Loopback), hello(t, enginetest.Loopback, "c"))
	c, err := w.connect(g)
	if err != nil {
		t.Fatal(err)
	}
	c.greeting("c")
	expect(t, g, "connected", []int64{0, 0, 1}, []int64{1, 1, 0})
}

func TestAllRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.Refusing(t, enginetest.Loopback), enginetest.Refusing(t, enginetest.Loopback))
	c, err := w.connect(g)
	if !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), `"app"`) {
		t.Errorf("outcome: %v", err)
	}
	c.expectIdle()
	expect(t, g, "refused", []int64{0, 0}, []int64{1, 1})
}

// An address that the kernel refuses at once is treated like any other address.
func TestImpossibleAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := w.connect(w.group("255.255.255.255:9", hello(t, enginetest.Loopback, "b")))
	if err != nil {
		t.Fatal(err)
	}
	c.greeting("b")
	g := w.group("255.255.255.255:9")
	c, err = w.connect(g)
	if err == nil || errors.Is(err, upstream.ErrNoHost) {
		t.Errorf("outcome: %v", err)
	}
	c.expectIdle()
	expect(t, g, "impossible", []int64{0}, []int64{1})
}

// The proxy's own address is not connected to; the host's other addresses, and other hosts, are.
func TestOwnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := onPort(enginetest.Port(t, "127.0.0.1", "127.0.0.2"))
	own, other := hello(t, at("127.0.0.1"), "own"), hello(t, at("127.0.0.2"), "other")
	self := upstream.NewSelf()
	self.Listen([]netip.AddrPort{own})
	w.knows("both.test", "127.0.0.1", "127.0.0.2")
	for _, c := range []struct {
		hosts  []any
		want   string // "" means none
		failed []int64
	}{
		{[]any{own}, "", []int64{1}},
		{[]any{own, hello(t, enginetest.Loopback, "next")}, "next", []int64{1, 0}},
		{[]any{named("both.test", own)}, "other", []int64{0}},
		{[]any{named("both.test", own)}, "other", []int64{0}},
		{[]any{other}, "other", []int64{0}},
	} {
		g := w.group(c.hosts...)
		g.Self = self
		client, err := w.connect(g)
		if c.want == "" {
			if !errors.Is(err, upstream.ErrLoop) {
				t.Errorf("outcome: %v", err)
			}
			client.expectIdle()
		} else if err != nil {
			t.Error(err)
		} else {
			client.greeting(c.want)
		}
		active := make([]int64, len(c.hosts))
		if c.want != "" {
			active[len(active)-1] = 1
		}
		expect(t, g, "own address", active, c.failed)
	}
}

// A host that does not answer gets its share of the time, and leaves the rest to the others.
func TestBlackHoleGoesToTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hole := enginetest.BlackHole(t, enginetest.Loopback)
	g := w.group(hole, hole, hello(t, enginetest.Loopback, "c"))
	g.ConnectTimeout = 6 * time.Second // long enough to leave time for the third even on a busy machine
	start := time.Now()
	c, err := w.connect(g)
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	// A third of the time for the first host, half of the rest for the second. If they got more than that, none would be left.
	if took < 3990*time.Millisecond {
		t.Errorf("it took %v, want 4 s", took)
	}
	c.greeting("c")
	expect(t, g, "connected", []int64{0, 0, 1}, []int64{1, 1, 0})
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	hole := enginetest.BlackHole(t, enginetest.Loopback)
	for _, hosts := range []int{1, 3} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := w.group(slices.Repeat([]any{hole}, hosts)...)
			g.ConnectTimeout = 100 * time.Millisecond
			start := time.Now()
			c, err := w.connect(g)
			if !errors.Is(err, upstream.ErrConnectTimeout) {
				t.Errorf("outcome: %v", err)
			}
			if took := time.Since(start); took < g.ConnectTimeout-2*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			c.expectIdle()
			// How many of the other hosts were tried depends on how busy the machine is.
			if n := g.Balance.Hosts().Failed(0); n != 1 {
				t.Errorf("the first host failed %d times, want once", n)
			}
		})
	}
}

// The error is the one of the last host.
func TestBlackHoleThenRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.BlackHole(t, enginetest.Loopback), enginetest.Refusing(t, enginetest.Loopback))
	g.HostTimeout = 300 * time.Millisecond // the second is refused at once, however long the first has taken
	c, err := w.connect(g)
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("outcome: %v", err)
	}
	c.expectIdle()
}

// Without a bound the attempt waits, and can be cancelled.
func TestNoConnectTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.BlackHole(t, enginetest.Loopback))
	g.ConnectTimeout = 0
	c := w.client(g)
	w.loop.Do(c.begin)
	time.Sleep(50 * time.Millisecond)
	w.loop.Do(func() {
		c.attempt.Cancel()
		w.Close() // ends the probe that begins if the machine has stood still for a second
	})
	c.expectIdle()
	w.loop.Do(func() {
		if len(c.outcome) != 0 {
			t.Errorf("outcome: %v", c.outcome)
		}
	})
}

// A connection to a non-loopback host completes by an event.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	at := elsewhere(t)
	w := newWorld(t)
	g := w.group(enginetest.Refusing(t, at), enginetest.Refusing(t, at), hello(t, at, "c"))
	c, err := w.connect(g)
	if err != nil {
		t.Fatal(err)
	}
	c.greeting("c")
	expect(t, g, "connected", []int64{0, 0, 1}, []int64{1, 1, 0})

	g = w.group(enginetest.Refusing(t, at))
	c, err = w.connect(g)
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("outcome: %v", err)
	}
	c.expectIdle()

	c = w.client(w.group(hello(t, at, "cancelled")))
	w.loop.Do(func() {
		c.begin()
		c.attempt.Cancel()
	})
	c.expectIdle()
	w.loop.Do(func() {
		if len(c.outcome) != 0 || c.Readies != 0 {
			t.Errorf("outcome %v, %d events after Cancel", c.outcome, c.Readies)
		}
	})
}

// elsewhere returns a non-loopback address of this machine, with port zero.
func elsewhere(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return net.JoinHostPort(n.IP.String(), "0")
		}
	}
	t.Skip("this machine has no IPv4 address but the loopback's")
	return ""
}

// A unix socket is treated like any other host: if it cannot be connected to, it is skipped and down; if it can, it serves, and
// its connections are kept.
func TestUnixHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	accepted := make(chan net.Conn, 2)
	go func() {
		for range cap(accepted) {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "app")
			accepted <- c
		}
	}()
	none, app := "unix:"+filepath.Join(dir, "none"), "unix:"+filepath.Join(dir, "app")
	g := w.group(none, app, hello(t, enginetest.Loopback, "tcp"))
	c, err := w.connect(g)
	if err != nil {
		t.Fatal(err)
	}
	c.greeting("app")
	expect(t, g, "connected", []int64{0, 1, 0}, []int64{1, 0, 0})
	if h := g.Balance.Hosts(); !h.Down(0) || h.Down(1) {
		t.Errorf("down: %v, %v", h.Down(0), h.Down(1))
	}
	if u := c.trace.ForLog(); u.Host != app || u.Addr.IsValid() || !u.Connected || u.Tries != 2 {
		t.Errorf("logged: %+v", u)
	}
	w.loop.Do(func() { c.lease.Release(balance.Outcome{Class: balance.Unused}, 0) })
	own := w.group(app)
	own.Self = upstream.NewSelf()
	own.Self.ListenUnix([]string{"/elsewhere", strings.TrimPrefix(app, "unix:")})
	if _, err := w.connect(own); !errors.Is(err, upstream.ErrLoop) {
		t.Errorf("outcome at its own socket: %v", err)
	}
	client := w.client(w.group(none))
	w.loop.Do(client.begin)
	if err := client.result(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("outcome: %v", err)
	}

	kept := w.keeps(w.group(app), 1)
	one := w.claimant()
	one.expect(one.acquire(kept), 0, false, 1)
	one.Await(t, "the greeting", func() bool {
		n, _ := one.Conn.Read(w.loop.Scratch())
		return n > 0
	})
	w.loop.Do(func() {
		if !one.Conn.Quiet() {
			t.Error("not quiet")
		}
	})
	one.keep()
	one.expect(one.acquire(kept), 0, true, 1)
	one.keep()
	(<-accepted).Close() // c's
	(<-accepted).Close()
	w.idle(0)
}

func TestNoHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.Refusing(t, enginetest.Loopback))
	g.Balance = balance.NewGroup(1, nobody{}, balance.NewCounters(2, 1))
	c, err := w.connect(g)
	if !errors.Is(err, upstream.ErrNoHost) {
		t.Errorf("outcome: %v", err)
	}
	c.expectIdle()
}

// nobody is an algorithm that never offers a host.
type nobody struct{}

func (nobody) Pick(*balance.Hosts, []byte, *balance.Tried) int { return -1 }

func TestAddressesAreTriedInOrder(t *testing.T) {
	t.Parallel()
	at := onPort(enginetest.Port(t, "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"))
	hello(t, at("127.0.0.1"), "first")
	hello(t, at("127.0.0.2"), "second")
	enginetest.Refusing(t, at("127.0.0.3"))
	enginetest.BlackHole(t, at("127.0.0.4"))
	for _, c := range []struct {
		addrs []string
		want  string
	}{
		{[]string{"127.0.0.1", "127.0.0.2"}, "first"},
		{[]string{"127.0.0.2", "127.0.0.1"}, "second"},
		{[]string{"127.0.0.3", "127.0.0.2", "127.0.0.1"}, "second"},
		{[]string{"255.255.255.255", "127.0.0.1"}, "first"},
		{[]string{"127.0.0.4", "127.0.0.2"}, "second"},
		{[]string{"127.0.0.4", "127.0.0.3", "127.0.0.1"}, "first"},
	} {
		t.Run(fmt.Sprint(c.addrs), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.knows("many.test", c.addrs...)
			g := w.group(at("many.test"))
			g.HostTimeout = time.Second // an address that is reached at once is reached even if none of it is left
			conn, err := w.connect(g)
			if err != nil {
				t.Fatal(err)
			}
			conn.greeting(c.want)
			expect(t, g, "connected", []int64{1}, []int64{0})
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.knows("many.test", "127.0.0.4", "127.0.0.3")
		g := w.group(at("many.test"), at("127.0.0.2"))
		g.HostTimeout = time.Second
		conn, err := w.connect(g)
		if err != nil {
			t.Fatal(err)
		}
		conn.greeting("second")
		expect(t, g, "connected", []int64{0, 1}, []int64{1, 0})
	})
}
