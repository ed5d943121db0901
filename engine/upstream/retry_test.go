package upstream_test

import (
	"testing"

	"kroxy-ev/balance"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// erred is the report on a host that has failed a request.
var erred = upstream.Report{Outcome: balance.Outcome{Class: balance.Erred}, Why: "the test says so"}

// retry makes c go on to another host, and reports whether it may.
func (c *claimant) retry() (ok bool, err error) {
	c.w.t.Helper()
	c.w.loop.Do(func() {
		c.outcome, c.retried = nil, c.w.loop.Now()
		if ok = c.w.Retry(&c.Claim, erred, nil, c); len(c.outcome) > 0 {
			c.w.t.Error("the owner was told before Retry has returned")
		}
	})
	if ok {
		c.Await(c.w.t, "the outcome", func() bool { return len(c.outcome) > 0 })
		c.w.loop.Do(func() { err = c.outcome[0] })
	}
	return ok, err
}

// A request goes on to hosts that it has not tried, as often as it may. After that, or if there is no other host, it keeps what it has.
func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(hello(t, enginetest.Loopback, "one"), enginetest.Refusing(t, enginetest.Loopback), hello(t, enginetest.Loopback, "three"), hello(t, enginetest.Loopback, "four"))
	g.Retries = 1
	c := w.claimant()
	c.expect(c.acquire(g), 0, false, 1)
	ok, err := c.retry()
	if !ok {
		t.Fatal("no retry")
	}
	c.expect(err, 2, false, 3) // skipping one that cannot be reached
	if ok, _ := c.retry(); ok {
		t.Error("a retry more than there may be")
	}
	c.expect(nil, 2, false, 3)

	few := w.group(hello(t, enginetest.Loopback, "one"))
	few.Retries = 5
	c = w.claimant()
	c.expect(c.acquire(few), 0, false, 1)
	if ok, _ := c.retry(); ok {
		t.Error("a retry without another host")
	}
	c.expect(nil, 0, false, 1)
}

// A request that its host has not processed goes on to the next host whatever the number of retries, but not if it must keep its host.
func TestPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(hello(t, enginetest.Loopback, "one"), hello(t, enginetest.Loopback, "two"))
	c := w.claimant()
	c.expect(c.acquire(g), 0, false, 1)
	if ok, _ := c.retry(); ok {
		t.Error("a retry where there may be none")
	}
	pass := func() (ok bool) {
		w.loop.Do(func() {
			c.outcome = nil
			ok = w.Pass(&c.Claim, upstream.Report{}, nil, c)
		})
		return ok
	}
	if !pass() {
		t.Fatal("the next host is not tried")
	}
	c.Await(t, "the outcome", func() bool { return len(c.outcome) > 0 })
	c.expect(c.outcome[0], 1, false, 2)
	if pass() {
		t.Error("a host is tried once more")
	}
	keeps := w.group(hello(t, enginetest.Loopback, "one"), hello(t, enginetest.Loopback, "two"))
	keeps.KeepHost = true
	c = w.claimant()
	c.expect(c.acquire(keeps), 0, false, 1)
	if pass() {
		t.Error("a request goes on that is to keep its host")
	}
}

// The wait before a retry does not count in the host's times.
func TestRetryWaitsOutsideOfTheTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(hello(t, enginetest.Loopback, "one"), hello(t, enginetest.Loopback, "two"))
	g.Retries = 1
	for { // the random wait may be zero
		c := w.claimant()
		c.expect(c.acquire(g), 0, false, 1)
		ok, err := c.retry()
		if !ok { // the budget is used up
			break
		}
		c.expect(err, 1, false, 2)
		var waited int64
		w.loop.Do(func() {
			waited = c.Trace.Began - c.retried
			c.Release(upstream.Report{})
		})
		if waited > 5 {
			return
		}
	}
	t.Error("the host's time begins when the request that was retried has failed")
}

// There are no more retries at a time than the budget allows. A finished request returns its share, and requests
// earn further retries.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	const atATime = 10
	w := newWorld(t)
	g := w.group(hello(t, enginetest.Loopback, "one"), hello(t, enginetest.Loopback, "two"))
	g.Retries = 1
	var err error
	if g.Balance, err = balance.NewGroupOf([]int{0, 1}, balance.Options{
		Algorithm: "first", Hosts: []balance.Spec{{Weight: 1}, {Weight: 1}}, RetryBudget: 50,
	}, balance.NewCounters(2, 2)); err != nil {
		t.Fatal(err)
	}
	begin := func() *claimant {
		c := w.claimant()
		c.expect(c.acquire(g), 0, false, 1)
		return c
	}
	var all []*claimant
	for range atATime + 4 {
		all = append(all, begin())
	}
	granted := 0
	for _, c := range all {
		if ok, _ := c.retry(); ok {
			granted++
		}
	}
	if granted != atATime {
		t.Fatalf("%d retries at a time, want %d", granted, atATime)
	}
	w.loop.Do(func() { all[0].Release(upstream.Report{}) })
	if ok, _ := all[atATime].retry(); ok {
		t.Error("a retry that no request has earned")
	}
	begin()
	begin()
	if ok, _ := all[atATime+1].retry(); !ok {
		t.Error("what a request had of the budget was not given back, or two requests have earned nothing")
	}
}

// A connection that must keep its host does not go on to another.
func TestKeepHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.group(enginetest.Refusing(t, enginetest.Loopback), hello(t, enginetest.Loopback, "other"))
	g.KeepHost = true
	if _, err := w.connect(g); err == nil {
		t.Error("another host was reached")
	}
}
