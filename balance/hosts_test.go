package balance_test

import (
	"slices"
	"testing"
	"time"

	"kroxy-ev/balance"
)

// Backups serve while nobody else can, in the order of their tiers; all tiers come before hosts that are down.
func TestTiers(t *testing.T) {
	t.Parallel()
	for _, a := range balance.Algorithms() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			o := balance.Options{Algorithm: a.Name, Hosts: plain("", "", "", "", "")}
			for i, tier := range []int{balance.BackupTier, 0, 20, 0, 10} {
				o.Hosts[i].Tier = tier
			}
			g := groupWith(t, balance.NewCounters(1, 5), o)
			var got []int
			var seen balance.Tried
			for {
				i := at(g, 100, &seen)
				if i < 0 {
					break
				}
				got = append(got, i)
			}
			slices.Sort(got[:min(2, len(got))])
			if !slices.Equal(got, []int{1, 3, 4, 2, 0}) {
				t.Errorf("the order is %v", got)
			}
			report(t, g, 1, 100, false)
			report(t, g, 3, 100, false)
			for range 10 {
				if i := at(g, 100, tried()); i != 4 {
					t.Errorf("host %d was chosen when the first tier is down", i)
				}
			}
			if i := at(g, 100, tried(0, 2, 4)); i != 1 && i != 3 {
				t.Errorf("host %d was chosen when only the first tier is left", i)
			}
		})
	}
}

// A host of the first tier that is due is probed although a backup serves.
func TestBackupsDoNotHideWhoIsDue(t *testing.T) {
	t.Parallel()
	o := balance.Options{Algorithm: "first", Hosts: plain("", "")}
	o.Hosts[1].Tier = balance.BackupTier
	g := groupWith(t, balance.NewCounters(1, 2), o)
	report(t, g, 0, 100, false)
	var seen balance.Tried
	if i := at(g, 1100, &seen); i != 1 || !hasDue(&seen) {
		t.Errorf("host %d, due: %v", i, hasDue(&seen))
	}
}

// More tiers than are distinguished do no harm: each host is found once.
func TestManyTiers(t *testing.T) {
	t.Parallel()
	const hosts = 100
	o := balance.Options{Algorithm: "round_robin", Hosts: plain(make([]string, hosts)...)}
	for i := range o.Hosts {
		o.Hosts[i].Tier = hosts - i
	}
	g := groupWith(t, balance.NewCounters(1, hosts), o)
	var seen balance.Tried
	for n := range hosts {
		if i := at(g, 0, &seen); i < 0 || n < 10 && i != hosts-1-n {
			t.Fatalf("choice %d: host %d", n, i)
		}
	}
	if i := at(g, 0, &seen); i != -1 {
		t.Errorf("host %d was offered twice", i)
	}
}

// Hosts that are drained or have weight zero get only sticky clients, whatever else is left.
func TestDrainedGetNobodyNew(t *testing.T) {
	t.Parallel()
	for _, a := range balance.Algorithms() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			o := balance.Options{Algorithm: a.Name, Hosts: plain("", "", "")}
			o.Hosts[0].Drain, o.Hosts[2].Weight = true, 0
			g := groupWith(t, balance.NewCounters(1, 3), o)
			if h := g.Hosts(); !h.Draining(0) || h.Draining(1) || h.Draining(2) {
				t.Error("it is not the first that is drained")
			}
			if n := g.Left(nil, tried()); n != 1 {
				t.Errorf("%d are left, want 1", n)
			}
			for range 5 {
				if i := at(g, 100, tried()); i != 1 {
					t.Errorf("host %d was chosen", i)
				}
			}
			report(t, g, 1, 100, false)
			if i := at(g, 100, tried()); i != 1 {
				t.Errorf("host %d was chosen when all others are down", i)
			}
			if i := at(g, 100, tried(1)); i != -1 {
				t.Errorf("host %d was chosen when there was no other", i)
			}
			for _, i := range []int{0, 2} {
				l, ok := g.AcquireHost(0, i, tried(), 100)
				if !ok || l.Host() != i {
					t.Errorf("host %d does not keep its own clients", i)
				}
				l.Release(balance.Outcome{Class: balance.Served}, 100)
			}
			if _, ok := g.AcquireHost(0, 0, tried(0), 100); ok {
				t.Error("a host that was tried")
			}
		})
	}
}

