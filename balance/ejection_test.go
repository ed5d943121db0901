package balance_test

import (
	"sync/atomic"
	"testing"
	"time"

	"kroxy-ev/balance"
)

// erring returns options of a group whose hosts are ejected after this number of failures.
func erring(hosts, failures int) balance.Options {
	return balance.Options{
		Algorithm: "first", Hosts: plain(make([]string, hosts)...),
		Passive: balance.Passive{Failures: failures, Window: 10 * time.Second, Eject: 2 * time.Second, MaxEject: 7 * time.Second},
	}
}

// ends leases host i for a sticky client, or any host if i is negative, and ends the lease with how.
func ends(tb testing.TB, g *balance.Group, i int, now int64, how balance.Class) balance.Change {
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
	return l.Release(balance.Outcome{Class: how}, now)
}

// The first ejection is as long as configured, each further one twice as long, up to the maximum; a host that has served for that long starts from
// the first again.
func TestEjections(t *testing.T) {
	t.Parallel()
	g := groupWith(t, balance.NewCounters(1, 2), erring(2, 3))
	now := int64(1_000_000)
	for range 2 {
		for n := range 3 {
			want := balance.Change{}
			if n == 2 {
				want = balance.Change{State: balance.Ejected, Pause: 2 * time.Second, Failed: 3}
			}
			if got := ends(t, g, 0, now, balance.Erred); got != want {
				t.Fatalf("failure %d: %+v, want %+v", n, got, want)
			}
		}
		began := now
		for n, pause := range []int64{2000, 4000, 7000, 7000} {
			for _, early := range []int64{now, now + pause - 1} {
				if got := at(g, early, tried()); got != 1 {
					t.Fatalf("ejection %d: host %d was chosen after %d ms", n, got, early-now)
				}
			}
			now += pause
			var seen balance.Tried
			l, ok := g.Acquire(0, nil, &seen, now)
			if !ok || l.Host() != 0 {
				t.Fatalf("ejection %d: its end was not the beginning of a trial", n)
			}
			if got := at(g, now, tried()); got != 1 {
				t.Fatalf("ejection %d: a second trial beside the first", n)
			}
			if n < 3 {
				if got := l.Release(balance.Outcome{Class: balance.Erred}, now); got.State != balance.Ejected || got.Pause != min(2*time.Second<<(n+1), 7*time.Second) {
					t.Fatalf("trial %d failed: %+v", n, got)
				}
			} else if got, want := l.Release(balance.Outcome{Class: balance.Served}, now), (balance.Change{State: balance.Returned, Since: time.Duration(now-began) * time.Millisecond}); got != want {
				t.Fatalf("it served: %+v, want %+v", got, want)
			}
		}
		now += 7000
	}
	// It fails again soon after: that is one more ejection in the same series.
	for range 2 {
		ends(t, g, 0, now-6000, balance.Erred)
	}
	if got := ends(t, g, 0, now-6000, balance.Erred); got.Pause != 7*time.Second {
		t.Errorf("soon after: %+v", got)
	}
}

// Failures count for as long as the window, which begins with the first of them.
func TestFailuresAreForgotten(t *testing.T) {
	t.Parallel()
	g := groupWith(t, balance.NewCounters(1, 1), erring(1, 3))
	for _, c := range []struct {
		at   int64
		want balance.State
	}{{5, 0}, {10_004, 0}, {10_005, 0}, {10_006, 0}, {20_005, 0}, {20_006, 0}, {20_007, balance.Ejected}} {
		if got := ends(t, g, 0, c.at, balance.Erred); got.State != c.want {
			t.Errorf("at %d ms: %+v, want %v", c.at, got, c.want)
		}
	}
}

