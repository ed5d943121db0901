package upstream_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// line holds claimants that ask for hosts of one group, in the order in which they ask; it records the order in which they get an outcome.
type line struct {
	w     *world
	g     *upstream.Group
	all   []*claimant
	told  []int // used on the loop only
	noted *enginetest.Probe
}

// queue makes n claimants ask in one batch of events.
func (w *world) queue(g *upstream.Group, n int) *line {
	w.t.Helper()
	l := &line{w: w, g: g, noted: w.loop.Probe()}
	for range n {
		l.all = append(l.all, w.claimant())
	}
	w.loop.Do(func() {
		for i := range l.all {
			l.ask(i)
		}
	})
	return l
}

// ask makes claimant i ask; call it on the loop.
func (l *line) ask(i int) { l.w.Acquire(l.g, &l.all[i].Claim, nil, inLine{l.all[i], l, i}) }

// inLine is claimant i of a line.
type inLine struct {
	*claimant
	line *line
	i    int
}

func (t inLine) Connected(err error) {
	t.claimant.Connected(err)
	t.line.told = append(t.line.told, t.i)
	t.line.noted.Note()
}

// expect waits until that many claimants got an outcome, and checks which, in their order.
func (l *line) expect(want ...int) {
	l.w.t.Helper()
	var got []int
	l.noted.Await(l.w.t, "as many are told", func() bool {
		got = slices.Clone(l.told)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		l.w.t.Fatalf("told: %v, want %v", got, want)
	}
}

// leave makes claimant i release what it has. No other claimant may get an outcome before that returns.
func (l *line) leave(i int) {
	l.w.t.Helper()
	l.w.loop.Do(func() {
		before := len(l.told)
		l.all[i].Release(upstream.Report{Outcome: balance.Outcome{Class: balance.Served}})
		if len(l.told) != before {
			l.w.t.Errorf("claimant %d was told within another's Release", l.told[before])
		}
	})
}

// outcome returns the outcome of claimant i.
func (l *line) outcome(i int) (err error) {
	l.w.t.Helper()
	l.w.loop.Do(func() {
		if list := l.all[i].outcome; len(list) == 1 {
			err = list[0]
		} else {
			l.w.t.Errorf("claimant %d was told %d times", i, len(list))
		}
	})
	return err
}

func (l *line) waiting(want int64) {
	l.w.t.Helper()
	if n := l.g.Balance.Queued(); n != want {
		l.w.t.Errorf("%d places of the queue are taken, want %d", n, want)
	}
}

// A queue is bounded and served in order as places become free; a client that leaves gives up its position.
func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.queue(w.full(1, 3, 0, hello(t, enginetest.Loopback, "host")), 5)
	l.expect(0, 4)
	if err := l.outcome(4); !errors.Is(err, upstream.ErrQueueFull) {
		t.Errorf("a client that finds no place got %v", err)
	}
	l.waiting(3)
	l.leave(2) // out of the queue
	l.waiting(2)
	w.loop.Do(func() {
		if l.all[2].Queued() || !l.all[3].Queued() {
			t.Error("the client that left is still in the queue, or another is not")
		}
		// The newcomer goes behind the waiting clients, even though there is a place.
		l.all[0].Release(upstream.Report{})
		l.all[2].outcome = nil
		l.ask(2)
	})
	l.expect(0, 4, 1)
	l.waiting(2)
	l.leave(1)
	l.expect(0, 4, 1, 3)
	// If a client leaves before it uses a place that was passed on to it, the next client gets the place.
	l.all[0].outcome = nil
	w.loop.Do(func() {
		l.ask(0)
		l.all[3].Release(upstream.Report{})
		if l.all[2].Queued() {
			t.Error("the place was not passed on")
		}
		l.all[2].Release(upstream.Report{})
	})
	l.expect(0, 4, 1, 3, 0)
	l.leave(0)
	l.waiting(0)
	w.expectUnused(l.g)
}

