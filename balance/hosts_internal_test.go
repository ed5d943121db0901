package balance

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// specs returns hosts with these weights.
func specs(weights ...int) []Spec {
	list := make([]Spec, len(weights))
	for i, w := range weights {
		list[i] = Spec{Weight: w}
	}
	return list
}

func newTestGroup(tb testing.TB, c *Counters, o Options) *Group {
	tb.Helper()
	ids := make([]int, len(o.Hosts))
	for i := range ids {
		ids[i] = i
	}
	g, err := NewGroupOf(ids, o, c)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// After a host was down, ejected or failing, its share and its bound grow linearly; at the start of the program they are full.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	const slow, back = 10 * time.Second, 50_000
	for what, fail := range map[string]func(g *Group){
		"down": func(g *Group) {
			l, _ := g.Acquire(0, nil, &Tried{}, back-100)
			l.Unreachable(back - 100)
			l.Reached(back)
			l.Release(Outcome{}, back)
		},
		"ejected": func(g *Group) {
			l, _ := g.Acquire(0, nil, &Tried{}, back-1000)
			l.Release(Outcome{Class: Erred}, back-1000)
			l, _ = g.Acquire(0, nil, &Tried{}, back)
			l.Release(Outcome{Class: Served}, back)
		},
		"failing": func(g *Group) {
			g.Hosts().SetChecked(0, false, back-100)
			g.Hosts().SetChecked(0, true, back)
		},
	} {
		o := Options{
			Algorithm: "first", Hosts: specs(30, 0, 30), Checked: true, SlowStart: slow,
			Passive: Passive{Failures: 1, Eject: time.Second},
		}
		for i := range o.Hosts {
			o.Hosts[i].MaxConns = 5
		}
		g := newTestGroup(t, NewCounters(1, 3), o)
		h := g.Hosts()
		if h.Even() {
			t.Errorf("%s: even", what)
		}
		expect := func(age int64, weight, most int) {
			t.Helper()
			seen := Tried{choice: choice{now: back + age}}
			if got := h.Weight(0, &seen); got != weight {
				t.Errorf("%s: after %d ms the weight is %d, want %d", what, age, got, weight)
			}
			if h.Weight(1, &seen) != 0 || h.Weight(2, &seen) != 30*WeightUnit {
				t.Errorf("%s: after %d ms the others weigh %d and %d", what, age, h.Weight(1, &seen), h.Weight(2, &seen))
			}
			var held []*Lease
			for {
				l, ok := g.AcquireHost(0, 0, &Tried{}, back+age)
				if !ok {
					break
				}
				held = append(held, &l)
			}
			if len(held) != most {
				t.Errorf("%s: after %d ms it has %d, want %d", what, age, len(held), most)
			}
			for _, l := range held {
				l.Release(Outcome{}, back+age)
			}
		}
		expect(-40_000, 30*WeightUnit, 5)
		fail(g)
		expect(0, 1, 1)
		expect(1000, 3*WeightUnit, 1)
		expect(5000, 15*WeightUnit, 2)
		expect(9999, 7679, 4)
		expect(10_000, 30*WeightUnit, 5)
		expect(1_000_000, 30*WeightUnit, 5)
	}
}

func TestEven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		weights []int
		slow    time.Duration
		want    bool
	}{{[]int{1, 1}, 0, true}, {[]int{7, 7, 7}, 0, true}, {[]int{1, 2}, 0, false}, {[]int{1, 1}, 1, false}, {nil, 0, true}} {
		o := Options{Algorithm: "first", Hosts: specs(c.weights...), SlowStart: c.slow}
		if got := newTestGroup(t, NewCounters(1, 3), o).Hosts().Even(); got != c.want {
			t.Errorf("%v, slow start %v: %v", c.weights, c.slow, got)
		}
	}
}