// Without passive_check, hosts that err are not ejected; and with false, a host that cannot be reached is not even tried last.
func TestNothingIsConcludedUnasked(t *testing.T) {
	t.Parallel()
	o := erring(2, 0)
	g := groupWith(t, balance.NewCounters(1, 2), o)
	for range 100 {
		if got := ends(t, g, 0, 5, balance.Erred); got != (balance.Change{}) {
			t.Fatalf("%+v", got)
		}
	}
	if got := g.Hosts().Erred(0); got != 100 {
		t.Errorf("%d were counted", got)
	}
	c := balance.NewCounters(1, 2)
	report(t, groupWith(t, c, o), 0, 5, false)
	o.Passive.Off = true
	g = groupWith(t, c, o)
	if g.Hosts().Down(0) {
		t.Error("what was concluded before counts on")
	}
	if got := report(t, g, 1, 5, false); got != (balance.Change{}) || g.Hosts().Down(1) {
		t.Errorf("%+v", got)
	}
	if got := []int{at(g, 5, tried()), at(g, 5, tried(0))}; got[0] != 0 || got[1] != 1 {
		t.Errorf("chosen: %v", got)
	}
}

// A lease that began before the host was ejected proves nothing new, and does not end the ejection either.
func TestOldLeasesSayNothingOfAnEjection(t *testing.T) {
	t.Parallel()
	g := groupWith(t, balance.NewCounters(1, 2), erring(2, 1))
	var old []*balance.Lease
	for range 4 {
		l, _ := g.Acquire(0, nil, tried(1), 100)
		old = append(old, &l)
	}
	if got := old[0].Release(balance.Outcome{Class: balance.Erred}, 100); got.State != balance.Ejected {
		t.Fatalf("%+v", got)
	}
	for n, how := range []balance.Class{balance.Erred, balance.Served, balance.Erred} {
		if got := old[n+1].Release(balance.Outcome{Class: how}, 200); got != (balance.Change{}) {
			t.Errorf("%v: %+v", how, got)
		}
	}
	if got := at(g, 2099, tried()); got != 1 {
		t.Error("the ejection has ended")
	}
	if got := at(g, 2100, tried()); got != 0 {
		t.Error("the ejection has become longer")
	}
}

// An inconclusive trial, and one whose process has died, allow another trial.
func TestTrialsThatShowNothing(t *testing.T) {
	t.Parallel()
	g := groupWith(t, balance.NewCounters(1, 2), erring(2, 1))
	ends(t, g, 0, 0, balance.Erred)
	for _, how := range []balance.Class{balance.Unused, balance.Failed} {
		l, _ := g.Acquire(0, nil, tried(), 2000)
		if l.Host() != 0 {
			t.Fatal("no trial")
		}
		if got := l.Release(balance.Outcome{Class: how}, 2000); got != (balance.Change{}) {
			t.Errorf("%v: %+v", how, got)
		}
	}
	var held []*balance.Lease
	for _, now := range []int64{2000, 12_000} {
		l, _ := g.Acquire(0, nil, tried(), now)
		if l.Host() != 0 {
			t.Fatalf("no trial at %d ms", now)
		}
		if got := at(g, now+9_999, tried()); got != 1 {
			t.Errorf("a trial beside one at %d ms", now)
		}
		held = append(held, &l)
	}
	if got := held[0].Release(balance.Outcome{Class: balance.Erred}, 12_500); got != (balance.Change{}) {
		t.Errorf("the first trial, late: %+v", got)
	}
	if got := held[1].Release(balance.Outcome{Class: balance.Served}, 12_600); got.State != balance.Returned {
		t.Errorf("the second: %+v", got)
	}
}

// A host that is full is not tried before there is room.
func TestTrialNeedsRoom(t *testing.T) {
	t.Parallel()
	o := erring(2, 1)
	o.Hosts[0].MaxConns = 1
	g := groupWith(t, balance.NewCounters(1, 2), o)
	ends(t, g, 0, 0, balance.Erred)
	full, _ := g.Acquire(0, nil, tried(1), 100)
	if got := at(g, 2000, tried()); got != 1 {
		t.Fatalf("host %d was chosen", got)
	}
	full.Release(balance.Outcome{}, 2001)
	if got := at(g, 2001, tried()); got != 0 {
		t.Error("no trial when there was room")
	}
}