// expectUnused checks that no host of g has a lease.
func (w *world) expectUnused(g *upstream.Group) {
	w.t.Helper()
	for i := range g.Hosts {
		if n := g.Balance.Hosts().Active(i); n != 0 {
			w.t.Errorf("host %d has %d leases", i, n)
		}
	}
}

// A client that waits too long gets an error, and so does one that finds each host full if there is no queue.
func TestQueueTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := hello(t, enginetest.Loopback, "host")
	l := w.queue(w.full(1, 1, 50*time.Millisecond, host), 2)
	l.expect(0, 1)
	if err := l.outcome(1); !errors.Is(err, upstream.ErrQueueTimeout) {
		t.Errorf("a client that waited too long got %v", err)
	}
	l.waiting(0)

	l = w.queue(w.full(1, 0, 0, host), 2)
	l.expect(0, 1)
	if err := l.outcome(1); !errors.Is(err, upstream.ErrFull) {
		t.Errorf("a client that finds no host free got %v", err)
	}
}

// A place that another loop has released is found, and goes to a waiting client: newcomers go behind.
func TestQueuePolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.queue(w.full(1, 2, 0, hello(t, enginetest.Loopback, "host")), 2)
	l.expect(0)
	l.all = append(l.all, w.claimant())
	time.Sleep(2 * time.Millisecond) // so that the place is free later than the second has asked, on a clock of milliseconds
	var freed int64
	w.loop.Do(func() {
		freed = w.loop.Now()
		l.all[0].Lease.Release(balance.Outcome{}, 0) // the connector is not told
		l.ask(2)
	})
	l.expect(0, 1)
	if began := l.all[1].Trace.Began; began < freed {
		t.Errorf("the wait in the queue, until %d, counts as connecting, since %d", freed, began)
	}
	l.leave(1)
	l.expect(0, 1, 2)
	for i := range l.all {
		if err := l.outcome(i); err != nil {
			t.Error(err)
		}
	}
}

// After a reload, clients that waited before it are served at once when newer clients release places, even if the group's first host has changed.
func TestQueueOverAReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host, other := hello(t, enginetest.Loopback, "host"), hello(t, enginetest.Loopback, "other")
	counters := balance.NewCounters(2, 2)
	group := func(ids []int, hosts ...any) *upstream.Group {
		g := w.group(hosts...)
		o := balance.Options{Algorithm: "first", Queue: 2}
		for range hosts {
			o.Hosts = append(o.Hosts, balance.Spec{Weight: 1, MaxConns: 1})
		}
		var err error
		if g.Balance, err = balance.NewGroupOf(ids, o, counters); err != nil {
			t.Fatal(err)
		}
		g.Queue = upstream.Queue{Size: 2}
		return g
	}
	before, after := group([]int{0}, host), group([]int{1, 0}, other, host)
	after.Name = before.Name
	late, waits, later := w.claimant(), w.claimant(), w.claimant()
	late.expect(late.await(func() { w.AcquireHost(after, &late.Claim, 1, nil, late) }), 1, false, 1)
	w.loop.Do(func() {
		w.AcquireHost(after, &later.Claim, 1, nil, later)
		w.Acquire(before, &waits.Claim, nil, waits)
		if !waits.Queued() || !later.Queued() {
			t.Error("they do not wait for the host")
		}
		late.Release(upstream.Report{})
		if waits.Queued() {
			t.Error("the place is not passed on at once")
		}
		if !later.Queued() {
			t.Error("two have the place")
		}
	})
	waits.Await(t, "the host", func() bool { return len(waits.outcome) > 0 })
	waits.expect(waits.outcome[0], 0, false, 1)
	w.loop.Do(func() {
		waits.Release(upstream.Report{})
		if later.Queued() {
			t.Error("the later clients are not served")
		}
	})
}