// A sticky client of an unfit host gets another host.
func TestStuckToOneThatIsUnfit(t *testing.T) {
	t.Parallel()
	o := erring(4, 1)
	o.Checked = true
	g := groupWith(t, balance.NewCounters(1, 4), o)
	ends(t, g, 0, 100, balance.Erred)
	report(t, g, 1, 100, false)
	for i, want := range []bool{false, false, true, true} {
		if l, ok := g.AcquireHost(0, i, tried(), 100); ok != want {
			t.Errorf("host %d: %v, want %v", i, ok, want)
		} else {
			l.Release(balance.Outcome{}, 100)
		}
	}
	// When the ejection is over, such a client may do the trial, once.
	for n, want := range []bool{true, false} {
		if _, ok := g.AcquireHost(0, 0, tried(), 2100); ok != want {
			t.Errorf("try %d: %v, want %v", n, ok, want)
		}
	}
	var seen balance.Tried
	if _, ok := g.AcquireHost(0, 1, &seen, 2100); ok || seen.Full() {
		t.Errorf("the host that is down: %v, full: %v", ok, seen.Full())
	}
	if i, due := seen.Due(); !due || i != 1 {
		t.Errorf("due: %d, %v", i, due)
	}
}

// That a drained host has no leases left is reported once: by the last lease, also one of the previous configuration, or by the next choice.
func TestDrainedIsToldOnce(t *testing.T) {
	t.Parallel()
	c := shared(t, 2, 4)
	take(t, c)
	take(t, c)
	o := balance.Options{Algorithm: "first", Hosts: plain("", "")}
	before := groupWith(t, c, o)
	before.Enforce()
	a, _ := before.Acquire(0, nil, tried(), 0)
	b, _ := before.Acquire(1, nil, tried(), 0)
	drained := slices.Clone(o.Hosts)
	drained[0].Drain = true
	o.Hosts = drained
	after := []*balance.Group{groupWith(t, c, o), groupWith(t, mapped(t, c), o)} // in two processes
	if got := a.Release(balance.Outcome{Class: balance.Served}, 0); got != (balance.Change{}) {
		t.Errorf("not in force yet: %+v", got)
	}
	for _, g := range after {
		g.Enforce()
	}
	var seen balance.Tried
	if at(after[0], 0, &seen) != 1 {
		t.Error("the drained host was chosen")
	}
	if _, got := seen.News(); got != (balance.Change{}) {
		t.Errorf("while it is held: %+v", got)
	}
	if got := b.Release(balance.Outcome{Class: balance.Served}, 0); got != (balance.Change{State: balance.Drained}) {
		t.Errorf("the last lease: %+v", got)
	}
	after[1].Enforce() // in a restarted worker
	for _, g := range after {
		seen.Clear()
		at(g, 0, &seen)
		if i, got := seen.News(); got != (balance.Change{}) {
			t.Errorf("told again: %d, %+v", i, got)
		}
	}
	// A sticky client comes and leaves.
	l, ok := after[0].AcquireHost(0, 0, tried(), 0)
	if got := l.Release(balance.Outcome{Class: balance.Served}, 0); !ok || got.State != balance.Drained {
		t.Errorf("after a client who was stuck: %+v", got)
	}
	// A host is drained while it has no lease.
	before.Enforce()
	for _, g := range after {
		g.Enforce()
	}
	told := 0
	for _, g := range after {
		seen.Clear()
		at(g, 0, &seen)
		if i, got := seen.News(); got.State == balance.Drained && i == 0 {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	// Nothing is reported about a host that is no longer drained.
	before.Enforce()
	l, _ = before.Acquire(0, nil, tried(), 0)
	if got := l.Release(balance.Outcome{Class: balance.Served}, 0); got != (balance.Change{}) {
		t.Errorf("not drained any more: %+v", got)
	}
}

// A failing active check excludes a host, and a passing one takes it back, in all processes; a passing check ends an ejection. Earlier results do
// not
// matter to a configuration without checks.
func TestChecks(t *testing.T) {
	t.Parallel()
	c := shared(t, 1, 2)
	take(t, c)
	o := erring(2, 1)
	o.Checked, o.Algorithm = true, "round_robin"
	g, master := groupWith(t, c, o), groupWith(t, mapped(t, c), o).Hosts()
	set := func(up bool, now int64, want balance.Change) {
		t.Helper()
		if got := master.SetChecked(0, up, now); got != want {
			t.Errorf("up %v at %d ms: %+v, want %+v", up, now, got, want)
		}
	}
	chosen := func(now int64, want bool) {
		t.Helper()
		if got := slices.Contains([]int{at(g, now, tried()), at(g, now, tried())}, 0); got != want {
			t.Errorf("chosen at %d ms: %v, want %v", now, got, want)
		}
	}
	set(true, 50, balance.Change{})
	set(false, 100, balance.Change{State: balance.CheckFailed})
	set(false, 200, balance.Change{})
	chosen(300, false)
	if got := at(g, 300, tried(1)); got != 0 {
		t.Error("the last host is not used")
	}
	o.Checked = false
	if got := at(groupWith(t, c, o), 300, tried(1)); got != 0 {
		t.Error("a configuration without checks minds them")
	}
	set(true, 600, balance.Change{State: balance.CheckPassed, Since: 500 * time.Millisecond})
	chosen(700, true)
	ends(t, g, 0, 1000, balance.Erred)
	chosen(1100, false)
	set(true, 1500, balance.Change{State: balance.Returned, Since: 500 * time.Millisecond})
	chosen(1600, true)
	// Continued passing does not clear failed connections; passing after a failure does.
	report(t, g, 0, 2000, false)
	set(true, 2001, balance.Change{})
	chosen(2002, false)
	set(false, 2003, balance.Change{State: balance.CheckFailed})
	set(true, 2004, balance.Change{State: balance.CheckPassed, Since: time.Millisecond})
	chosen(2005, true)
}

// With fewer than half of a larger group left, ejections and failed checks are ignored; failed connections still count. Both changes are reported.
func TestPanic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hosts, bad int }{{3, 0}, {4, 3}, {5, 3}, {8, 5}, {9, 5}} {
		o := erring(c.hosts+1, 1)
		o.Checked, o.Algorithm = true, "round_robin"
		o.Hosts[c.hosts].Drain = true // not one of them
		g := groupWith(t, balance.NewCounters(1, c.hosts+1), o)
		for i := range c.hosts - 1 {
			var got balance.Change
			if i%2 == 0 {
				got = g.Hosts().SetChecked(i, false, 100)
			} else {
				got = ends(t, g, i, 100, balance.Erred)
			}
			want := balance.Unchanged
			if i+1 == c.bad {
				want = balance.Panicked
			}
			if got.State == balance.Unchanged || got.Panic != want {
				t.Errorf("%d hosts: when %d are bad: %+v, want %v", c.hosts, i+1, got, want)
			}
		}
		used := map[int]bool{}
		for range 10 * c.hosts {
			used[at(g, 200, tried())] = true
		}
		if want := map[bool]int{true: c.hosts, false: 1}[c.bad > 0]; len(used) != want || used[c.hosts] {
			t.Errorf("%d hosts: used are %v", c.hosts, used)
		}
		if c.bad == 0 {
			continue
		}
		// One of them cannot be reached.
		if got := report(t, g, 0, 300, false); got.State != balance.WentDown || got.Panic != balance.Unchanged {
			t.Errorf("%d hosts: %+v", c.hosts, got)
		}
		for range 10 * c.hosts {
			if at(g, 300, tried()) == 0 {
				t.Fatalf("%d hosts: one was chosen that cannot be reached", c.hosts)
			}
		}
		// Hosts come back.
		told := 0
		for i := range c.hosts {
			if got := g.Hosts().SetChecked(i, true, 400); got.Panic == balance.Calmed {
				told++
			} else if got.Panic != balance.Unchanged {
				t.Errorf("%d hosts: %+v", c.hosts, got)
			}
		}
		if told != 1 {
			t.Errorf("%d hosts: told %d times that it is over", c.hosts, told)
		}
	}
}

