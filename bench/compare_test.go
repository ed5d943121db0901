package bench

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestStatistics(t *testing.T) {
	t.Parallel()
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }
	for _, tc := range []struct {
		v              []float64
		median, spread float64
	}{
		{nil, 0, 0},
		{[]float64{3}, 3, 0},
		{[]float64{9, 1, 2}, 2, 4},
		{[]float64{4, 1, 3, 2}, 2.5, 3 / 2.5},
		{[]float64{0, 0, 1}, 0, 0},
	} {
		keep := slices.Clone(tc.v)
		if m, s := median(tc.v), spread(tc.v); !near(m, tc.median) || !near(s, tc.spread) {
			t.Errorf("%v: median %v, spread %v", tc.v, m, s)
		}
		if !slices.Equal(keep, tc.v) {
			t.Errorf("%v became %v", keep, tc.v)
		}
	}
	// Each round drifts, the quotient does not: a quotient of medians would say 2.
	if r, ok := ratio([]float64{1, 10, 4}, []float64{2, 20, 2}); !ok || !near(r, 0.5) {
		t.Errorf("ratio %v, %v", r, ok)
	}
	if r, ok := ratio([]float64{1, 2}, []float64{0, 4}); !ok || !near(r, 0.5) {
		t.Errorf("ratio with a zero %v, %v", r, ok)
	}
	if _, ok := ratio(nil, []float64{1}); ok {
		t.Error("ratio of nothing")
	}
	d := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if a, b := percentile(d, 0.5), percentile(d, 0.99); a != 6 || b != 10 {
		t.Errorf("percentiles %v, %v", a, b)
	}
	if p := percentile(nil, 0.5); p != 0 {
		t.Errorf("percentile of nothing: %v", p)
	}
}
