package balance_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kroxy-ev/balance"
)

// In a group that is compared as a whole, the choice is always the host with the least load for its weight.
func TestLeastConnIsExact(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]int{{1, 1, 1}, {3, 1}, {5, 2, 0, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}} {
		g := made(t, "least_conn", 1, specs(weights...))
		r := rand.New(rand.NewPCG(11, 12))
		load := func(i int) float64 { return float64(g.Hosts().Active(i)) / float64(weights[i]) }
		var held []*balance.Lease
		for range 3000 {
			if len(held) > 0 && r.IntN(100) < len(held) {
				at := r.IntN(len(held))
				held[at].Release(balance.Outcome{Class: balance.Served}, 0)
				held = slices.Delete(held, at, at+1)
				continue
			}
			least := math.Inf(1)
			for i, w := range weights {
				if w > 0 {
					least = min(least, load(i))
				}
			}
			lease, ok := g.Acquire(0, nil, tried(), 0)
			i := lease.Host()
			if !ok || weights[i] == 0 || load(i)-1/float64(weights[i]) > least+1e-9 {
				t.Fatalf("%v: host %d was chosen, at %.2f before it, and the least was %.2f", weights, i, load(i)-1/float64(weights[i]), least)
			}
			held = append(held, &lease)
		}
	}
}

// Equally loaded hosts share by weight, whatever hosts are between them.
func TestLeastConnBreaksTiesEvenly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ weights, busy []int }{
		{[]int{1, 1, 1, 1}, nil},
		{[]int{1, 1, 1, 1}, []int{1}},
		{[]int{1, 1, 1, 1, 1, 1, 1}, []int{0, 1, 2, 5}},
		{[]int{3, 1, 2}, nil},
		{[]int{3, 1, 2, 5}, []int{3}},
	} {
		g, had := made(t, "least_conn", 1, specs(c.weights...)), make([]int, len(c.weights))
		for _, i := range c.busy {
			keep(t, g, i, 1)
		}
		for range 5000 {
			had[choose(t, g, "")]++
		}
		for _, i := range c.busy {
			c.weights[i] = 0
		}
		checkShares(t, fmt.Sprint(c), had, chances(c.weights...))
	}
}

// In a large group the best of a few is nearly the best of all: a thousand hosts that come and go under load stay close together, and an idle host
// is
// found soon.
func TestLeastConnOfManyIsNearlyExact(t *testing.T) {
	t.Parallel()
	const hosts, load = 1000, 5
	g := made(t, "least_conn", 1, equal(hosts))
	var held []*balance.Lease
	for range hosts * load {
		held = append(held, hold(t, g, ""))
	}
	r, above := rand.New(rand.NewPCG(13, 14)), 0
	const rounds = 20
	for range rounds {
		for range hosts {
			at := r.IntN(len(held))
			held[at].Release(balance.Outcome{Class: balance.Served}, 0)
			held[at] = hold(t, g, "")
		}
		for i := range hosts {
			if n := g.Hosts().Active(i); n > load+2 {
				t.Fatalf("host %d has %d, and all have %d on average", i, n, load)
			} else if n > load+1 {
				above++
			}
		}
	}
	if above > rounds*hosts/100 {
		t.Errorf("%d of %d hosts had more than one above the average", above, rounds*hosts)
	}
	const idle = 617
	for _, lease := range held {
		if lease.Host() == idle {
			lease.Release(balance.Outcome{Class: balance.Served}, 0)
		}
	}
	for n := 1; ; n++ {
		if hold(t, g, "").Host() == idle {
			break
		}
		if n > 3*hosts {
			t.Fatalf("an idle host was not found by %d choices", n)
		}
	}
}
