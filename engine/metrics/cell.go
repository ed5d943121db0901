package metrics

import (
	"math"
	"sync/atomic"
	"time"
)

// A Counter only rises. It is added to by the row's writer alone, and may be read by anyone.
type Counter struct{ word uint64 }

// Add counts n more. It is a plain addition: an aligned word is written whole, and there is nobody else who writes it.
func (c *Counter) Add(n uint64) { c.word += n }

// Value is what was counted.
func (c *Counter) Value() uint64 { return min(atomic.LoadUint64(&c.word), math.MaxInt64) }

// A Tally is a Counter that any goroutine of the row's process may add to.
type Tally struct{ word uint64 }

// Add counts n more.
func (t *Tally) Add(n uint64) { atomic.AddUint64(&t.word, n) }

// Value is what was counted.
func (t *Tally) Value() uint64 { return min(atomic.LoadUint64(&t.word), math.MaxInt64) }

// A Timespan is a Counter of time.
type Timespan struct{ word uint64 }

// Add counts ns nanoseconds more; negative ones are none.
func (t *Timespan) Add(ns int64) { t.word += uint64(max(ns, 0)) }

// Value is how long it was altogether.
func (t *Timespan) Value() time.Duration {
	return time.Duration(min(atomic.LoadUint64(&t.word), math.MaxInt64))
}

// A Gauge rises and falls. It is of what a writer holds, so it ends with the writer: see Table.ClearGauges. It is changed by the row's
// writer alone, and may be read by anyone.
type Gauge struct{ word uint64 }

// Add makes it n more, or less.
func (g *Gauge) Add(n int64) { g.word += uint64(n) }

// Value is the gauge's value, which is never negative.
func (g *Gauge) Value() int64 { return int64(held(atomic.LoadUint64(&g.word))) }

// held is the value of a gauge's word: a negative one can only come from damage.
func held(word uint64) uint64 {
	if word > math.MaxInt64 {
		return 0
	}
	return word
}

// A Moment is a time of day, in ns since 1970, which any goroutine of the process may set; zero is never.
type Moment struct{ word uint64 }

// Set makes it t.
func (m *Moment) Set(t time.Time) { atomic.StoreUint64(&m.word, uint64(t.UnixNano())) }

// Value is the time; the zero time is never.
func (m *Moment) Value() time.Time {
	word := atomic.LoadUint64(&m.word)
	if word == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(word))
}
