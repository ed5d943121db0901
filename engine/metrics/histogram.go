package metrics

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is how many buckets a histogram has: 8 an octave, from 2^-20 s (about 1 us) to 2^6 s (64 s). Those are the buckets that Prometheus's
// native histograms have at schema 3, so nothing is lost on the way there. What is shorter is in the first, and what is longer in the last.
const Buckets = octaves * perOctave

const (
	octaves   = 26
	perOctave = 8
	// A tick is 2^-30 s; the first bucket begins at 2^minBits of them, and the last ends at 2^maxBits.
	tickBits = 30
	minBits  = tickBits - 20
	maxBits  = minBits + octaves
)

// A Histogram says how long something took. It is added to by the row's writer alone, and may be read by anyone.
type Histogram struct {
	buckets [Buckets]uint64
	sum     uint64 // ns
}

// Observe counts one that took ns nanoseconds; less than none is none.
func (h *Histogram) Observe(ns int64) {
	n := uint64(max(ns, 0))
	h.buckets[bucket(n)]++
	h.sum += n
}

// ticksPerNS is how much a tick is shorter than a nanosecond: 2^30/10^9 - 1, as a fraction of 2^64.
const ticksPerNS = (1<<tickBits - 1_000_000_000) << 64 / 1_000_000_000

// thresholds are where, in an octave whose mantissa is a fraction of 2^64, the buckets behind the first begin: 2^(i/8) - 1. There are eight as
// there are eights of an octave, and one of them lies in each but the last.
var thresholds = func() (t [perOctave]uint64) {
	for i := range perOctave - 1 {
		t[i] = uint64((math.Exp2(float64(i+1)/perOctave)-1)*(1<<53)) << 11
	}
	t[perOctave-1] = math.MaxUint64
	return t
}()

// bucket is the index of the bucket for ns nanoseconds, which fit into an int64.
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

// Bound is where bucket i ends, in seconds, for i from -1 (where the first begins) to Buckets-1. As a bucket of a native histogram of schema 3,
// i has the index NativeIndex(i).
func Bound(i int) float64 { return math.Exp2(float64(i+1)/perOctave + minBits - tickBits) }

// NativeSchema is the schema of Prometheus's native histograms that has these buckets, and NativeIndex the index of bucket i there.
const NativeSchema = 3

// NativeIndex is the index of bucket i in a native histogram.
func NativeIndex(i int) int { return i + 1 + (minBits-tickBits)*perOctave }

// Bucket is how many are in bucket i.
func (h *Histogram) Bucket(i int) uint64 {
	return min(atomic.LoadUint64(&h.buckets[i]), math.MaxInt64)
}

// Count is how many there are.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.buckets {
		n = plus(n, h.Bucket(i))
	}
	return n
}

// Sum is how long all of them took.
func (h *Histogram) Sum() time.Duration {
	return time.Duration(min(atomic.LoadUint64(&h.sum), math.MaxInt64))
}

// Quantile is how long the fastest took of which q is the share, from 0 to 1: with 0.5, the median. It is right to the width of a bucket,
// 9 percent. Of none it is zero.
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
	return time.Duration(float64(time.Second) * Bound(last)) // the total was rounded
}

// A Mark says what was in a histogram at some time.
type Mark []marked

// marked is a bucket that was not empty.
type marked struct {
	bucket uint8
	n      uint64
}

// Mark is what is in h.
func (h *Histogram) Mark() Mark {
	var m Mark
	for i := range h.buckets {
		if n := h.Bucket(i); n > 0 {
			m = append(m, marked{uint8(i), n})
		}
	}
	return m
}

// Since is what has come into h since m, without the sum. A bucket with less in it than then began anew.
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

// plus adds counts up; what is too much for an int64 is as much as that can be.
func plus(a, b uint64) uint64 { return min(a+b, math.MaxInt64) }