// Attempts of Connect wait in the same queue.
func TestQueueOfAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.full(1, 2, 0, hello(t, enginetest.Loopback, "host"))
	l := w.queue(g, 2)
	c := w.client(g)
	w.loop.Do(func() {
		c.begin()
		if !c.attempt.Queued() {
			t.Error("it does not wait")
		}
	})
	l.waiting(2)
	l.expect(0)
	l.leave(0)
	l.expect(0, 1)
	l.leave(1)
	c.greeting("host")
	w.loop.Do(func() { w.Release(g, &c.lease, upstream.Report{}) })
	w.expectUnused(g)
}

// A loop that has places does not serve only its own clients while clients of other loops wait, whether or not its own have to wait too.
func TestQueueIsFair(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			queueIsFair(t, n)
		})
	}
}

func queueIsFair(t *testing.T, n int) {
	w := newWorld(t)
	g := w.full(1, 10, 0, hello(t, enginetest.Loopback, "host"))
	over := false
	busy := make([]*claimant, n) // each asks for another connection as soon as it has one
	for i := range busy {
		busy[i] = w.claimant()
		busy[i].Claim = upstream.Claim{}
	}
	again := func(c *claimant) {
		c.outcome = nil
		w.Acquire(g, &c.Claim, nil, c)
	}
	w.loop.Do(func() {
		for _, c := range busy {
			c.OnExpired = func(*engine.Timer) {
				c.Release(upstream.Report{})
				if !over {
					again(c)
				}
			}
			again(c)
		}
	})
	pump := func() { // each that has a connection returns it
		w.loop.Do(func() {
			for _, c := range busy {
				if len(c.outcome) > 0 {
					c.OnExpired(nil)
				}
			}
		})
	}
	for range 10 {
		pump()
	}
	other := enginetest.Start(t, engine.Options{})
	k := upstream.NewConnector(other.Loop, 0, nil, nil, slog.New(slog.DiscardHandler))
	c := &stranger{Probe: other.Probe()}
	other.Do(func() { k.Acquire(g, &c.Claim, nil, c) })
	for begin := time.Now(); ; pump() {
		done := false
		if other.Do(func() { done = c.told }); done {
			break
		}
		if time.Since(begin) > enginetest.Patience {
			t.Fatal("a client of another loop gets no place")
		}
	}
	w.loop.Do(func() { over = true })
	other.Do(func() { c.Release(upstream.Report{}) })
	w.eventually("all have left", func() bool {
		pump()
		return g.Balance.Queued() == 0 && g.Balance.Hosts().Active(0) == 0
	})
}

// stranger is an owner of a claim on another loop.
type stranger struct {
	*enginetest.Probe
	upstream.Claim
	told bool
}

func (*stranger) Ends() (client, local netip.AddrPort) { return netip.AddrPort{}, netip.AddrPort{} }

func (s *stranger) Connected(error) { s.told = true }

// A client that should stay with a host waits for it even if others are free, and goes to another if the host is down.
func TestAcquireHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.full(1, 5, 0, hello(t, enginetest.Loopback, "one"), hello(t, enginetest.Loopback, "two"))
	one, two, three := w.claimant(), w.claimant(), w.claimant()
	one.expect(one.await(func() { w.AcquireHost(g, &one.Claim, 1, nil, one) }), 1, false, 1)
	w.loop.Do(func() {
		w.AcquireHost(g, &two.Claim, 1, nil, two)
		if !two.Queued() {
			t.Error("it does not wait for its host")
		}
	})
	three.expect(three.acquire(g), 0, false, 1) // it takes any host, and does not have to wait
	w.loop.Do(func() { one.Release(upstream.Report{}) })
	two.Await(t, "the host", func() bool { return len(two.outcome) > 0 })
	two.expect(two.outcome[0], 1, false, 1)
	w.loop.Do(func() {
		one.outcome, one.Trace = nil, upstream.Trace{}
		w.AcquireHost(g, &one.Claim, 1, nil, one)
		three.Release(upstream.Report{})
		two.Lease.Unreachable(w.loop.Monotonic())
		two.Release(upstream.Report{})
	})
	one.Await(t, "another host", func() bool { return len(one.outcome) > 0 })
	one.expect(one.outcome[0], 0, false, 1)
}
