package balance_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kroxy-ev/balance"
)

// model is a slow, obvious version of a group that chooses by "first": the state of each host is in plain fields, and a choice checks each
// condition for
// each host.
type model struct {
	o     balance.Options
	hosts []modelHost
	panic bool
}

type modelHost struct {
	active int

	down   bool
	pauses int
	pause  int64 // until when it is tried last

	ejected bool
	times   int
	ends    int64 // of the ejection, or of the claim of a trial
	began   int64 // when the ejection began
	left    int64 // when the last ejection ended
	serial  int   // number of the current value of ejected and ends

	fails      bool
	failsSince int64
	back       int64 // when it recovered from a failure

	first  int64 // time of the first failure in the window
	failed int

	drain  *bool // by order
	weight *int
	held   bool // it is draining and may have leases left
}

// modelLease is what a lease knows.
type modelLease struct {
	host  int
	trial int // serial of its claim; zero if it is not a trial
	lease balance.Lease
}

const ms = int64(time.Millisecond)

func (m *model) gets(i int) bool {
	weight := m.o.Hosts[i].Weight
	if by := m.hosts[i].weight; by != nil {
		weight = *by
	}
	return weight > 0 && !m.drains(i)
}

func (m *model) drains(i int) bool {
	if by := m.hosts[i].drain; by != nil {
		return *by
	}
	return m.o.Hosts[i].Drain
}

// left reports whether the draining host i has just lost its last lease, which must be reported.
func (m *model) left(i int) bool {
	h := &m.hosts[i]
	gone := h.held && h.active == 0
	h.held = h.held && !gone
	return gone
}

// order gives an order for host i, or cancels all orders.
func (m *model) order(i int, drain *bool, weight *int, forget bool) {
	before := make([]bool, len(m.hosts))
	for i := range m.hosts {
		before[i] = m.drains(i)
	}
	m.hosts[i].drain, m.hosts[i].weight = drain, weight
	for i := range m.hosts {
		h := &m.hosts[i]
		if forget {
			h.drain, h.weight = nil, nil
		}
		h.held = m.drains(i) && (h.held || !before[i])
	}
	m.recount()
}

// well reports whether nothing is wrong with host i.
func (m *model) well(i int) bool {
	h := &m.hosts[i]
	return !h.down && !h.ejected && !h.fails
}

func (m *model) recount() balance.State {
	get, well := 0, 0
	for i := range m.hosts {
		if m.gets(i) {
			get++
			if m.well(i) {
				well++
			}
		}
	}
	was := m.panic
	m.panic = get > 3 && 2*well < get
	switch {
	case m.panic && !was:
		return balance.Panicked
	case was && !m.panic:
		return balance.Calmed
	}
	return balance.Unchanged
}

// part returns how much of full host i gets during slow start.
func (m *model) part(i, full int, now int64) int {
	age, all := now-m.hosts[i].back, m.o.SlowStart.Milliseconds()
	if m.hosts[i].back == 0 || age >= all || full == 0 {
		return full
	}
	return max(int(float64(full)*float64(age)/float64(all)), 1)
}

func (m *model) room(i int, now int64) bool {
	most := m.o.Hosts[i].MaxConns
	return most == 0 || m.hosts[i].active < m.part(i, most, now)
}

// fit reports whether host i may be chosen although others are left, and otherwise whether it may be tried.
func (m *model) fit(i int, now int64) (fit, trial bool) {
	h := &m.hosts[i]
	switch {
	case h.fails && !m.panic, h.down:
		return false, false
	case h.ejected && !m.panic:
		return false, h.ends <= now
	}
	return true, false
}

// acquire returns what Acquire should return: the host or -1, the serial of the trial's claim, and whether a host was skipped for lack of room.
func (m *model) acquire(tried map[int]bool, now int64) (host, claim int, full bool) {
	var tiers []int
	for i := range m.hosts {
		tiers = append(tiers, m.o.Hosts[i].Tier)
	}
	try := -1
	passed := false
	for _, tier := range sorted(tiers) {
		for i := range m.hosts {
			if tried[i] || m.o.Hosts[i].Tier != tier {
				continue
			}
			if m.drains(i) {
				m.left(i)
			}
			if !m.gets(i) {
				continue
			}
			fit, trial := m.fit(i, now)
			if trial && try < 0 {
				try = i
			}
			if !fit {
				passed = true
				continue
			}
			if !m.room(i, now) {
				full = true
				continue
			}
			host = i
			goto found
		}
	}
	host = -1
found:
	if try >= 0 && m.room(try, now) {
		return try, m.claim(try, now), full
	}
	if host >= 0 || !passed {
		return host, 0, full
	}
	for _, tier := range sorted(tiers) {
		for i := range m.hosts {
			switch {
			case tried[i] || !m.gets(i) || m.o.Hosts[i].Tier != tier:
			case m.room(i, now):
				return i, 0, full
			default:
				full = true
			}
		}
	}
	return -1, 0, full
}

