package balance_test

import (
	"math"
	"slices"
	"testing"

	"kroxy-ev/balance"
)

// After any number of choices each thing has had roughly its share, and exactly its share after as many choices as the total weight.
func TestWeighted(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]int{{1}, {0, 7}, {1, 1}, {1, 1, 1}, {95, 5}, {5, 95, 0}, {1000, 1}, {3, 2, 1}, {1, 1, 1, 97}, {1000, 999, 998, 1}} {
		total := 0
		for _, n := range weights {
			total += n
		}
		w, had := balance.NewWeighted(weights), make([]int, len(weights))
		for n := 1; n <= 2*total; n++ {
			had[w.Next()]++
			for i, weight := range weights {
				share := float64(n*weight) / float64(total)
				if off := math.Abs(float64(had[i]) - share); off > 1.5 || weight == 0 && off > 0 {
					t.Fatalf("%v: %d of the first %d are %d's, want about %.1f", weights, had[i], n, i, share)
				}
			}
			if n == total && !slices.Equal(had, weights) {
				t.Errorf("%v: the first %d are %v", weights, n, had)
			}
		}
	}
	var order []int
	for w := balance.NewWeighted([]int{5, 1, 1}); len(order) < 7; {
		order = append(order, w.Next())
	}
	if !slices.Equal(order, []int{0, 0, 1, 0, 2, 0, 0}) {
		t.Errorf("the order is %v", order)
	}
}
