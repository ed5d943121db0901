package upstream_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

var errNoName = errors.New("no such name")

func TestResolvedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(named("a.test", hello(t, enginetest.Loopback, "a")))
	c := w.client(g)
	w.loop.Do(c.begin)
	expect(t, g, "resolving", []int64{1}, []int64{0})
	w.answer("a.test") <- found("127.0.0.1")
	c.Await(t, "the outcome", func() bool { return len(c.outcome) > 0 })
	if err := c.result(); err != nil {
		t.Fatal(err)
	}
	c.greeting("a")
}

func TestUnresolvableGoesToTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fails("nowhere.test", errNoName)
	w.fails("empty.test", nil) // no error, but no addresses either
	g := w.group("nowhere.test:9", "empty.test:9", hello(t, enginetest.Loopback, "c"))
	c, err := w.connect(g)
	if err != nil {
		t.Fatal(err)
	}
	c.greeting("c")
	expect(t, g, "connected", []int64{0, 0, 1}, []int64{1, 1, 0})
}

func TestAllUnresolvable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fails("nowhere.test", errNoName)
	g := w.group("nowhere.test:9")
	c, err := w.connect(g)
	if !errors.Is(err, errNoName) {
		t.Errorf("outcome: %v", err)
	}
	c.expectIdle()
	expect(t, g, "failed", []int64{0}, []int64{1})
}

func TestResolveTimeout(t *testing.T) {
	t.Parallel()
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := w.group("silent.test:9")
		g.ResolveTimeout = 50 * time.Millisecond
		start := time.Now()
		c, err := w.connect(g)
		if !errors.Is(err, upstream.ErrResolveTimeout) || errors.Is(err, upstream.ErrConnectTimeout) {
			t.Errorf("outcome: %v", err)
		}
		if took := time.Since(start); took < g.ResolveTimeout-2*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		c.expectIdle()
		expect(t, g, "timed out", []int64{0}, []int64{1})
	})
	t.Run("then the next", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := w.group("silent.test:9", "mute.test:9", hello(t, enginetest.Loopback, "c"))
		g.ResolveTimeout = 50 * time.Millisecond
		c, err := w.connect(g)
		if err != nil {
			t.Fatal(err)
		}
		c.greeting("c")
		expect(t, g, "connected", []int64{0, 0, 1}, []int64{1, 1, 0})
	})
}

// Waiting for a name does not count as time for connecting.
func TestResolvingTakesNoTimeFromConnecting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group("silent.test:9", named("b.test", hello(t, enginetest.Loopback, "b")))
	g.ConnectTimeout = 300 * time.Millisecond
	g.ResolveTimeout = 400 * time.Millisecond // longer than ConnectTimeout
	c := w.client(g)
	w.loop.Do(func() {
		c.begin()
		g.ResolveTimeout = enginetest.Patience // for the second name
	})
	c.Await(t, "the next host", func() bool {
		c.Note()
		return g.Balance.Hosts().Active(1) == 1
	})
	time.Sleep(350 * time.Millisecond)
	w.answer("b.test") <- found("127.0.0.1")
	c.Await(t, "the outcome", func() bool { return len(c.outcome) > 0 })
	if err := c.result(); err != nil {
		t.Fatal(err)
	}
	c.greeting("b")
}

// The addresses of a name take turns. One that fails costs one try per connection, and is then left out for a while.
func TestAddressesInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := onPort(enginetest.Port(t, "127.0.0.1", "127.0.0.2", "127.0.0.3"))
	hello(t, at("127.0.0.1"), "a")
	hello(t, at("127.0.0.2"), "b")
	enginetest.Refusing(t, at("127.0.0.3"))
	w.knows("many.test", "127.0.0.1", "127.0.0.2", "127.0.0.3")
	g := w.group(at("many.test"))
	reached := map[string]int{}
	for range 12 {
		c, err := w.connect(g)
		if err != nil {
			t.Fatal(err)
		}
		w.loop.Do(func() { c.lease.Release(balance.Outcome{Class: balance.Unused}, 0) })
		reached[c.said(1)]++
	}
	if reached["a"] < 5 || reached["b"] < 5 {
		t.Errorf("12 connections went to %v", reached)
	}
	expect(t, g, "connected", []int64{0}, []int64{0})
}

// The connect timeout begins when the name is known.
func TestConnectTimeoutAfterResolving(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(named("hole.test", enginetest.BlackHole(t, enginetest.Loopback)))
	g.ConnectTimeout = 120 * time.Millisecond
	c := w.client(g)
	w.loop.Do(c.begin)
	time.Sleep(150 * time.Millisecond)
	start := time.Now()
	w.answer("hole.test") <- found("127.0.0.1")
	c.Await(t, "the outcome", func() bool { return len(c.outcome) > 0 })
	if err := c.result(); !errors.Is(err, upstream.ErrConnectTimeout) {
		t.Errorf("outcome: %v", err)
	}
	// Both clocks may round down by 1 ms.
	if took := time.Since(start); took < g.ConnectTimeout-2*time.Millisecond {
		t.Errorf("it took %v after the name was known", took)
	}
	c.expectIdle()
}

