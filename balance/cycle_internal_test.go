package balance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// After any number of turns each thing has had its share to within one turn, and at the end exactly its weight, as with credits (Weighted, the
// obvious algorithm).
func TestCycleIsSmooth(t *testing.T) {
	t.Parallel()
	lists := [][]int{{1}, {7}, {1, 1}, {1, 1, 1, 1, 1}, {0, 3, 0}, {5, 1, 1}, {95, 5}, {1000, 1}, {1000, 999, 998, 1}, {3, 2, 1}, {97, 1, 1, 1},
		{10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {6, 4, 2}, {1000, 1000, 1}}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		list := make([]int, 1+r.IntN(20))
		for i := range list {
			list[i] = r.IntN(1 + r.IntN(50))
		}
		list[r.IntN(len(list))]++
		lists = append(lists, list)
	}
	for _, weights := range lists {
		total := 0
		for _, w := range reduceWeights(weights) {
			total += w
		}
		order := newCycle(weights)
		if len(order) != total {
			t.Fatalf("%v: %d turns, want %d", weights, len(order), total)
		}
		had, want, obvious := make([]int, len(weights)), reduceWeights(weights), make([]int, len(weights))
		by := NewWeighted(slices.Clone(weights))
		for n, i := range order {
			had[i]++
			obvious[by.Next()]++
			for i, w := range want {
				if off := had[i]*total - (n+1)*w; off <= -total || off >= total {
					t.Fatalf("%v: %v of the first %d turns", weights, had, n+1)
				}
			}
		}
		if !slices.Equal(had, want) || !slices.Equal(had, obvious) {
			t.Errorf("%v: %v turns in all, by credits %v", weights, had, obvious)
		}
	}
}

func TestCycleOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		weights []int
		want    []uint16
	}{
		{nil, []uint16{}},
		{[]int{0, 0}, []uint16{}},
		{[]int{4}, []uint16{0}},
		{[]int{1, 1, 1}, []uint16{0, 1, 2}},
		{[]int{7, 0, 7}, []uint16{0, 2}},
		{[]int{2, 1}, []uint16{0, 0, 1}},
		{[]int{20, 10, 10}, []uint16{0, 1, 0, 2}},
		{[]int{1, 1, 2}, []uint16{2, 0, 2, 1}},
		{[]int{5, 1, 1}, []uint16{0, 0, 0, 1, 0, 0, 2}},
	} {
		if got := newCycle(c.weights); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.weights, got, c.want)
		}
	}
}

// Whatever the number of things and their weights, a cycle is bounded, each thing has a turn, and its share is close to its weight.
func TestCycleIsBounded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 65, 66, 1000, MaxHosts} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			r, weights, total := rand.New(rand.NewPCG(3, 4)), make([]int, n), 0
			for i := range weights {
				weights[i] = 1 + r.IntN(1000)
			}
			weights[0] = 1
			for _, w := range weights {
				total += w
			}
			order, had := newCycle(weights), make([]int, n)
			if len(order) > maxCycle+n {
				t.Errorf("%d turns", len(order))
			}
			for _, i := range order {
				had[i]++
			}
			for i, w := range weights {
				share := float64(w) / float64(total) * float64(len(order))
				if off := float64(had[i]) - share; had[i] == 0 || off > 1.1 || off < -1.1 {
					t.Fatalf("host %d of %d has %d turns, want %.1f", i, n, had[i], share)
				}
			}
		})
	}
}
