package balance_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kroxy-ev/balance"
)

// at acquires a host at a time, in ms, and releases it at once; -1 if there is none.
func at(g *balance.Group, now int64, t *balance.Tried) int {
	l, ok := g.Acquire(0, nil, t, now)
	if !ok {
		return -1
	}
	l.Release(balance.Outcome{Class: balance.Unused}, 0)
	return l.Host()
}

// report reports the outcome of a connection to host i.
func report(tb testing.TB, g *balance.Group, i int, now int64, reached bool) balance.Change {
	tb.Helper()
	var others balance.Tried
	for other := range g.Hosts().Len() {
		if other != i {
			others.Add(other)
		}
	}
	l, ok := g.Acquire(0, nil, &others, now)
	if !ok || l.Host() != i {
		tb.Fatalf("host %d cannot be acquired", i)
	}
	defer l.Release(balance.Outcome{Class: balance.Unused}, 0)
	if reached {
		return l.Reached(now)
	}
	return l.Unreachable(now)
}

func change(s balance.State, pause, since time.Duration, failed int64) balance.Change {
	return balance.Change{State: s, Pause: pause, Since: since, Failed: failed}
}

func TestStateSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for state, want := range map[balance.State]string{
		balance.Unchanged: "unchanged", balance.WentDown: "went down", balance.StillDown: "still down", balance.CameUp: "came up",
	} {
		if state.String() != want {
			t.Errorf("%d is %q, want %q", state, state, want)
		}
	}
}

// Every algorithm skips a host that failed until it has been reached, except if it is the last.
func TestDownIsTriedLast(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms() {
		for _, hosts := range []int{1, 2, 3, 70} {
			for _, dead := range []int{0, hosts / 2, hosts - 1} {
				t.Run(fmt.Sprint(algorithm, hosts, dead), func(t *testing.T) {
					t.Parallel()
					g := group(t, algorithm, hosts, 1)
					if got := report(t, g, dead, 1000, false); got != change(balance.WentDown, time.Second, 0, 1) {
						t.Errorf("the first failure: %+v", got)
					}
					if !g.Hosts().Down(dead) {
						t.Error("it is not down")
					}
					for now := int64(1000); now < 100_000; now += 500 {
						if got := at(g, now, tried()); hosts > 1 && got == dead {
							t.Fatalf("at %d ms host %d was chosen", now, dead)
						}
					}
					var seen balance.Tried
					for n := range hosts {
						if got := at(g, 1100, &seen); got < 0 || (got == dead) != (n == hosts-1) {
							t.Fatalf("choice %d of %d fell on host %d", n, hosts, got)
						}
					}
					if at(g, 1100, &seen) != -1 {
						t.Error("a further host was offered")
					}
					if got := report(t, g, dead, 2500, true); got != change(balance.CameUp, 0, 1500*time.Millisecond, 1) {
						t.Errorf("the first success: %+v", got)
					}
					if got := report(t, g, dead, 2600, true); got != (balance.Change{}) || g.Hosts().Down(dead) {
						t.Errorf("the second success: %+v", got)
					}
				})
			}
		}
	}
}

// With hosts down, the others share the traffic as evenly as without: the oracle is that each gets a turn before any gets its next one.
func TestRoundRobinIsEvenAmongTheOthers(t *testing.T) {
	t.Parallel()
	for _, hosts := range []int{2, 3, 5} {
		for _, down := range [][]int{{0}, {1}, {hosts - 1}, {0, 1}, {1, 2}} {
			if slices.Max(down) >= hosts || len(slices.Compact(slices.Clone(down))) >= hosts {
				continue
			}
			g := group(t, "round_robin", hosts, 1)
			// The first connections find out, amid other traffic, and try another host.
			var up []int
			for i := range hosts {
				if !slices.Contains(down, i) {
					up = append(up, i)
				}
			}
			served := make([]int, hosts)
			for range 50 * hosts {
				var seen balance.Tried
				for {
					l, ok := g.Acquire(0, nil, &seen, 1000)
					if !ok {
						t.Fatal("no host")
					}
					if !slices.Contains(down, l.Host()) {
						l.Reached(1000)
						l.Release(balance.Outcome{Class: balance.Served}, 0)
						served[l.Host()]++
						break
					}
					l.Unreachable(1000)
					l.Release(balance.Outcome{Class: balance.Failed}, 0)
				}
				var counts []int
				for _, i := range up {
					counts = append(counts, served[i])
				}
				if slices.Max(counts)-slices.Min(counts) > 1 {
					t.Fatalf("%d hosts, down %v: served %v", hosts, down, served)
				}
			}
			for _, i := range down {
				if n := g.Hosts().Failed(i); n != 1 {
					t.Errorf("%d hosts, down %v: host %d was tried %d times", hosts, down, i, n)
				}
			}
		}
	}
}

