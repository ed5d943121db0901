package balance_test

import (
	"fmt"
	"testing"
)

// Each pair of hosts has the probability that results from its weights, and the better host of the two is chosen.
func TestRandomTwo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ weights, held []int }{
		{[]int{1}, []int{5}},
		{[]int{1, 1}, []int{0, 0}},
		{[]int{1, 1}, []int{1, 0}},
		{[]int{1, 1, 1}, []int{0, 1, 2}},
		{[]int{3, 1, 2, 0}, []int{0, 0, 0, 0}},
		{[]int{3, 1, 2}, []int{6, 1, 5}},
		{[]int{1, 1, 1, 1, 1, 1, 1, 1}, []int{7, 6, 5, 4, 3, 2, 1, 0}},
	} {
		g, had := made(t, "random_two", 1, specs(c.weights...)), make([]int, len(c.weights))
		for i, n := range c.held {
			keep(t, g, i, n)
		}
		for range 6000 {
			had[choose(t, g, "")]++
		}
		p, want := chances(c.weights...), make([]float64, len(c.weights))
		for a := range p {
			if p[a] == 1 {
				want[a] = 1
				continue
			}
			for b := range p {
				if a == b || p[a] == 0 || p[b] == 0 {
					continue
				}
				pair, better := p[a]*p[b]/(1-p[a]), a // a is drawn first
				if c.held[b]*c.weights[a] < c.held[a]*c.weights[b] {
					better = b
				}
				want[better] += pair
			}
		}
		checkShares(t, fmt.Sprint(c), had, want)
	}
}

// A host that is down or was tried is not chosen, however few are left.
func TestRandomTwoFindsWhatIsLeft(t *testing.T) {
	t.Parallel()
	g, all := made(t, "random_two", 1, specs(1000, 1000, 1000, 1, 0)), []int{0, 1, 2}
	for range 200 {
		if i := choose(t, g, "", all...); i != 3 {
			t.Fatalf("host %d", i)
		}
	}
	if lease, ok := g.Acquire(0, nil, tried(0, 1, 2, 3), 0); ok {
		t.Errorf("host %d, which has no weight", lease.Host())
	}
}
