package metrics

import (
	"math"
	"sync/atomic"
	"time"
)

// A Counter only rises. Only the row's writer may add to it; anyone may read it.
type Counter struct{ word uint64 }

// Add adds n. It is a plain addition: an aligned word is written atomically, and there is only one writer.
func (c *Counter) Add(n uint64) { c.word += n }

// Value returns the count.
func (c *Counter) Value() uint64 { return min(atomic.LoadUint64(&c.word), math.MaxInt64) }

// A Tally is a Counter that any goroutine of the row's process may add to.
type Tally struct{ word uint64 }

// Add counts n more.
func (t *Tally) Add(n uint64) { atomic.AddUint64(&t.word, n) }

// Value returns the count.
func (t *Tally) Value() uint64 { return min(atomic.LoadUint64(&t.word), math.MaxInt64) }

// A Timespan is a Counter of time.
type Timespan struct{ word uint64 }

// Add adds ns nanoseconds; a negative value counts as zero.
func (t *Timespan) Add(ns int64) { t.word += uint64(max(ns, 0)) }

// Value returns the total time.
func (t *Timespan) Value() time.Duration {
	return time.Duration(min(atomic.LoadUint64(&t.word), math.MaxInt64))
}

// A Gauge rises and falls. It counts what a writer currently holds, so it is cleared when the writer ends: see Table.ClearGauges. Only the
// row's writer may change it; anyone may read it.
type Gauge struct{ word uint64 }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.word += uint64(n) }

// Value returns the gauge's value, which is never negative.
func (g *Gauge) Value() int64 { return int64(held(atomic.LoadUint64(&g.word))) }

// held returns the value of a gauge's word; a negative value, which only damage can cause, counts as zero.
func held(word uint64) uint64 {
	if word > math.MaxInt64 {
		return 0
	}
	return word
}

// A Moment is a time of day, in ns since 1970, which any goroutine of the process may set; zero means never.
type Moment struct{ word uint64 }

// Set sets it to t.
func (m *Moment) Set(t time.Time) { atomic.StoreUint64(&m.word, uint64(t.UnixNano())) }

// Value returns the time; the zero time means never.
func (m *Moment) Value() time.Time {
	word := atomic.LoadUint64(&m.word)
	if word == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(word))
}
