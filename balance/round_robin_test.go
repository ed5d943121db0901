package balance_test

import (
	"fmt"
	"sync"
	"testing"

	"kroxy-ev/balance"
)

// Over all callers, each host gets exactly its weight.
func TestRoundRobinGivesByWeight(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]int{{1, 1, 1}, {5, 1, 1}, {3, 0, 2}, {1000, 1}, {100, 99, 98, 1}} {
		const writers, rounds = 4, 3
		total := 0
		for _, w := range weights {
			total += w
		}
		g := made(t, "round_robin", writers, specs(weights...))
		var wg sync.WaitGroup
		for row := range writers {
			wg.Go(func() {
				for range rounds * total {
					lease, ok := g.Acquire(row, nil, tried(), 0)
					if !ok {
						t.Error("no host")
						return
					}
					lease.Release(balance.Outcome{Class: balance.Served}, 0)
				}
			})
		}
		wg.Wait()
		for i, w := range weights {
			if n := g.Hosts().Served(i); n != int64(writers*rounds*w) {
				t.Errorf("%v: host %d served %d, want %d", weights, i, n, writers*rounds*w)
			}
		}
	}
}

// What a tried host leaves goes to the others by weight, whatever its own weight.
func TestRoundRobinSharesOutWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		weights  []int
		excluded int
	}{{[]int{3, 2, 1}, 0}, {[]int{3, 2, 1}, 2}, {[]int{1000, 3, 1}, 0}, {[]int{1000, 1000, 1}, 1}, {[]int{1000, 1, 0}, 0}} {
		g, had := made(t, "round_robin", 1, specs(c.weights...)), make([]int, len(c.weights))
		for range 6000 {
			had[choose(t, g, "", c.excluded)]++
		}
		c.weights[c.excluded] = 0
		checkShares(t, fmt.Sprint(c), had, chances(c.weights...))
	}
}
