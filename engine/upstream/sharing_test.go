package upstream_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// begin acquires n claims on the loop, in one batch, at the end of which it calls after.
func (w *world) begin(g *upstream.Group, n int, after ...func()) []*claimant {
	list := make([]*claimant, n)
	for i := range list {
		list[i] = w.claimant()
	}
	w.loop.Do(func() {
		for _, c := range list {
			w.Acquire(g, &c.Claim, nil, c)
		}
		for _, f := range after {
			f()
		}
	})
	return list
}

// outcomes waits for the outcomes of all claims, and counts them.
func (w *world) outcomes(list []*claimant) (got, failed int) {
	w.t.Helper()
	for _, c := range list {
		c.Await(w.t, "the outcome", func() bool { return len(c.outcome) > 0 })
	}
	w.loop.Do(func() {
		for _, c := range list {
			switch {
			case len(c.outcome) != 1:
				w.t.Errorf("Connected was called %d times", len(c.outcome))
			case c.outcome[0] != nil:
				failed++
			default:
				got++
			}
		}
	})
	return got, failed
}

// expectSessions waits until that many connections are open and that many of them idle.
func (w *world) expectSessions(m *lines, open, idle int) {
	w.t.Helper()
	var o, i int
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		w.loop.Do(func() { o, i = m.open, w.Idle() })
		if o == open && i == idle {
			return
		}
		if time.Since(begin) > enginetest.Patience {
			w.t.Fatalf("%d connections are open, %d idle; want %d, %d", o, i, open, idle)
		}
	}
}

// answered is the report on a request that its host has answered. Without an answer for a second, as on a machine that stood still, the
// request's connection would be suspected of being dead.
var answered = upstream.Report{Status: 200}

func (w *world) release(list ...*claimant) {
	w.loop.Do(func() {
		for _, c := range list {
			c.Release(answered)
		}
	})
}

// ask sends a word on the claim's stream, and expects the echo.
func (c *claimant) ask(word string) {
	c.w.t.Helper()
	var got []byte
	c.w.loop.Do(func() {
		if !c.Conn.Shared() || !c.Conn.LocalAddr().IsValid() {
			c.w.t.Errorf("shared %v, local address %v", c.Conn.Shared(), c.Conn.LocalAddr())
		}
		_, _ = c.Conn.Write([]byte(word))
	})
	c.Await(c.w.t, "an answer", func() bool {
		if c.Conn.Readable() {
			n, _ := c.Conn.Read(c.w.loop.Scratch())
			got = append(got, c.w.loop.Scratch()[:n]...)
		}
		return len(got) >= len(word)
	})
	if string(got) != word {
		c.w.t.Errorf("answered %q, want %q", got, word)
	}
}

// While the first connection to a host is being made, later requests wait for it, so that there are no more connections than needed.
// Leases count requests.
func TestRequestsShareConnections(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ limit, claims, want int }{{100, 1, 1}, {100, 100, 1}, {1000, 100, 1}, {100, 200, 2}, {100, 201, 3}, {40, 100, 3}, {1, 9, 9}} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			t.Parallel()
			h, at := (&world{t: t}).lineHost(fmt.Sprintf("limit %d\n", tc.limit))
			w, m, g := sharing(t, 100, at)
			list := w.begin(g, tc.claims)
			if got, failed := w.outcomes(list); got != tc.claims || failed != 0 {
				t.Errorf("%d got a stream and %d did not", got, failed)
			}
			w.expectSessions(m, tc.want, 0)
			expect(t, g, "while all are at it", []int64{int64(tc.claims)}, []int64{0})
			for i, c := range list {
				c.ask(fmt.Sprint("word ", i))
			}
			w.release(list...)
			w.expectSessions(m, tc.want, tc.want)
			expect(t, g, "released", []int64{0}, []int64{0})
			w.release(w.begin(g, 1)...)
			if n := h.connections(); n != tc.want {
				t.Errorf("%d connections, want %d", n, tc.want)
			}
		})
	}
}