// Among the remaining hosts of a busy group, least_conn chooses by their leases.
func TestLeastConnAmongTheOthers(t *testing.T) {
	t.Parallel()
	g := group(t, "least_conn", 3, 1)
	report(t, g, 1, 0, false)
	for n := range 20 {
		l, ok := g.Acquire(0, nil, tried(), 10)
		if !ok || l.Host() == 1 {
			t.Fatalf("choice %d: host %d, %v", n, l.Host(), ok)
		}
		if a, b := g.Hosts().Active(0), g.Hosts().Active(2); a-b > 1 || b-a > 1 {
			t.Fatalf("in hand: %d and %d", a, b)
		}
	}
}

// The pauses grow with each failed probe, up to 10 s, and start from the beginning after a success.
func TestPauses(t *testing.T) {
	t.Parallel()
	g := group(t, "first", 2, 1)
	now := int64(50_000)
	for range 2 {
		report(t, g, 0, now, false)
		for n, pause := range []int64{1000, 2000, 4000, 8000, 10_000, 10_000, 10_000} {
			for _, early := range []int64{now, now + pause - 1} {
				var seen balance.Tried
				if at(g, early, &seen); hasDue(&seen) {
					t.Fatalf("pause %d: a probe was due after %d ms", n, early-now)
				}
				if _, ok := g.Probe(0, 0, early, time.Second); ok {
					t.Fatalf("pause %d: a probe began after %d ms", n, early-now)
				}
			}
			now += pause
			var seen balance.Tried
			if got := at(g, now, &seen); got != 1 || !hasDue(&seen) {
				t.Fatalf("pause %d: host %d, a probe due: %v", n, got, hasDue(&seen))
			}
			l, ok := g.Probe(0, 0, now, time.Second)
			if !ok {
				t.Fatalf("pause %d: no probe began", n)
			}
			if seen.Clear(); at(g, now, &seen) != 1 || hasDue(&seen) {
				t.Fatalf("pause %d: a second probe is due", n)
			}
			now += 300
			if got := l.Unreachable(now); got.State == balance.WentDown || got.State == balance.CameUp {
				t.Errorf("pause %d: %v", n, got)
			}
			l.Release(balance.Outcome{Class: balance.Failed}, 0)
		}
		if got := report(t, g, 0, now, true); got.State != balance.CameUp || got.Failed != 8 {
			t.Errorf("at the end: %+v", got)
		}
	}
}

func hasDue(t *balance.Tried) bool {
	host, due := t.Due()
	return due && host == 0
}

// Connections that began before the host was known to be down prove nothing new, nor do those that are made because there is no other host.
func TestLateFailuresMakeNoPauseLonger(t *testing.T) {
	t.Parallel()
	g := group(t, "first", 2, 1)
	for n := range 100 {
		if got := report(t, g, 0, 1000+int64(n), false); (got.State == balance.WentDown) != (n == 0) {
			t.Fatalf("failure %d: %+v", n, got)
		}
	}
	var seen balance.Tried
	if at(g, 2000, &seen); !hasDue(&seen) {
		t.Error("the pause is longer than a second")
	}
	if got := report(t, g, 0, 5000, true); got.Failed != 100 {
		t.Errorf("after 100 failures: %+v", got)
	}
}