// Cancelled at any stage, an attempt leaves nothing behind and calls no owner.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"resolving", "resolving the second", "connecting", "connecting to the second", "after the answer"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			refusing := enginetest.Refusing(t, enginetest.Loopback)
			hole := enginetest.BlackHole(t, enginetest.Loopback)
			var g *upstream.Group
			var c *client
			host := 0
			// begin begins an attempt, and cancels it in the stage. It reports whether it has, before the attempt was over on a busy machine.
			begin := func() (cancelled bool) {
				switch stage {
				case "resolving", "after the answer":
					g = w.group("a.test:9")
				case "resolving the second":
					g, host = w.group(refusing, "a.test:9"), 1
				case "connecting":
					g = w.group(hole)
				case "connecting to the second":
					g, host = w.group(refusing, hole), 1
				}
				g.ConnectTimeout, g.ResolveTimeout = 400*time.Millisecond, 400*time.Millisecond
				c = w.client(g)
				w.loop.Do(func() {
					c.begin()
					if host > 0 {
						return
					}
					if stage == "after the answer" {
						w.answer("a.test") <- answer{err: errNoName}
						<-w.reports // the answer is posted to the loop, but cannot have been run
					}
					c.attempt.Cancel()
					cancelled = true
				})
				if host > 0 {
					c.Await(t, "the stage", func() bool {
						c.Note()
						if cancelled = g.Balance.Hosts().Active(host) > 0; cancelled {
							c.attempt.Cancel()
							w.Close() // ends the probe that begins if the machine has stood still for a second
						}
						return cancelled || len(c.outcome) > 0
					})
				}
				return cancelled
			}
			for !begin() {
			}
			c.expectIdle()
			// Nothing more comes within longer than all timeouts.
			w.answer("a.test") <- found("127.0.0.1")
			time.Sleep(450 * time.Millisecond)
			w.loop.Do(func() {
				if len(c.outcome) != 0 {
					t.Errorf("after Cancel, Connected was called: %v", c.outcome)
				}
				if failed := g.Balance.Hosts().Failed(host); failed != 0 {
					t.Errorf("the host counts as failed")
				}
			})
			c.expectIdle()
		})
	}
}

// An answer that was posted to the loop before its attempt was cancelled finds the struct in use for another attempt,
// which waits for another name. It must not be taken for that name's answer.
func TestLateAnswerAfterReuse(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"failure", "addresses"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			// No host listens at the old address on this port, so the old answer would cause a failure.
			at := onPort(enginetest.Port(t, "127.0.0.1", "127.0.0.3"))
			hello(t, at("127.0.0.1"), "new")
			enginetest.Refusing(t, at("127.0.0.3"))
			if kind == "addresses" {
				// The name fails first, so that its recovery is reported.
				w.answer("old.test") <- answer{err: errNoName}
				w.resolver.Name("old.test")
				<-w.reports
			}
			first, second := w.client(w.group("old.test:9")), w.client(w.group(at("new.test")))
			w.loop.Do(func() {
				first.begin()
				if kind == "failure" {
					w.answer("old.test") <- answer{err: errNoName}
				} else {
					w.answer("old.test") <- found("127.0.0.3")
				}
				<-w.reports // the answer is posted to the loop
				old := first.attempt
				old.Cancel()
				second.begin()
				if second.attempt != old {
					t.Error("the struct was not used again: this test tests nothing")
				}
			})
			w.loop.Do(func() {}) // the late answer has been run by now
			w.loop.Do(func() {
				if len(first.outcome)+len(second.outcome) != 0 || second.conn.Open() {
					t.Errorf("outcomes %v and %v, open %v, before the name is known", first.outcome, second.outcome, second.conn.Open())
				}
			})
			expect(t, second.g, "resolving", []int64{1}, []int64{0})
			first.expectIdle()
			w.answer("new.test") <- found("127.0.0.1")
			second.Await(t, "the outcome", func() bool { return len(second.outcome) > 0 })
			if err := second.result(); err != nil {
				t.Fatal(err)
			}
			second.greeting("new")
		})
	}
}

// The timeout for a name expires while its answer is on its way to the loop. The answer is for the former host, and must not be
// taken for that of the host whose name is awaited now.
func TestLateAnswerOfTheFormerHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := hello(t, "127.0.0.1:0", "second")
	g := w.group("slow.test:9", named("b.test", addr))
	g.ResolveTimeout = 30 * time.Millisecond
	c := w.client(g)
	w.loop.Do(func() {
		c.begin()
		g.ResolveTimeout = enginetest.Patience // for the second name
		// The timer fires meanwhile. The loop serves it at the end of the next batch of events, in which the answer is posted for the one after it.
		time.Sleep(60 * time.Millisecond)
		w.loop.Post(func() {
			w.answer("slow.test") <- answer{err: errNoName}
			<-w.reports
		})
	})
	c.Await(t, "the second host", func() bool {
		c.Note()
		return g.Balance.Hosts().Active(1) == 1
	})
	w.loop.Do(func() {}) // posted functions have been run by now
	expect(t, g, "resolving the second", []int64{0, 1}, []int64{1, 0})
	w.answer("b.test") <- found("127.0.0.1")
	c.Await(t, "the outcome", func() bool { return len(c.outcome) > 0 })
	if err := c.result(); err != nil {
		t.Fatal(err)
	}
	c.greeting("second")
}