// A new configuration with other hosts first panics too if most hosts are unfit, without reporting it again.
func TestPanicOutlivesItsConfiguration(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(1, 6)
	o := erring(5, 1)
	o.Algorithm = "round_robin"
	g := groupWith(t, c, o)
	for i := range 3 {
		ends(t, g, i, 100, balance.Erred)
	}
	after, err := balance.NewGroupOf([]int{4, 3, 2, 1, 0}, o, c)
	if err != nil {
		t.Fatal(err)
	}
	after.Enforce()
	used := map[int]bool{}
	for range 50 {
		used[at(after, 200, tried())] = true
	}
	if len(used) != 5 {
		t.Errorf("used are %v", used)
	}
}

func TestSpecsAreChecked(t *testing.T) {
	t.Parallel()
	for _, s := range []balance.Spec{{Weight: -1}, {Weight: balance.MaxWeight + 1}, {Weight: 1, MaxConns: -1}} {
		if g, err := balance.NewGroupOf([]int{0}, balance.Options{Algorithm: "first", Hosts: []balance.Spec{s}}, balance.NewCounters(1, 1)); err == nil {
			t.Errorf("%+v: %v", s, g)
		}
	}
	if g, err := balance.NewGroupOf([]int{0}, balance.Options{Algorithm: "first"}, balance.NewCounters(1, 1)); err == nil {
		t.Errorf("an id without a host: %v", g)
	}
	if g, err := balance.NewGroupOf(nil, balance.Options{Algorithm: "x"}, balance.NewCounters(1, 1)); err == nil {
		t.Errorf("an algorithm that there is not: %v", g)
	}
}

func TestNow(t *testing.T) {
	t.Parallel()
	if a, b := balance.Now(), balance.Now(); a <= 0 || b < a {
		t.Errorf("%d, %d", a, b)
	}
}
