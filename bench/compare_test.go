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
	for _, tc := range []struct {
		name    string
		a, b, q []float64
	}{
		// The figures drift from round to round, but their quotient does not: a quotient of medians would be 2.
		{"drift", []float64{1, 10, 4}, []float64{2, 20, 2}, []float64{0.5, 0.5, 2}},
		{"a zero", []float64{1, 2}, []float64{0, 4}, []float64{0.5}},
		{"nothing", nil, []float64{1}, nil},
		{"a round that only one has", []float64{1, 9}, []float64{2}, []float64{0.5}},
		{"a round that nobody has", []float64{1, none, 3}, []float64{2, 4, none}, []float64{0.5}},
	} {
		c := &comparison{rounds: map[string][]metrics{"a": roundsWith(tc.a), "b": roundsWith(tc.b)}}
		if q := c.quotients("a", "b", "cpu"); !slices.Equal(q, tc.q) {
			t.Errorf("%s: quotients %v, want %v", tc.name, q, tc.q)
		}
	}
	d := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if a, b := percentile(d, 0.5), percentile(d, 0.99); a != 6 || b != 10 {
		t.Errorf("percentiles %v, %v", a, b)
	}
	if p := percentile(nil, 0.5); p != 0 {
		t.Errorf("percentile of nothing: %v", p)
	}
}

// none stands for a missing figure of a round.
const none = -1

// roundsWith makes a round for each figure, which has the unit "cpu".
func roundsWith(figures []float64) []metrics {
	var list []metrics
	for _, x := range figures {
		var m metrics
		if x != none {
			m = metrics{"cpu": x}
		}
		list = append(list, m)
	}
	return list
}
