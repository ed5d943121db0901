package balance_test

import (
	"fmt"
	"testing"

	"kroxy-ev/balance"
)

// weigh orders weights; -1 means none.
func weigh(g *balance.Group, weights ...int) {
	for i, w := range weights {
		if w >= 0 {
			g.Order(i, nil, &w)
		}
	}
}

// Whatever weights are ordered, by whichever group with these hosts, each host gets its share from then on, by every algorithm that uses weights;
// also a
// host of configured weight zero. When the orders are cancelled, shares are as configured.
func TestOrderedWeights(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"round_robin", "random_two", "hash", "ip_hash"} {
		for _, c := range []struct{ configured, ordered, want []int }{
			{[]int{1, 1, 1}, []int{3, -1, -1}, []int{3, 1, 1}},
			{[]int{4, 2, 2}, []int{1, -1, -1}, []int{1, 2, 2}},
			{[]int{1, 1}, []int{0, -1}, []int{0, 1}},
			{[]int{1, 0}, []int{-1, 3}, []int{1, 3}},
			{[]int{0, 0, 0}, []int{1, -1, 2}, []int{1, 0, 2}},
			{[]int{1, 2}, []int{1000, 1}, []int{1000, 1}},
		} {
			t.Run(fmt.Sprint(algorithm, c), func(t *testing.T) {
				t.Parallel()
				n := len(c.configured)
				counters := balance.NewCounters(1, n)
				o := balance.Options{Algorithm: algorithm, Hosts: specs(c.configured...)}
				g, elsewhere := groupWith(t, counters, o), groupWith(t, counters, o)
				weigh(elsewhere, c.ordered...)
				shares := func(what string, weights []int) {
					t.Helper()
					had := make([]int, n)
					for k := range 4000 {
						had[choose(t, g, fmt.Sprint("key ", k))]++
					}
					if algorithm == "random_two" && n == 2 {
						return // of two idle hosts it takes either
					}
					checkShares(t, what, had, chances(weights...))
				}
				shares("by order", c.want)
				for i, w := range c.want {
					if got := g.Hosts().Configured(i); got != w {
						t.Errorf("host %d weighs %d, want %d", i, got, w)
					}
				}
				g = groupWith(t, counters, o) // as after a renewal of certificates
				g.Enforce()
				shares("by order, by a new group", c.want)
				counters.ForgetOrders()
				g.Enforce()
				for i := range n {
					if g.Hosts().Ordered(i) {
						t.Errorf("an order for host %d stands", i)
					}
				}
				if chances(c.configured...)[0] >= 0 { // unless it has no share
					shares("forgotten", c.configured)
				}
			})
		}
	}
}

// Loads are compared by the ordered weights.
func TestOrderedWeightsAndLoad(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"least_conn", "least_time"} {
		g := made(t, algorithm, 1, specs(1, 1, 0))
		weigh(g, 4, -1, 2)
		had := make([]int, 3)
		for range 70 {
			had[hold(t, g, "").Host()]++
		}
		if had[0] < 39 || had[0] > 41 || had[1] < 9 || had[1] > 11 {
			t.Errorf("%s: %v hold leases of weights 4, 1, 2", algorithm, had)
		}
	}
}

// When a host's weight is reduced, only its own keys move; when the weight is restored, all return.
func TestOrderedWeightMovesFewKeys(t *testing.T) {
	t.Parallel()
	g := made(t, "hash", 1, specs(2, 2, 2))
	where := func() (list [1000]int) {
		for k := range list {
			list[k] = choose(t, g, fmt.Sprint("key ", k))
		}
		return list
	}
	before := where()
	weigh(g, 1)
	moved := 0
	for k, host := range where() {
		if host != before[k] {
			if moved++; before[k] != 0 {
				t.Fatalf("key %d went from host %d to host %d", k, before[k], host)
			}
		}
	}
	if moved < 100 || moved > 240 {
		t.Errorf("%d of 1000 keys moved, of the third part whose host has half its weight", moved)
	}
	weigh(g, 2)
	if where() != before {
		t.Error("keys are not back where they were")
	}
}

// A host that is drained by order gets no new clients, through whichever group, but keeps its sticky clients; it is reported once when its last
// lease
// ends. A host that the configuration drains can be undrained.
func TestOrderedDrain(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			counters := balance.NewCounters(2, 3)
			o := balance.Options{Algorithm: algorithm, Hosts: plain("a", "a", "a")}
			o.Hosts[2].Drain = true
			g, elsewhere := groupWith(t, counters, o), groupWith(t, counters, o)
			g.Enforce()
			lease, ok := g.AcquireHost(0, 0, tried(), 0)
			if !ok {
				t.Fatal("no host")
			}
			yes, no := true, false
			elsewhere.Order(0, &yes, nil)
			if !g.Hosts().Draining(0) || !g.Hosts().Ordered(0) || g.Hosts().InUse(0) {
				t.Error("host 0 is not drained")
			}
			if drain, weight := g.Orders(0); drain == nil || !*drain || weight != nil {
				t.Errorf("the order is %v, %v", drain, weight)
			}
			for range 50 {
				if i := choose(t, g, "a"); i != 1 {
					t.Fatalf("a new client got host %d", i)
				}
			}
			if n := g.Left([]byte("a"), tried()); n != 1 {
				t.Errorf("%d hosts are left, want 1", n)
			}
			if l, ok := g.AcquireHost(1, 0, tried(), 0); !ok || l.Release(balance.Outcome{}, 0).State != balance.Unchanged {
				t.Error("a client who is stuck to host 0 was sent away, or was the last")
			}
			if c := lease.Release(balance.Outcome{}, 0); c.State != balance.Drained {
				t.Errorf("the last one left, and that is: %v", c.State)
			}
			elsewhere.Order(0, &no, nil)
			if g.Hosts().Ordered(0) {
				t.Error("an order stands that says what the configuration says")
			}
			elsewhere.Order(2, &no, nil)
			elsewhere.Order(1, &yes, nil)
			elsewhere.Order(0, &yes, nil)
			for range 50 {
				if i := choose(t, g, "a"); i != 2 {
					t.Fatalf("a new client got host %d", i)
				}
			}
			counters.ForgetOrders()
			g.Enforce()
			for range 50 {
				if i := choose(t, g, "a"); i == 2 {
					t.Fatal("a new client got the host that the configuration drains")
				}
			}
		})
	}
}