// Whatever a compromised worker writes anywhere, in the head, the lines or the rows, nothing panics or hangs, pauses and shares stay within bounds,
// and
// hosts are offered.
func TestDamagedMemoryIsHarmless(t *testing.T) {
	t.Parallel()
	const rows, hosts, now = 3, 5, 1_000_000
	c, err := NewShared(rows, hosts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	words := []uint64{0, 1, 2, 255, 256, math.MaxUint64, 1 << 63, 1<<63 - 1, now, now << 1, now<<1 | 1, now << 8, now<<8 | 3, now << 16, (now + 5000) << 8, rows + 1, hosts + 1, 1 << 40,
		uint64(orderMark | orderWeight), uint64(orderMark | orderWeight | 999<<orderShift), uint64(orderMark | orderDrain | orderDrained), uint64(ordersAny | ordersWeight), uint64(problemMark | 3<<problemCondition | 255<<problemKind), uint64(problemMark | 255<<problemCondition), uint64(ordersWeight | WeightUnit*3<<ordersShift)}
	rng := rand.New(rand.NewPCG(3, 3))
	word := func() uint64 {
		if rng.IntN(3) == 0 {
			return rng.Uint64()
		}
		return words[rng.IntN(len(words))]
	}
	registry := NewRegistry(c)
	for round := range 500 { // hash tables take time to make
		o := Options{
			Algorithm: "round_robin", Hosts: specs(1, 2, 3, 4, 0), Checked: rng.IntN(2) == 0, Queue: 3, RetryBudget: 20,
			SlowStart: time.Duration(rng.IntN(2)) * time.Minute,
			Passive:   Passive{Failures: rng.IntN(3), Window: time.Second, Eject: time.Second, MaxEject: time.Minute},
		}
		for i := range o.Hosts {
			o.Hosts[i].Tier, o.Hosts[i].Drain = rng.IntN(3), rng.IntN(4) == 0
			if rng.IntN(2) == 0 {
				o.Hosts[i].MaxConns = rng.IntN(5)
			}
		}
		algorithms := Algorithms()
		o.Algorithm = algorithms[round%len(algorithms)].Name
		if strings.HasSuffix(o.Algorithm, "hash") && round%10 > 0 {
			o.Algorithm = "round_robin" // hash tables take long to make
		}
		g := newTestGroup(t, c, o)
		for range 20 {
			switch rng.IntN(4) {
			case 0:
				c.words[lineWords+rng.IntN(headTaken-lineWords+rows)] = word()
			case 1, 2:
				c.lines[rng.IntN(len(c.lines))] = word()
			case 3:
				c.table[rng.IntN(len(c.table))] = word()
			}
		}
		g.Enforce()
		var seen Tried
		for range hosts + 1 {
			if l, ok := g.Acquire(rng.IntN(rows), nil, &seen, now); ok {
				for _, got := range []Change{l.Unreachable(now), l.Reached(now), l.Release(Outcome{Class: Class(rng.IntN(4)), Latency: time.Duration(word())}, now)} {
					if got.Pause < 0 || got.Pause > time.Minute || got.Since < 0 {
						t.Fatalf("round %d: %+v", round, got)
					}
					_ = got.State.String()
				}
			}
			seen.Due()
			seen.News()
		}
		for i := range hosts {
			if w := g.Hosts().Weight(i, &seen); w < 0 || w > max(o.Hosts[i].Weight, g.Hosts().Configured(i))*WeightUnit || w > MaxWeight*WeightUnit {
				t.Fatalf("round %d: host %d weighs %d of %d", round, i, w, o.Hosts[i].Weight*WeightUnit)
			}
			if l, ok := g.AcquireHost(0, i, &seen, now); ok {
				l.Release(Outcome{Class: Erred}, now)
			}
			if l, ok := g.Probe(0, i, now, time.Second); ok {
				l.Unreachable(now)
				l.Release(Outcome{Class: Failed}, now)
			}
			if got := g.Hosts().SetChecked(i, rng.IntN(2) == 0, now); got.Since < 0 {
				t.Fatalf("round %d: %+v", round, got)
			}
		}
		for i := range hosts {
			what, why := g.Hosts().Blamed(i)
			_, _ = what.String(), why.String()
			if c, since := g.Hosts().Condition(i, now); since < 0 || c.String() == "" {
				t.Fatalf("round %d: %v since %v", round, c, since)
			}
			g.Hosts().InUse(i)
			if drain, weight := g.Orders(i); rng.IntN(2) == 0 {
				g.Order(i, drain, weight)
			}
		}
		if rng.IntN(4) == 0 {
			c.ForgetOrders()
		}
		g.Enqueue(0)
		g.Retry(0)
		g.Queued()
		g.Left(nil, &seen)
		if row, err := c.TakeRow(); err == nil {
			c.ClearRow(row)
		}
		for row := range rows {
			c.ClearRow(row)
		}
		_, _ = registry.Assign([]string{"a", "b", "c", "d", "e"}[:rng.IntN(6)])
		if rng.IntN(2) == 0 {
			registry.Commit()
		}
	}
	// What a healthy writer writes repairs it: all hosts up, and choices as usual.
	clear(c.table)
	c.words[headHostsUsed] = hosts
	c.ForgetOrders()
	o := Options{Algorithm: "first", Hosts: specs(1, 1, 1, 1, 1), Checked: true, Passive: Passive{Failures: 1}}
	g := newTestGroup(t, c, o)
	*c.rowsUsed = rows
	for i := range hosts {
		g.Hosts().SetChecked(i, false, now)
		g.Hosts().SetChecked(i, true, now)
		var seen Tried
		if !g.Hosts().Usable(i, &seen) {
			t.Errorf("host %d is not usable", i)
		}
	}
}

// An ejection whose end is impossibly late is over.
func TestDamagedEjectionIsOver(t *testing.T) {
	t.Parallel()
	const now = 1_000_000
	for _, late := range []int64{now + 60_000 + trialTime + 1, 1 << 50, math.MaxInt64 >> 8} {
		c := NewCounters(1, 2)
		g := newTestGroup(t, c, Options{
			Algorithm: "first", Hosts: specs(1, 1), Passive: Passive{Failures: 1, Eject: time.Second, MaxEject: time.Minute},
		})
		*c.word(0, lineEjected) = uint64(ejectedUntil(late, 1))
		var seen Tried
		if l, ok := g.Acquire(0, nil, &seen, now); !ok || l.Host() != 0 {
			t.Errorf("until %d: no trial", late)
		}
	}
}
