package engine_test

import (
	"testing"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// The reported busy and waiting times add up to the total time, and work counts as busy.
func TestBusyAndWaited(t *testing.T) {
	t.Parallel()
	var told int
	var busy, waited, longest time.Duration // belong to the loop
	loop := enginetest.Start(t, engine.Options{Ran: func(b, w time.Duration) {
		told++
		busy, waited, longest = busy+b, waited+w, max(longest, b)
	}})
	var from, before, to int64
	loop.Do(func() { from, before = loop.Began(), int64(busy+waited) })
	const work = 20 * time.Millisecond
	loop.Do(func() {
		for begin := loop.Clock(); loop.Clock()-begin < int64(work); {
		}
	})
	for range 5 {
		loop.Do(func() {})
	}
	loop.Do(func() {
		to = loop.Began()
		if told < 3 || longest < work || busy < work || waited < 0 {
			t.Errorf("told %d times: busy for %v, %v at the longest, and waited for %v; want %v of work at least", told, busy, longest, waited, work)
		}
		if got := int64(busy+waited) - before; got != to-from {
			t.Errorf("what the loop is told adds up to %d ns, and %d have passed", got, to-from)
		}
		if recent := loop.Recent(); recent != to {
			t.Errorf("the clock was read last at %d, want %d, when the batch began", recent, to)
		}
		if now := loop.Clock(); now != loop.Recent() || now < loop.Began() || loop.Began()/int64(time.Millisecond) != loop.Now() {
			t.Errorf("the clock is at %d ns, the batch began at %d ns, which is %d ms", now, loop.Began(), loop.Now())
		}
	})
}
