package metrics

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is the number of buckets of a histogram: 8 per octave, from 2^-20 s (about 1 us) to 2^6 s (64 s). These are the buckets of
// Prometheus's native histograms with schema 3, so converting to those is lossless. Shorter times are in the first bucket, longer ones in the last.
const Buckets = octaves * perOctave

const (
	octaves   = 26
	perOctave = 8
	// A tick is 2^-30 s. The first bucket begins at 2^minBits ticks, and the last ends at 2^maxBits ticks.
	tickBits = 30
	minBits  = tickBits - 20
	maxBits  = minBits + octaves
)

// A Histogram counts durations. Only the row's writer may add to it; anyone may read it.
type Histogram struct {
	buckets [Buckets]uint64
	sum     uint64 // ns
}

// Observe counts a duration of ns nanoseconds; a negative one counts as zero.
func (h *Histogram) Observe(ns int64) {
	n := uint64(max(ns, 0))
	h.buckets[bucket(n)]++
	h.sum += n
}

// ticksPerNS is the number of ticks per nanosecond, minus one: 2^30/10^9 - 1, as a fraction of 2^64.
const ticksPerNS = (1<<tickBits - 1_000_000_000) << 64 / 1_000_000_000

// thresholds are the lower bounds of an octave's buckets except the first, as mantissas in fractions of 2^64: 2^(i/8) - 1. Each eighth
// of the octave except the last contains one of them.
var thresholds = func() (t [perOctave]uint64) {
	for i := range perOctave - 1 {
		t[i] = uint64((math.Exp2(float64(i+1)/perOctave)-1)*(1<<53)) << 11
	}
	t[perOctave-1] = math.MaxUint64
	return t
}()

// bucket returns the index of the bucket for ns nanoseconds. ns must fit into an int64.
func bucket(ns uint64) int {
	more, _ := bits.Mul64(ns, ticksPerNS)
	ticks := ns + more
	n := bits.Len64(ticks)
	switch {
	case n <= minBits:
		return 0
	case n > maxBits:
		return Buckets - 1
	}
	mantissa := ticks << (65 - n)
	i := mantissa >> 61
	at := (n-1-minBits)*perOctave + int(i)
	if mantissa >= thresholds[i] {
		at++
	}
	return at
}

// Bound returns the upper bound of bucket i in seconds, for i from -1 (the lower bound of the first) to Buckets-1. In a native histogram of
// schema 3, bucket i has the index NativeIndex(i).
func Bound(i int) float64 { return math.Exp2(float64(i+1)/perOctave + minBits - tickBits) }

// NativeSchema is the schema of the native histograms of Prometheus that have these buckets; NativeIndex returns the index of bucket i there.
const NativeSchema = 3

// NativeIndex returns the index of bucket i in a native histogram.
func NativeIndex(i int) int { return i + 1 + (minBits-tickBits)*perOctave }

// Bucket returns the count of bucket i.
func (h *Histogram) Bucket(i int) uint64 {
	return min(atomic.LoadUint64(&h.buckets[i]), math.MaxInt64)
}

// Count returns the total count.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.buckets {
		n = plus(n, h.Bucket(i))
	}
	return n
}

// Sum returns the sum of all durations.
func (h *Histogram) Sum() time.Duration {
	return time.Duration(min(atomic.LoadUint64(&h.sum), math.MaxInt64))
}

// Quantile returns the q-quantile, for q from 0 to 1: the median for 0.5. It is accurate to the width of a bucket,
// 9 percent. It is zero for an empty histogram.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	if !(q > 0) {
		q = 0 // also NaN
	}
	rank := max(math.Ceil(min(q, 1)*float64(total)), 1)
	var below float64
	last := 0
	for i := range h.buckets {
		n := float64(h.Bucket(i))
		if n == 0 {
			continue
		}
		if last = i; below+n >= rank {
			share := (rank - below - 0.5) / n
			return time.Duration(float64(time.Second) * Bound(i-1) * math.Exp2(share/perOctave))
		}
		below += n
	}
	return time.Duration(float64(time.Second) * Bound(last)) // Count may have been rounded
}

// A Mark records a histogram's counts at some time.
type Mark []marked

// marked is a non-empty bucket.
type marked struct {
	bucket uint8
	n      uint64
}

// Mark returns the current counts of h.
func (h *Histogram) Mark() Mark {
	var m Mark
	for i := range h.buckets {
		if n := h.Bucket(i); n > 0 {
			m = append(m, marked{uint8(i), n})
		}
	}
	return m
}

// Since returns what was counted in h since m, without the sum. A bucket whose count has fallen is assumed to have restarted from zero.
func (h *Histogram) Since(m Mark) *Histogram {
	d := new(Histogram)
	for i := range h.buckets {
		d.buckets[i] = h.Bucket(i)
	}
	for _, then := range m {
		if n := &d.buckets[then.bucket]; *n >= then.n {
			*n -= then.n
		}
	}
	return d
}

// plus adds counts; the result stops at the largest int64.
func plus(a, b uint64) uint64 { return min(a+b, math.MaxInt64) }