func (m *model) claim(i int, now int64) int {
	h := &m.hosts[i]
	h.ends = now + 10_000
	h.serial++
	return h.serial
}

func sorted(tiers []int) []int {
	slices.Sort(tiers)
	return slices.Compact(tiers)
}

func (m *model) release(l *modelLease, how balance.Class, now int64) balance.Change {
	h := &m.hosts[l.host]
	h.active--
	c := m.ended(l, how, now)
	if m.left(l.host) && c.State == balance.Unchanged {
		c.State = balance.Drained
	}
	return c
}

// ended returns the expected result of ending a lease, where errors count.
func (m *model) ended(l *modelLease, how balance.Class, now int64) balance.Change {
	h, p := &m.hosts[l.host], m.o.Passive
	if p.Failures == 0 {
		return balance.Change{}
	}
	mine := h.ejected && l.trial != 0 && l.trial == h.serial
	switch how {
	case balance.Unused, balance.Failed:
		if mine {
			h.ends = now
			h.serial++
		}
	case balance.Served:
		if h.ejected && (mine || h.ends <= now) {
			return m.endEjection(l.host, now)
		}
	case balance.Erred:
		failures := int64(1)
		switch {
		case h.ejected && !mine && h.ends > now:
			return balance.Change{}
		case h.ejected:
			h.times++
		default:
			if h.failed == 0 || now-h.first >= p.Window.Milliseconds() {
				h.first, h.failed = now, 0
			}
			if h.failed++; h.failed < p.Failures {
				return balance.Change{}
			}
			failures = int64(h.failed)
			if now-h.left >= p.MaxEject.Milliseconds() {
				h.times = 0
			}
			h.times++
			h.began = now
		}
		pause := p.Eject
		for range h.times - 1 {
			pause = min(2*pause, p.MaxEject)
		}
		h.ejected, h.ends, h.failed = true, now+pause.Milliseconds(), 0
		h.serial++
		return balance.Change{State: balance.Ejected, Pause: pause, Failed: failures, Panic: m.recount()}
	}
	return balance.Change{}
}

func (m *model) endEjection(i int, now int64) balance.Change {
	h := &m.hosts[i]
	h.ejected, h.left, h.back = false, now, now
	h.serial++
	return balance.Change{State: balance.Returned, Since: time.Duration((now - h.began) * ms), Panic: m.recount()}
}

func (m *model) checked(i int, up bool, now int64) balance.Change {
	h := &m.hosts[i]
	if !up {
		if h.fails {
			return balance.Change{}
		}
		h.fails, h.failsSince = true, now
		return balance.Change{State: balance.CheckFailed, Panic: m.recount()}
	}
	var c balance.Change
	if h.ejected {
		c = m.endEjection(i, now)
	}
	if !h.fails {
		return c
	}
	h.fails, h.down, h.back = false, false, now
	return balance.Change{State: balance.CheckPassed, Since: time.Duration((now - h.failsSince) * ms), Panic: cmp.Or(m.recount(), c.Panic)}
}

func (m *model) reached(i int, now int64) (changed bool, mood balance.State) {
	h := &m.hosts[i]
	if !h.down {
		return false, balance.Unchanged
	}
	h.down, h.back = false, now
	return true, m.recount()
}

func (m *model) unreachable(i int, now int64) (changed bool, mood balance.State) {
	h := &m.hosts[i]
	switch {
	case h.down && h.pause > now:
	case h.down:
		h.pauses = min(h.pauses+1, 10)
		h.pause = now + min(int64(1000)<<(h.pauses-1), 10_000)
	default:
		h.down, h.pauses, h.pause = true, 1, now+1000
		return true, m.recount()
	}
	return false, balance.Unchanged
}

// Whatever is reported in whatever order, each choice and each change equals the model's.
func TestGroupIsAsItsModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 16))
			checkModel(t, rng, 800)
		})
	}
}