// A stream is opened on the session with the most streams among those that take one more, so that surplus sessions become idle. A waiting request
// takes the place of a released stream.
func TestMostLoadedFirst(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 2\n")
	w, m, g := sharing(t, 100, at)
	list := w.begin(g, 4)
	w.outcomes(list)
	w.expectSessions(m, 2, 0)
	w.release(list[1], list[2], list[3])
	w.expectSessions(m, 2, 1)
	next := w.claimant()
	next.expect(next.acquire(g), 0, true, 1)
	w.expectSessions(m, 2, 1)
	other := w.claimant() // the first one is full
	other.expect(other.acquire(g), 0, true, 1)
	w.expectSessions(m, 2, 0)
	if n := h.connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	w.release(list[0], next, other)
	w.expectSessions(m, 2, 2)
}

// Keep and Release end a stream, and Reset tells the host that the request is incomplete; the connection stays. A stream of a connection that has
// served before is Used: if it breaks, for example because the host's process dies, a new try costs nothing of the retry budget, as in HTTP/1.1.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 10\n")
	w, m, g := sharing(t, 1, at)
	c, d := w.claimant(), w.claimant()
	c.expect(c.acquire(g), 0, false, 1)
	c.keep()
	w.expectSessions(m, 1, 1)
	c.expect(c.acquire(g), 0, true, 1)
	d.expect(d.acquire(g), 0, true, 1)
	w.loop.Do(func() { c.Conn.Reset() })
	w.release(c, d)
	w.expectSessions(m, 1, 1)
	w.eventually("what the host is told", func() bool { return h.heard("close 1") == 1 && h.heard("reset 2") == 1 && h.heard("close 3") == 1 })
	c.expect(c.acquire(g), 0, true, 1)
	w.loop.Do(func() {
		c.outcome = nil
		w.Renew(&c.Claim, nil, c)
	})
	c.expect(nil, 0, true, 2) // on the same connection
	w.release(c)
	if n := h.connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A session leaves with its last stream if no idle connection may be kept, and otherwise when its idle timeout expires.
func TestIdleSessionsLeave(t *testing.T) {
	t.Parallel()
	_, at := (&world{t: t}).lineHost("limit 1\n")
	w, m, g := sharing(t, 0, at)
	w.release(w.begin(g, 1)...)
	list := w.begin(g, 3)
	w.outcomes(list)
	w.expectSessions(m, 3, 0)
	w.release(list...)
	w.expectSessions(m, 0, 0)

	two := w.group(at)
	two.Protocol, two.KeepaliveTimeout = upstream.HTTP2, 50*time.Millisecond
	w.keeps(two, 2)
	list = w.begin(two, 3)
	w.outcomes(list)
	w.release(list[0], list[1], list[2])
	w.expectSessions(m, 0, 0)

	drained := w.group(at)
	drained.Protocol = upstream.HTTP2
	w.counted(drained, balance.Options{Algorithm: "first", Hosts: make([]balance.Spec, 1)}, nil)
	w.keeps(drained, 2)
	list = w.begin(drained, 1)
	w.outcomes(list)
	drains := true
	drained.Balance.Order(0, &drains, nil)
	w.release(list...)
	w.expectSessions(m, 0, 0)
}

// The connect time of a shared connection counts for all requests that have waited for it, but not for later ones.
func TestWaitIsTraced(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("")
	w, _, g := sharing(t, 1, at)
	list := w.begin(g, 2)
	h.conn(0)
	time.Sleep(60 * time.Millisecond)
	h.say(0, "limit 10")
	w.outcomes(list)
	list = append(list, w.begin(g, 1)...)
	w.loop.Do(func() {
		for i, c := range list {
			if c.Trace.Tries != 1 || !c.Trace.Connected || c.Trace.Host != &g.Hosts[0] || !c.Trace.Addr.IsValid() || c.Trace.Took >= 50 != (i < 2) || c.Trace.Latency > 0 != (i == 0) {
				t.Errorf("%d: %+v", i, c.Trace)
			}
		}
	})
	w.release(list...)
}

