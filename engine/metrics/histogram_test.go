package metrics_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kroxy-ev/engine/metrics"
)

// bucketOf returns the only non-empty bucket of a histogram that has observed just ns.
func bucketOf(tb testing.TB, ns int64) int {
	tb.Helper()
	var h metrics.Histogram
	h.Observe(ns)
	at := -1
	for i := range metrics.Buckets {
		if n := h.Bucket(i); n > 1 || n == 1 && at >= 0 {
			tb.Fatalf("%d ns: bucket %d has %d", ns, i, n)
		} else if n == 1 {
			at = i
		}
	}
	return at
}

func TestBucketsHaveTheirBounds(t *testing.T) {
	t.Parallel()
	for i := -1; i < metrics.Buckets; i++ {
		at := metrics.Bound(i) * 1e9
		below, above := bucketOf(t, int64(math.Floor(at))-1), bucketOf(t, int64(math.Ceil(at))+1)
		if wantBelow, wantAbove := max(i, 0), min(i+1, metrics.Buckets-1); below != wantBelow || above != wantAbove {
			t.Errorf("around %.0f ns, where bucket %d ends: buckets %d and %d", at, i, below, above)
		}
	}
	if first, last := metrics.Bound(-1), metrics.Bound(metrics.Buckets-1); first != 1.0/(1<<20) || last != 64 {
		t.Errorf("from %g to %g s", first, last)
	}
	// Prometheus defines that bucket i of schema 3 ends at 2^(i/8).
	for _, i := range []int{0, 100, metrics.Buckets - 1} {
		if got, want := metrics.Bound(i), math.Exp2(float64(metrics.NativeIndex(i))/8); math.Abs(got/want-1) > 1e-12 {
			t.Errorf("bucket %d ends at %g s, natively at %g s", i, got, want)
		}
	}
}

func TestHistogramTakesEverything(t *testing.T) {
	t.Parallel()
	var h metrics.Histogram
	for _, ns := range []int64{math.MinInt64, -1, 0, 1, 953, math.MaxInt64, math.MaxInt64} {
		h.Observe(ns)
	}
	if h.Bucket(0) != 5 || h.Bucket(metrics.Buckets-1) != 2 || h.Count() != 7 {
		t.Errorf("%d in the first, %d in the last, %d altogether", h.Bucket(0), h.Bucket(metrics.Buckets-1), h.Count())
	}
}

// Since returns what was observed since a mark, even if the histogram was reset.
func TestSince(t *testing.T) {
	t.Parallel()
	var h, later metrics.Histogram
	if m := h.Mark(); len(m) != 0 {
		t.Errorf("a mark of nothing has %d buckets", len(m))
	}
	durations := func() int64 { return int64(math.Exp(rand.Float64() * 30)) }
	for range 1000 {
		h.Observe(durations())
	}
	m := h.Mark()
	for range 1000 {
		ns := durations()
		h.Observe(ns)
		later.Observe(ns)
	}
	for name, tc := range map[string]struct{ got, want *metrics.Histogram }{
		"since":          {h.Since(m), &later},
		"since nothing":  {h.Since(nil), &h},
		"since just now": {h.Since(h.Mark()), new(metrics.Histogram)},
		"of one anew":    {new(metrics.Histogram).Since(m), new(metrics.Histogram)},
	} {
		for i := range metrics.Buckets {
			if got, want := tc.got.Bucket(i), tc.want.Bucket(i); got != want {
				t.Errorf("%s: bucket %d has %d, want %d", name, i, got, want)
			}
		}
	}
}

// A quantile is accurate to the width of a bucket; a sorted slice is the oracle.
func TestQuantiles(t *testing.T) {
	t.Parallel()
	const seed = 17
	r := rand.New(rand.NewPCG(seed, seed))
	for name, draw := range map[string]func() float64{
		"uniform":   func() float64 { return 1e4 + 1e8*r.Float64() },
		"long tail": func() float64 { return 2e5 * math.Exp(1.5*r.NormFloat64()) },
		"two peaks": func() float64 { return 1e5 + float64(r.IntN(2))*1e9 },
		"one value": func() float64 { return 12345678 },
	} {
		for _, n := range []int{1, 2, 10, 10000} {
			var h metrics.Histogram
			all := make([]float64, n)
			var sum time.Duration
			for i := range all {
				ns := min(max(draw(), 1e3), 6e10)
				all[i] = ns
				h.Observe(int64(ns))
				sum += time.Duration(int64(ns))
			}
			slices.Sort(all)
			for _, q := range []float64{-1, 0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1, 7, math.NaN()} {
				at := max(int(math.Ceil(min(max(q, 0), 1)*float64(n))), 1) - 1
				if math.IsNaN(q) {
					at = 0
				}
				if got, want := float64(h.Quantile(q)), all[at]; got < want/1.0906 || got > want*1.0906 {
					t.Errorf("%s, %d of them, %g: %.0f, want %.0f", name, n, q, got, want)
				}
			}
			if h.Count() != uint64(n) || h.Sum() != sum {
				t.Errorf("%s: %d, %v altogether; want %d, %v", name, h.Count(), h.Sum(), n, sum)
			}
		}
	}
	if got := new(metrics.Histogram).Quantile(0.5); got != 0 {
		t.Errorf("of none: %v", got)
	}
}

func FuzzBucket(f *testing.F) {
	for i := -1; i < metrics.Buckets; i++ {
		f.Add(int64(metrics.Bound(i) * 1e9))
	}
	f.Add(int64(math.MaxInt64))
	f.Add(int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, ns int64) {
		i := bucketOf(t, ns)
		seconds := float64(max(ns, 0)) / 1e9
		const slack = 2e-3 // bounds are rounded to a tick, and the first bucket has 1024 ticks
		if low, high := metrics.Bound(i-1), metrics.Bound(i); i > 0 && seconds < low*(1-slack) || i < metrics.Buckets-1 && seconds > high*(1+slack) {
			t.Errorf("%d ns in bucket %d, from %g to %g s", ns, i, low, high)
		}
	})
}
