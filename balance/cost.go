package balance

import (
	"math"
	"time"
)

// cost is what a host's answers take: the peak of its latencies, which fades: a latency above it takes its place at once, one
// below it pulls it down by the time that has passed (an exponentially weighted moving average that believes bad news at once,
// as Finagle has it). It is one word, so that all processes can share it: microseconds in the upper half, and below
// when that was, in ms on CLOCK_MONOTONIC modulo 2^32. Zero means that nothing is known.
type cost uint64

// costHalf is the time, in ms, after which half of the difference between a peak and what came later is gone: it fades by
// e^-(t/10 s).
const costHalf = 6931

func costOf(us uint32, now int64) cost { return cost(us)<<32 | cost(uint32(now)) }

// peak is what the answers took when that was.
func (c cost) peak() time.Duration { return time.Duration(c>>32) * time.Microsecond }

// after is c after one more latency.
func (c cost) after(latency time.Duration, now int64) cost {
	us := uint32(min(max(latency.Microseconds(), 1), math.MaxUint32))
	old := uint32(c >> 32)
	if us >= old {
		return costOf(us, now)
	}
	next := us + fade(old-us, c.age(now))
	if next == old {
		return c // as of before, so that time that is too short to show adds up
	}
	return costOf(next, now)
}

// at is the cost in microseconds for one who chooses now; zero if nothing is known, or nothing any more. What a host has not
// confirmed for long is forgotten, so that one that was slow once gets another chance.
func (c cost) at(now int64) uint32 {
	us, age := uint32(c>>32), c.age(now)
	if age < costHalf/64 {
		return us // but for 1%
	}
	return fade(us, age)
}

// age is how old c is, in ms. Processes see each other's words a little early or late.
func (c cost) age(now int64) uint32 { return uint32(max(int32(uint32(now)-uint32(c)), 0)) }

// fade is us times 2^-(ms/costHalf). Between two halvings it follows the parabola through both that begins as steeply as the curve
// does: it is 0.8% off at most, and many short times come to what a long one does. Rounded up, so that what does not come to a whole
// microsecond yet is not taken away too early.
func fade(us, ms uint32) uint32 {
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