// If the attempt that is making a connection leaves, one of those waiting makes it instead.
func TestMakerLeaves(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("")
	w, m, g := sharing(t, 1, at)
	list := w.begin(g, 3)
	w.eventually("the first connection", func() bool { return h.connections() == 1 })
	w.loop.Do(func() { // also in the same batch
		list[0].Release(upstream.Report{})
		list[1].Release(upstream.Report{})
	})
	w.eventually("the next connection", func() bool { return h.connections() == 2 })
	expect(t, g, "while one waits", []int64{1}, []int64{0})
	h.say(1, "limit 1")
	if got, _ := w.outcomes(list[2:]); got != 1 {
		t.Error("the attempt that stayed gets no connection")
	}
	list[2].ask("hello")
	w.release(list[2])
	w.expectSessions(m, 1, 1)
	w.loop.Do(func() {
		if len(list[0].outcome)+len(list[1].outcome) > 0 {
			t.Error("the attempt that left gets an outcome")
		}
	})
}

// A waiting attempt may leave, too, and may get a released stream before the new connection is ready.
func TestWaiterLeaves(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 2\n")
	w, m, g := sharing(t, 9, at)
	first := w.begin(g, 2)
	w.outcomes(first)
	h.greet("")
	list := w.begin(g, 4) // the second waits for the first, and the fourth for the third
	w.eventually("two more connections", func() bool { return h.connections() == 3 })
	w.release(list[1], first[0])
	if got, _ := w.outcomes(list[3:]); got != 1 {
		t.Error("no attempt gets the released stream")
	}
	w.release(list...)
	w.release(first...)
	w.expectSessions(m, 1, 1)
}

// A released stream goes to a waiting attempt, not to one that arrives at the same moment.
func TestWaitersComeFirst(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 2\n")
	w, _, g := sharing(t, 9, at)
	first := w.begin(g, 2)
	w.outcomes(first)
	h.greet("")
	list := w.begin(g, 2) // the second waits for the first
	late := w.claimant()
	w.loop.Do(func() {
		first[0].Release(upstream.Report{})
		w.Acquire(g, &late.Claim, nil, late)
		if len(late.outcome) > 0 {
			t.Error("the newcomer has a stream at once")
		}
	})
	if got, _ := w.outcomes(list[1:]); got != 1 {
		t.Error("the waiting attempt gets no stream")
	}
	w.release(append(list, first[1], late)...)
}

// If the attempt that makes a connection leaves, that is no evidence against the host, even if one of its addresses has failed.
func TestMakerLeavesBetweenAddresses(t *testing.T) {
	t.Parallel()
	h := &lineHost{}
	at := onPort(enginetest.Port(t, "127.0.0.1", "127.0.0.2"))
	enginetest.Refusing(t, at("127.0.0.1"))
	enginetest.Accepting(t, at("127.0.0.2"), h.serve)
	w, _, g := sharing(t, 1, at("both.test"))
	w.knows("both.test", "127.0.0.1", "127.0.0.2")
	list := w.begin(g, 2)
	w.eventually("the first connection", func() bool { return h.connections() == 1 })
	h.greet("limit 1\n")
	w.release(list[0])
	if got, _ := w.outcomes(list[1:]); got != 1 {
		t.Error("the attempt that stayed gets no connection")
	}
	w.release(list[1])
}

// If no connection can be made, all waiting attempts go on to the next host, and the host has failed once.
func TestMakerFails(t *testing.T) {
	t.Parallel()
	_, good := (&world{t: t}).lineHost("limit 100\n")
	ends := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	silent := enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold)
	for _, bad := range []any{enginetest.Refusing(t, enginetest.Loopback), ends, silent, enginetest.BlackHole(t, enginetest.Loopback)} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			t.Parallel()
			w, m, g := sharing(t, 1, bad, good)
			g.HostTimeout = 300 * time.Millisecond
			list := w.begin(g, 20, func() { g.HostTimeout = enginetest.Patience }) // for the second host
			if got, failed := w.outcomes(list); got != 20 {
				t.Errorf("%d got a stream and %d did not", got, failed)
			}
			expect(t, g, "connected", []int64{0, 20}, []int64{1, 0})
			w.expectSessions(m, 1, 0)
			w.release(list...)
			w.expectSessions(m, 1, 1)
		})
	}
}

