package upstream_test

import (
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/enginetest"
)

// eventually waits until ok, which is called on the test's goroutine, returns true.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > enginetest.Patience {
			w.t.Fatalf("not after %v: %s", enginetest.Patience, what)
		}
	}
}

// A client that leaves early says nothing about the host; one that has waited long causes a probe.
func TestCancelAndProbe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.BlackHole(t, enginetest.Loopback))
	g.HostTimeout = 100 * time.Millisecond
	g.LastTakesAll = true // applies to a client's attempt, but not to a probe
	// cancel makes a client that leaves after that time, and then calls check with the time that it has waited on the loop's clock, in ms.
	cancel := func(after time.Duration, check func(waited int64)) {
		c := w.client(g)
		var since int64
		w.loop.Do(func() {
			c.begin()
			since = w.loop.Now()
		})
		time.Sleep(after)
		w.loop.Do(func() {
			c.attempt.Cancel()
			check(w.loop.Now() - since)
		})
	}
	for early := false; !early; {
		cancel(50*time.Millisecond, func(waited int64) {
			if early = waited < 1000; !early { // the machine has stood still; the probe that has begun must not count
				w.Close()
			} else if n := g.Balance.Hosts().Active(0); n != 0 {
				t.Errorf("%d leases: an early cancellation began a probe", n)
			}
		})
	}
	cancel(1100*time.Millisecond, func(int64) {})
	w.eventually("the host is found down", func() bool { return g.Balance.Hosts().Down(0) && g.Balance.Hosts().Active(0) == 0 })
	if n := g.Balance.Hosts().Failed(0); n != 1 {
		t.Errorf("%d failures, want that of the probe", n)
	}
}

// If hosts are chosen by response time, a host for which a client has waited in vain counts as slow.
func TestCancelTellsHowLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.BlackHole(t, enginetest.Loopback), hello(t, enginetest.Loopback, "good"))
	b, err := balance.New("least_time", nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Balance = balance.NewGroup(2, b, balance.NewCounters(2, 2))
	now := balance.Now()
	lease, _ := g.Balance.AcquireHost(0, 1, new(balance.Tried), now)
	lease.Release(balance.Outcome{Class: balance.Served, Latency: time.Millisecond}, now)
	c := w.client(g)
	w.loop.Do(c.begin) // at the host about which nothing is known
	time.Sleep(200 * time.Millisecond)
	w.loop.Do(func() {
		if host := c.lease.Host(); host != 0 {
			t.Errorf("the client waits for host %d", host)
		}
		c.attempt.Cancel()
	})
	if lease, ok := g.Balance.Acquire(0, nil, new(balance.Tried), balance.Now()); !ok || lease.Host() != 1 {
		t.Error("the next client gets the host that the first one has waited for in vain")
	}
}

// Close ends probes in progress, whatever they wait for.
func TestCloseEndsProbes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.BlackHole(t, enginetest.Loopback))
	c := w.client(g)
	w.loop.Do(c.begin)
	time.Sleep(1100 * time.Millisecond)
	w.loop.Do(func() {
		c.attempt.Cancel()
		if n := g.Balance.Hosts().Active(0); n != 1 {
			t.Errorf("%d leases, want that of a probe", n)
		}
		w.Close()
		if n := g.Balance.Hosts().Active(0); n != 0 || g.Balance.Hosts().Down(0) {
			t.Errorf("%d leases after Close, down %v", n, g.Balance.Hosts().Down(0))
		}
	})
}

// A host whose name no longer resolves is down like any other, and its probe resolves the name.
func TestProbeResolves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := hello(t, enginetest.Loopback, "good")
	spare := hello(t, enginetest.Loopback, "spare")
	g := w.group(named("late.test", good), spare)
	g.ResolveTimeout = time.Second // in case there are more lookups than answers
	for range 2 {                  // for the lookup that began with the group and that of the connection, in case they are separate
		w.answer("late.test") <- answer{err: errNoName}
	}
	c, err := w.connect(g)
	if err != nil {
		t.Fatal(err)
	}
	c.greeting("spare")
	if !g.Balance.Hosts().Down(0) {
		t.Fatal("the host without an address is up")
	}
	w.answer("late.test") <- found("127.0.0.1")
	w.eventually("a connection goes to the host", func() bool {
		c, err := w.connect(g)
		if err != nil {
			t.Fatal(err)
		}
		w.loop.Do(func() { c.lease.Release(balance.Outcome{Class: balance.Unused}, 0) })
		return c.said(4) == "good"
	})
}