// The claim of a process that died or hangs expires; a later report of that process counts like any other.
func TestClaimExpires(t *testing.T) {
	t.Parallel()
	g := group(t, "first", 2, 1)
	report(t, g, 0, 0, false)
	first, ok := g.Probe(0, 0, 1000, 4*time.Second)
	if !ok {
		t.Fatal("no probe")
	}
	if _, ok := g.Probe(0, 0, 4999, 4*time.Second); ok {
		t.Error("two probes at once")
	}
	second, ok := g.Probe(0, 0, 5000, 4*time.Second)
	if !ok {
		t.Fatal("the claim has not expired")
	}
	first.Unreachable(5500) // its claim has expired
	if _, ok := g.Probe(0, 0, 8999, time.Second); ok {
		t.Error("the late failure ended the second claim")
	}
	second.Unreachable(9000)
	if _, ok := g.Probe(0, 0, 10_999, time.Second); ok {
		t.Error("the pause after the second probe is shorter than 2 s")
	}
	if _, ok := g.Probe(0, 0, 11_000, time.Second); !ok {
		t.Error("the pause after the second probe is longer than 2 s")
	}
}

// A host that is up may be probed without a claim, because somebody suspects it.
func TestProbeOfAHostThatIsUp(t *testing.T) {
	t.Parallel()
	g := group(t, "first", 2, 1)
	l, ok := g.Probe(0, 0, 1000, time.Second)
	if !ok || l.Host() != 0 || g.Hosts().Active(0) != 1 {
		t.Fatalf("probe: %v, host %d", ok, l.Host())
	}
	if got := l.Unreachable(1100); got.State != balance.WentDown {
		t.Errorf("it failed: %+v", got)
	}
	l.Release(balance.Outcome{Class: balance.Failed}, 0)
	if g.Hosts().Active(0) != 0 {
		t.Error("still held")
	}
}