// If there is no other host, all get the reason.
func TestMakerFailsForAll(t *testing.T) {
	t.Parallel()
	w, m, g := sharing(t, 1, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) { _, _ = c.Write([]byte("what\n")) }))
	list := w.begin(g, 3)
	if got, failed := w.outcomes(list); failed != 3 {
		t.Errorf("%d got a stream and %d did not", got, failed)
	}
	w.loop.Do(func() {
		for _, c := range list {
			if !errors.Is(c.outcome[0], upstream.ErrSession) {
				t.Errorf("told %v", c.outcome[0])
			}
		}
	})
	expect(t, g, "failed", []int64{0}, []int64{1})
	w.expectSessions(m, 0, 0)
}

// If a host says that it takes no streams now, no other connection is made: requests wait. The host may change its limit in either direction.
func TestHostChangesItsLimit(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 0\n")
	w, m, g := sharing(t, 1, at)
	list := w.begin(g, 5)
	w.eventually("an idle session", func() bool { return h.connections() == 1 })
	list = append(list, w.begin(g, 5)...)
	served := func() (n int) {
		w.loop.Do(func() {
			for _, c := range list {
				if len(c.outcome) > 0 && c.outcome[0] == nil && c.Conn != nil {
					n++
				}
			}
		})
		return n
	}
	for _, n := range []int{3, 1, 4} {
		h.say(0, fmt.Sprint("limit ", n))
		w.eventually("as many as the host takes", func() bool { return served() == n })
		h.say(0, "limit 0")
		w.eventually("the limit", func() bool { return w.last(m).limit == 0 })
		w.loop.Do(func() {
			for _, c := range list {
				if c.Conn != nil {
					c.Release(answered)
				}
			}
		})
		if n := served(); n != 0 {
			t.Errorf("%d have a stream that the host does not take", n)
		}
	}
	h.say(0, "limit 100")
	if got, failed := w.outcomes(list); got != 10 || failed != 0 {
		t.Errorf("%d got a stream and %d did not", got, failed)
	}
	w.release(list...)
}

// If a host says that it takes no more streams, its open streams end normally, and the next request makes another connection.
func TestHostGoesAway(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 10\n")
	w, m, g := sharing(t, 2, at)
	c, d := w.claimant(), w.claimant()
	c.expect(c.acquire(g), 0, false, 1)
	h.say(0, "1 before")
	h.say(0, "goaway")
	w.eventually("the host goes away", func() bool { return w.last(m).leaving })
	d.expect(d.acquire(g), 0, false, 1)
	d.keep()
	if n := h.connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	c.Await(t, "what came before", func() bool {
		n, _ := c.Conn.Read(w.loop.Scratch())
		return string(w.loop.Scratch()[:n]) == "before"
	})
	c.ask("still here")
	w.expectSessions(m, 2, 1)
	w.release(c)
	w.expectSessions(m, 1, 1)
}

// renew makes the claims, whose streams have failed, get new ones.
func (w *world) renew(list ...*claimant) {
	w.loop.Do(func() {
		for _, c := range list {
			c.outcome = nil
			w.Renew(&c.Claim, nil, c)
		}
	})
}

// A host that ends a connection after a number of requests, and refuses later ones, gets no more than that number on each
// connection, until a connection shows that it serves more.
func TestHostServesFewEach(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 100\n")
	w, m, g := sharing(t, 100, at)
	list := w.begin(g, 13)
	w.outcomes(list)
	w.expectSessions(m, 1, 0)
	h.say(0, "last 3")
	for _, c := range list[3:] {
		c.Await(t, "the failure", func() bool { return c.Conn.Errored() })
	}
	w.renew(list[3:]...)
	w.outcomes(list[3:])
	w.expectSessions(m, 5, 0) // 3 + 3 + 3 + 3 + 1
	w.release(list[:3]...)
	w.expectSessions(m, 4, 0)
	w.release(list[3:]...)
	w.expectSessions(m, 4, 4)
	list = w.begin(g, 30) // all streams of the connection have ended and it is still open: the host has changed
	w.outcomes(list)
	w.expectSessions(m, 4, 3)
	w.release(list...)
}