// An owner that gets a failure begins again at once, with the same struct.
func TestAgainInsideConnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.group(hello(t, enginetest.Loopback, "good"))
	r := &retrier{client: w.client(w.group("255.255.255.255:9")), then: good}
	w.loop.Do(func() {
		if a := w.Connect(r.g, &r.conn, &r.lease, &r.trace, nil, false, r); a != nil {
			t.Error("an attempt that is over was returned")
		}
	})
	r.Await(t, "the outcome", func() bool { return len(r.outcome) == 2 })
	w.loop.Do(func() {
		if r.outcome[0] == nil || r.outcome[1] != nil {
			t.Errorf("outcomes %v", r.outcome)
		}
	})
	r.greeting("good")
}

type retrier struct {
	*client
	then *upstream.Group
}

func (*retrier) Ends() (client, local netip.AddrPort) { return netip.AddrPort{}, netip.AddrPort{} }

func (r *retrier) Connected(err error) {
	r.client.Connected(err)
	if err != nil {
		r.g = r.then
		r.w.Connect(r.g, &r.conn, &r.lease, &r.trace, nil, false, r)
	}
}

// Many simultaneous attempts on few hosts, some cancelled: the counts are right at the end.
func TestManyAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.Refusing(t, enginetest.Loopback), named("late.test", hello(t, enginetest.Loopback, "x")))
	const clients = 100
	var all []*client
	w.loop.Do(func() {
		for range clients {
			c := w.client(g)
			c.begin()
			all = append(all, c)
		}
	})
	w.loop.Do(func() {
		for i, c := range all {
			if i%3 == 0 && len(c.outcome) == 0 {
				c.attempt.Cancel()
			}
		}
	})
	w.answer("late.test") <- found("127.0.0.1")
	for i, c := range all {
		if i%3 != 0 {
			c.Await(t, "the outcome", func() bool { return len(c.outcome) > 0 })
			if err := c.result(); err != nil {
				t.Fatal(err)
			}
			w.loop.Do(func() { c.lease.Release(balance.Outcome{Class: balance.Served}, 0) })
		}
	}
	for i := range g.Hosts {
		if n := g.Balance.Hosts().Active(i); n != 0 {
			t.Errorf("host %d has %d leases", i, n)
		}
	}
	if n, want := g.Balance.Hosts().Served(1), int64(clients-(clients+2)/3); n != want {
		t.Errorf("%d served, want %d", n, want)
	}
}

func TestNothingLeaks(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	round := func(t *testing.T) {
		w := newWorld(t)
		refusing, hole := enginetest.Refusing(t, enginetest.Loopback), enginetest.BlackHole(t, enginetest.Loopback)
		good := hello(t, enginetest.Loopback, "good")
		w.fails("nowhere.test", errNoName)
		g := w.group(refusing, "nowhere.test:9", hole, "silent.test:9", "255.255.255.255:9", good)
		g.HostTimeout, g.ResolveTimeout = 300*time.Millisecond, 50*time.Millisecond
		c, err := w.connect(g)
		if err != nil {
			t.Fatal(err)
		}
		c.greeting("good")
		g = w.group(refusing, hole, "silent.test:9")
		g.ConnectTimeout, g.ResolveTimeout = 50*time.Millisecond, 50*time.Millisecond
		if _, err := w.connect(g); err == nil {
			t.Error("connected")
		}
		for _, host := range []any{hole, "silent.test:9"} {
			c := w.client(w.group(host))
			w.loop.Do(func() {
				c.begin()
				c.attempt.Cancel()
			})
		}
	}
	t.Run("warm", round)
	check := enginetest.NoLeaks(t)
	t.Run("again", round)
	check()
}

// If descriptors have run out, it is not the host's fault, and other hosts are not tried.
func TestNoDescriptors(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	w := newWorld(t)
	refusing := enginetest.Refusing(t, enginetest.Loopback)
	g := w.group(refusing, refusing)
	c := w.client(g)
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	before := lim.Cur
	var outcome []error
	w.loop.Do(func() {
		lim.Cur = 0
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			t.Error(err)
		}
		c.begin()
		outcome = c.outcome
		lim.Cur = before
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			t.Error(err)
		}
	})
	if len(outcome) != 1 || !errors.Is(outcome[0], unix.EMFILE) {
		t.Errorf("outcome: %v", outcome)
	}
	c.expectIdle()
	expect(t, g, "no descriptors", []int64{0, 0}, []int64{0, 0})
}