func checkModel(t *testing.T, rng *rand.Rand, steps int) {
	n := 1 + rng.IntN(9)
	m := &model{o: balance.Options{Algorithm: "first", Checked: true, Hosts: plain(make([]string, n)...)}, hosts: make([]modelHost, n)}
	if rng.IntN(3) > 0 {
		m.o.Passive = balance.Passive{Failures: 1 + rng.IntN(3), Window: 3 * time.Second, Eject: 2 * time.Second, MaxEject: 15 * time.Second}
	}
	if rng.IntN(2) == 0 {
		m.o.SlowStart = 5 * time.Second
	}
	for i := range m.o.Hosts {
		s := &m.o.Hosts[i]
		s.Tier = []int{0, 0, 0, 3, balance.BackupTier}[rng.IntN(5)]
		s.Weight = rng.IntN(4)
		s.Drain = rng.IntN(6) == 0
		s.MaxConns = rng.IntN(4)
	}
	const rows = 3
	counters := balance.NewCounters(rows, n)
	g := groupWith(t, counters, m.o)
	g.Enforce()
	for i := range m.hosts {
		m.hosts[i].held = m.drains(i)
	}
	now := int64(1_000_000)
	var held []*modelLease
	for step := range steps {
		said := func(what string, got, want any) {
			if got != want {
				t.Fatalf("step %d, %+v: %s: %+v, want %+v", step, m.o, what, got, want)
			}
		}
		now += int64(rng.IntN(400))
		switch i := rng.IntN(n); rng.IntN(9) {
		case 0, 1, 2:
			var seen balance.Tried
			without := map[int]bool{}
			for other := range n {
				if rng.IntN(4) == 0 {
					seen.Add(other)
					without[other] = true
				}
			}
			want, claim, full := m.acquire(without, now)
			l, ok := g.Acquire(rng.IntN(rows), nil, &seen, now)
			got := -1
			if ok {
				got = l.Host()
				m.hosts[got].active++
				held = append(held, &modelLease{got, claim, l})
			} else {
				said("full", seen.Full(), full)
			}
			said("the choice", got, want)
		case 3:
			fit, trial := m.fit(i, now)
			want := (fit || trial) && m.room(i, now)
			var seen balance.Tried
			l, ok := g.AcquireHost(rng.IntN(rows), i, &seen, now)
			said("a client who is stuck", ok, want)
			if ok {
				claim := 0
				if trial {
					claim = m.claim(i, now)
				}
				m.hosts[i].held = m.drains(i)
				m.hosts[i].active++
				held = append(held, &modelLease{i, claim, l})
			}
		case 4, 5:
			if len(held) > 0 {
				at := rng.IntN(len(held))
				l := held[at]
				held = append(held[:at], held[at+1:]...)
				how := []balance.Class{balance.Unused, balance.Served, balance.Failed, balance.Erred, balance.Erred}[rng.IntN(5)]
				want := m.release(l, how, now)
				said(how.String(), l.lease.Release(balance.Outcome{Class: how}, now), want)
			}
		case 6:
			up := rng.IntN(2) == 0
			want := m.checked(i, up, now)
			said("a check", g.Hosts().SetChecked(i, up, now), want)
		case 7:
			if len(held) > 0 {
				l := held[rng.IntN(len(held))]
				var got balance.Change
				var want bool
				var mood balance.State
				if rng.IntN(2) == 0 {
					want, mood = m.reached(l.host, now)
					got = l.lease.Reached(now)
				} else {
					want, mood = m.unreachable(l.host, now)
					got = l.lease.Unreachable(now)
				}
				said("a connection", got.State == balance.CameUp || got.State == balance.WentDown, want)
				said("the mood", got.Panic, mood)
			}
		case 8:
			var drain *bool
			var weight *int
			if rng.IntN(3) > 0 {
				drain = new(rng.IntN(2) == 0)
			}
			if rng.IntN(3) > 0 {
				weight = new(rng.IntN(4))
			}
			forget := rng.IntN(4) == 0
			m.order(i, drain, weight, forget)
			g.Order(i, drain, weight)
			if forget {
				counters.ForgetOrders()
				g.Enforce()
			}
		}
		for i := range n {
			weight, drain := m.o.Hosts[i].Weight, m.o.Hosts[i].Drain
			said("in use", g.Hosts().InUse(i), m.gets(i) && m.well(i))
			said("ordered", g.Hosts().Ordered(i), m.hosts[i].weight != nil && *m.hosts[i].weight != weight || m.hosts[i].drain != nil && *m.hosts[i].drain != drain)
			said("held", g.Hosts().Active(i), int64(m.hosts[i].active))
			said("down", g.Hosts().Down(i), m.hosts[i].down)
		}
	}
}