// atOnce calls do concurrently for each group, which are one group for separate writers. It returns how many calls return true.
func atOnce(groups []*balance.Group, do func(row int, g *balance.Group) bool) int64 {
	var wg sync.WaitGroup
	var n atomic.Int64
	for row, g := range groups {
		wg.Go(func() {
			if do(row, g) {
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return n.Load()
}

// Of all writers in all processes, one probes, one reports that the host went down, and one that it came up.
func TestOneOfAll(t *testing.T) {
	t.Parallel()
	const writers, rounds = 8, 200
	c := shared(t, writers, 10)
	ids := []int{3, 5}
	var groups []*balance.Group
	for range writers {
		groups = append(groups, groupOf(t, "round_robin", ids, mapped(t, c)))
		take(t, c)
	}
	now := int64(1000)
	for round := range rounds {
		if n := atOnce(groups, func(row int, g *balance.Group) bool {
			l, _ := g.Acquire(row, nil, tried(1), now)
			defer l.Release(balance.Outcome{Class: balance.Failed}, 0)
			return l.Unreachable(now).State == balance.WentDown
		}); n != 1 {
			t.Fatalf("round %d: %d told that it is down", round, n)
		}
		now += 1000
		var probes atomic.Pointer[balance.Lease]
		if n := atOnce(groups, func(row int, g *balance.Group) bool {
			var seen balance.Tried
			at(g, now, &seen)
			l, ok := g.Probe(row, 0, now, time.Second)
			if ok {
				probes.Store(&l)
			}
			return ok
		}); n != 1 {
			t.Fatalf("round %d: %d probes", round, n)
		}
		probes.Load().Release(balance.Outcome{Class: balance.Unused}, 0)
		if n := atOnce(groups, func(row int, g *balance.Group) bool {
			l, _ := g.Acquire(row, nil, tried(1), now)
			defer l.Release(balance.Outcome{Class: balance.Served}, 0)
			return l.Reached(now).State == balance.CameUp
		}); n != 1 {
			t.Fatalf("round %d: %d told that it is up", round, n)
		}
		now += 10
	}
}

// A reminder is due when the host has been down for a minute, and then each time the downtime has doubled, up to an hour.
func TestReminders(t *testing.T) {
	t.Parallel()
	g := group(t, "first", 1, 1)
	report(t, g, 0, 1, false)
	var told []time.Duration
	for now := int64(1000); now < 4*3_600_000; now += 1000 {
		switch got := report(t, g, 0, now, false); got.State {
		case balance.Unchanged:
		case balance.StillDown:
			told = append(told, got.Since.Round(time.Minute))
			if want := now/1000 + 1; got.Failed != want {
				t.Errorf("after %v: %d failures, want %d", got.Since, got.Failed, want)
			}
		default:
			t.Fatalf("at %d ms: %+v", now, got)
		}
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 33, 65, 125, 185}; !slices.EqualFunc(told, want, func(a, b time.Duration) bool { return a == b*time.Minute }) {
		t.Errorf("told after %v", told)
	}
}

// A host's health outlives the configuration, but not the host.
func TestHealthFollowsTheHost(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(1, 3)
	r := balance.NewRegistry(c)
	before := groupOf(t, "first", assign(t, r, "a", "b"), c)
	r.Commit()
	report(t, before, 0, 1000, false)
	// Another order, another algorithm: host a is still down.
	after := groupOf(t, "round_robin", assign(t, r, "b", "a", "c"), c)
	r.Commit()
	if h := after.Hosts(); h.Down(0) || !h.Down(1) || h.Down(2) {
		t.Errorf("down: %v, %v, %v", h.Down(0), h.Down(1), h.Down(2))
	}
	// d gets the id of a, and starts afresh.
	assign(t, r, "b", "c")
	r.Commit()
	last := groupOf(t, "first", assign(t, r, "d"), c)
	if last.Hosts().Down(0) {
		t.Error("a host is down from the start")
	}
	if got := report(t, last, 0, 9000, false); got != change(balance.WentDown, time.Second, 0, 1) {
		t.Errorf("its first failure: %+v", got)
	}
}

// Left counts the hosts that Acquire would still offer.
func TestLeft(t *testing.T) {
	t.Parallel()
	g := named(t, "host", 1, "a", "b", "a", "*")
	for _, c := range []struct {
		key      string
		excluded []int
		want     int
	}{{"a", nil, 2}, {"A.", []int{0}, 1}, {"a", []int{0, 2}, 0}, {"b", []int{0, 2}, 1}, {"c", []int{0, 1}, 1}, {"c", []int{3}, 0}} {
		if got := g.Left([]byte(c.key), tried(c.excluded...)); got != c.want {
			t.Errorf("%q without %v: %d, want %d", c.key, c.excluded, got, c.want)
		}
	}
	if got := group(t, "first", 5, 1).Left(nil, tried(0, 4)); got != 3 {
		t.Errorf("first: %d, want 3", got)
	}
}

// Nothing is allocated while hosts are down and probed.
func TestHealthAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, algorithm := range algorithms() {
		g := group(t, algorithm, 3, 1)
		var seen, others balance.Tried
		now := int64(1000)
		if n := testing.AllocsPerRun(100, func() {
			others.Clear()
			others.Add(1)
			others.Add(2)
			l, _ := g.Acquire(0, nil, &others, now)
			l.Unreachable(now)
			l.Release(balance.Outcome{Class: balance.Failed}, 0)
			seen.Clear()
			l, _ = g.Acquire(0, nil, &seen, now)
			l.Release(balance.Outcome{Class: balance.Served}, 0)
			now += 1000
			if l, ok := g.Probe(0, 0, now, time.Second); ok {
				l.Reached(now)
				l.Release(balance.Outcome{Class: balance.Unused}, 0)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", algorithm, n)
		}
	}
}

// The cost of a choice when one host of many is down, and when all but one are.
func BenchmarkPickWithHostsDown(b *testing.B) {
	for _, algorithm := range algorithms() {
		for _, down := range []int{1, 999} {
			b.Run(strings.ReplaceAll(fmt.Sprint(algorithm, " ", down), " ", "/"), func(b *testing.B) {
				g := group(b, algorithm, 1000, 1)
				for i := range down {
					report(b, g, i, 0, false)
				}
				var seen balance.Tried
				b.ReportAllocs()
				for b.Loop() {
					seen.Clear()
					l, _ := g.Acquire(0, nil, &seen, 10)
					l.Release(balance.Outcome{Class: balance.Served}, 0)
				}
			})
		}
	}
}