// A host that has served more requests on another connection ends this one for another reason.
func TestHostEndsOneOfSeveral(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 2\n")
	w, m, g := sharing(t, 100, at)
	one := w.begin(g, 2)
	w.outcomes(one)
	h.greet("limit 100\n")
	two := w.begin(g, 1)
	w.outcomes(two)
	two = append(two, w.begin(g, 3)...)
	w.outcomes(two)
	w.release(two[:3]...)
	w.expectSessions(m, 2, 0)
	h.say(0, "last 1")
	one[1].Await(t, "the failure", func() bool { return one[1].Conn.Errored() })
	w.renew(one[1])
	w.outcomes(one[1:])
	more := w.begin(g, 10)
	w.outcomes(more)
	w.expectSessions(m, 2, 0)
	w.release(one...)
	w.release(more...)
	w.release(two...)
	w.expectSessions(m, 1, 1)
}

// A request that has lost its stream does not wait behind later requests.
func TestReturnedComesFirst(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 3\n")
	w, m, g := sharing(t, 100, at)
	list := w.begin(g, 3)
	w.outcomes(list)
	h.say(0, "limit 100") // so another connection may, too
	w.eventually("room", func() bool { return w.free(m) > 0 })
	h.say(0, "limit 1")
	w.eventually("no room", func() bool { return w.free(m) == 0 })
	h.greet("")
	time.Sleep(5 * time.Millisecond)
	later := w.begin(g, 3) // the first makes a connection
	w.eventually("another connection", func() bool { return h.connections() == 2 })
	w.renew(list[2], list[1])
	h.greet("limit 100\n")
	h.say(1, "limit 3")
	got := func(c *claimant) (ok bool) {
		w.loop.Do(func() { ok = len(c.outcome) > 0 && c.outcome[0] == nil })
		return ok
	}
	w.eventually("the first requests have a stream", func() bool { return got(list[1]) && got(list[2]) && got(later[0]) })
	w.outcomes(later)
	w.loop.Do(func() {
		session := func(c *claimant) *lineSession { return c.Conn.Layer().(*lineStream).session }
		if s := session(later[0]); session(list[1]) != s || session(list[2]) != s {
			t.Error("the first requests still wait")
		}
	})
	w.release(append(list, later...)...)
}

// When a connection fails, so do its streams; their owners find out, and may release them later. An idle connection is just removed.
func TestSessionDies(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 10\n")
	w, m, g := sharing(t, 2, at)
	list := w.begin(g, 2)
	w.outcomes(list)
	_ = h.conn(0).Close()
	for _, c := range list {
		c.Await(t, "the failure", func() bool { return c.Conn.Errored() && c.Conn.SocketError() != nil })
	}
	w.expectSessions(m, 0, 0)
	next := w.claimant()
	next.expect(next.acquire(g), 0, false, 1)
	w.release(list...)
	next.ask("hello")
	next.keep()
	w.expectSessions(m, 1, 1)
	_ = h.conn(1).Close()
	w.expectSessions(m, 0, 0)
	expect(t, g, "released", []int64{0}, []int64{0})
}

// A reload keeps sessions, even those in use, if the group has the same host; others leave when their streams have ended.
func TestSwapMovesSessions(t *testing.T) {
	t.Parallel()
	stays, one := (&world{t: t}).lineHost("limit 10\n")
	_, two := (&world{t: t}).lineHost("limit 10\n")
	w, m, g := sharing(t, 2, one)
	c, d := w.claimant(), w.claimant()
	c.expect(c.acquire(g), 0, false, 1)

	other := w.group(two, one)
	other.Protocol = upstream.HTTP2
	w.keeps(other, 2)
	d.expect(d.acquire(other), 0, false, 1) // of the first host
	d.keep()
	w.expectSessions(m, 2, 1)
	c.ask("still here")
	w.release(c)
	w.expectSessions(m, 2, 2)
	again := w.group(one)
	again.Protocol = upstream.HTTP2
	w.keeps(again, 2)
	w.expectSessions(m, 1, 1)
	c.expect(c.acquire(again), 0, true, 1)
	if n := stays.connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	w.keeps(w.group(two), 2)
	w.expectSessions(m, 1, 0)
	c.ask("to the end")
	w.release(c)
	w.expectSessions(m, 0, 0)
}