// The last hosts are used although they are ejected.
func TestTheLastAreUsedWhenEjected(t *testing.T) {
	t.Parallel()
	o := erring(2, 1)
	o.Algorithm = "round_robin"
	g := groupWith(t, balance.NewCounters(1, 2), o)
	for i := range 2 {
		ends(t, g, i, 0, balance.Erred)
	}
	used := map[int]bool{}
	for range 100 {
		used[at(g, 100, tried())] = true
	}
	if len(used) != 2 || used[-1] {
		t.Errorf("used are %v", used)
	}
}

// Of all writers in all processes, one ejects a host, one tries it, and one ends the ejection.
func TestEjectionIsOneForAll(t *testing.T) {
	t.Parallel()
	const writers, rounds = 8, 200
	c := shared(t, writers, 4)
	var groups []*balance.Group
	for range writers {
		groups = append(groups, groupWith(t, mapped(t, c), erring(2, 3)))
		take(t, c)
	}
	now := int64(1000)
	for round := range rounds {
		if n := atOnce(groups, func(row int, g *balance.Group) bool {
			l, _ := g.Acquire(row, nil, tried(1), now)
			return l.Release(balance.Outcome{Class: balance.Erred}, now).State == balance.Ejected
		}); n != 1 {
			t.Fatalf("round %d: %d told that it is ejected", round, n)
		}
		now += 7000
		var trial atomic.Pointer[balance.Lease]
		if n := atOnce(groups, func(row int, g *balance.Group) bool {
			l, _ := g.Acquire(row, nil, tried(), now)
			if l.Host() == 0 {
				trial.Store(&l)
				return true
			}
			l.Release(balance.Outcome{Class: balance.Served}, now)
			return false
		}); n != 1 {
			t.Fatalf("round %d: %d trials", round, n)
		}
		trial.Load().Release(balance.Outcome{}, now)
		now++
		if n := atOnce(groups, func(row int, g *balance.Group) bool {
			l, _ := g.Acquire(row, nil, tried(1), now)
			return l.Release(balance.Outcome{Class: balance.Served}, now).State == balance.Returned
		}); n != 1 {
			t.Fatalf("round %d: %d told that it is back", round, n)
		}
		if n := g0(groups).Hosts().Active(0) + g0(groups).Hosts().Active(1); n != 0 {
			t.Fatalf("round %d: %d are held", round, n)
		}
		now += 7000
	}
}

func g0(groups []*balance.Group) *balance.Group { return groups[0] }

// Nothing is allocated while hosts are ejected, tried, checked, full and drained.
func TestHealingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	o := erring(8, 1)
	o.Checked, o.SlowStart, o.Queue, o.RetryBudget = true, time.Second, 3, 20
	for i := range o.Hosts {
		o.Hosts[i].MaxConns, o.Hosts[i].Tier = 2, i/3
	}
	o.Hosts[7].Drain = true
	for _, a := range balance.Algorithms() {
		o.Algorithm = a.Name
		g := groupWith(t, balance.NewCounters(1, 8), o)
		g.Enforce()
		var seen balance.Tried
		now := int64(1000)
		if n := testing.AllocsPerRun(100, func() {
			now += 900
			for i := range 8 {
				seen.Clear()
				if l, ok := g.Acquire(0, nil, &seen, now); ok {
					l.Release(balance.Outcome{Class: balance.Class(i % 4)}, now)
				}
				if l, ok := g.AcquireHost(0, i, &seen, now); ok {
					l.Release(balance.Outcome{Class: balance.Erred}, now)
				}
				g.Hosts().SetChecked(i, (now/900+int64(i))%3 != 0, now)
			}
			if g.Enqueue(0) {
				g.Dequeue(0)
			}
			if g.Retry(0) {
				g.Retried(0)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", o.Algorithm, n)
		}
	}
}
