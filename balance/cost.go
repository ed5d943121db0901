package balance

import (
	"math"
	"time"
)

// cost is a decaying peak of a host's latencies: a higher latency replaces it at once; a lower one pulls it down, the more the longer
// ago the peak was (an exponentially weighted moving average that takes bad news at once, like Finagle's peak EWMA). It is one word, so
// that all processes can share it: microseconds in the upper half, and the time of the update in the lower half, in ms on CLOCK_MONOTONIC
// modulo 2^32. Zero means that nothing is known.
type cost uint64

// costHalf is the half-life, in ms, of the difference between a peak and later latencies: the decay is e^-(t/10 s).
const costHalf = 6931

func costOf(us uint32, now int64) cost { return cost(us)<<32 | cost(uint32(now)) }

// peak returns the cost as of its last update.
func (c cost) peak() time.Duration { return time.Duration(c>>32) * time.Microsecond }

// after returns c updated by one more latency.
func (c cost) after(latency time.Duration, now int64) cost {
	us := uint32(min(max(latency.Microseconds(), 1), math.MaxUint32))
	old := uint32(c >> 32)
	if us >= old {
		return costOf(us, now)
	}
	next := us + decay(old-us, c.age(now))
	if next == old {
		return c // keep the old time, so that intervals too short to change the value add up
	}
	return costOf(next, now)
}

// at returns the cost in microseconds at the time now; zero if it is not known, or has decayed. A cost that no new latency confirms
// decays to zero, so that a host that was slow once gets another chance.
func (c cost) at(now int64) uint32 {
	us, age := uint32(c>>32), c.age(now)
	if age < costHalf/64 {
		return us // off by 1% at most
	}
	return decay(us, age)
}

// age returns the age of c in ms. Clock readings of other processes may be slightly ahead, so a negative age counts as zero.
func (c cost) age(now int64) uint32 { return uint32(max(int32(uint32(now)-uint32(c)), 0)) }

// decay returns us times 2^-(ms/costHalf). Between two halvings it uses the parabola through both points that begins with the slope of
// the curve: it is off by 0.8% at most, and many short intervals give the same result as one long interval. The result is rounded up,
// so that intervals that decay by less than a microsecond do not take away too much.
func decay(us, ms uint32) uint32 {
	const (
		one   = 1 << 32
		slope = one * 693147 / 1000000 // ln 2
	)
	halvings, part := ms/costHalf, uint64(ms%costHalf)*one/costHalf
	if halvings > 31 {
		return 0
	}
	gone := (slope - (slope-one/2)*part/one) * part / one
	return uint32((uint64(us>>halvings)*(one-gone) + one - 1) / one)
}