// A request that waits for a connection during a reload still gets it.
func TestSwapWhileWaiting(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("")
	w, m, g := sharing(t, 2, at)
	list := w.begin(g, 3)
	w.eventually("the connection", func() bool { return h.connections() == 1 })
	other := w.group(at)
	other.Protocol = upstream.HTTP2
	w.keeps(other, 2)
	h.greet("limit 10\n")
	h.say(0, "limit 10")
	if got, _ := w.outcomes(list); got != 3 {
		t.Errorf("%d got a stream, want 3", got)
	}
	w.release(list...)
	w.expectSessions(m, 0, 0) // it was made for the old group
}

// max_conns bounds the requests at a host, not the connections.
func TestMaxConnsCountsStreams(t *testing.T) {
	t.Parallel()
	h, at := (&world{t: t}).lineHost("limit 100\n")
	w, m, g := sharing(t, 2, at)
	w.counted(g, balance.Options{Algorithm: "first", Hosts: make([]balance.Spec, 1), Queue: 10}, func(s *balance.Spec) { s.MaxConns = 3 })
	g.Queue = upstream.Queue{Size: 10}
	list := w.begin(g, 5)
	w.outcomes(list[:3])
	w.loop.Do(func() {
		if !list[3].Queued() || !list[4].Queued() {
			t.Error("more than three requests are at the host")
		}
	})
	w.release(list[0], list[1])
	if got, _ := w.outcomes(list[3:]); got != 2 {
		t.Errorf("%d of the waiting attempts got a stream", got)
	}
	w.release(list...)
	w.expectSessions(m, 1, 1)
	if n := h.connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// At random: every claim gets one outcome, nothing is counted when no claim holds anything, and all open connections are idle.
func TestSharingAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			greetings := []string{"limit 1\n", "limit 2\n", "limit 7\n", "limit 100\n", "limit 0\n", "", "what\n"}
			one, oneAt := (&world{t: t}).lineHost("limit 3\n")
			two, twoAt := (&world{t: t}).lineHost("limit 3\n")
			hosts := []*lineHost{one, two}
			w, m, g := sharing(t, 2, oneAt, twoAt)
			var list []*claimant
			for range 300 {
				h := hosts[r.IntN(2)]
				switch n := r.IntN(20); {
				case n < 10:
					list = append(list, w.begin(g, 1+r.IntN(3))...)
				case n < 14 && len(list) > 0:
					c := list[r.IntN(len(list))]
					w.loop.Do(func() {
						if c.Conn != nil && r.IntN(3) == 0 {
							c.Conn.Reset()
						}
						c.Release(upstream.Report{})
						c.outcome = append(c.outcome[:0], nil) // a claim that has left gets no outcome
					})
				case n == 14:
					h.greet(greetings[r.IntN(len(greetings))])
				case n == 15 && h.connections() > 0:
					h.say(r.IntN(h.connections()), strings.TrimSpace(greetings[r.IntN(4)]))
				case n == 16 && h.connections() > 0:
					h.say(r.IntN(h.connections()), "goaway")
				case n == 17 && h.connections() > 0:
					_ = h.conn(r.IntN(h.connections())).Close()
				case n == 18 && r.IntN(4) == 0:
					next := w.group(oneAt, twoAt)
					next.Protocol = upstream.HTTP2
					w.keeps(next, r.IntN(3))
					g = next
				}
			}
			for _, h := range hosts {
				h.greet("limit 100\n")
				for i := range h.connections() {
					h.say(i, "limit 100")
				}
			}
			w.outcomes(list)
			w.release(list...)
			w.keeps(g, 2)
			for i := range g.Hosts {
				if n := g.Balance.Hosts().Active(i); n != 0 {
					t.Errorf("host %d has %d leases", i, n)
				}
			}
			w.eventually("all that are open are idle", func() (ok bool) {
				w.loop.Do(func() { ok = m.open == w.Idle() })
				return ok
			})
		})
	}
}
