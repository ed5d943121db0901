package engine

import "math/bits"

// The wheel has wheelSlots slots of tickMillis each, so a turn takes 65.5 s. A deadline further away is examined once per
// turn.
const (
	tickMillis = 16
	wheelSlots = 4096
)

// Timer is a deadline. It is meant to be embedded by value; the zero value with a Handler is ready to be armed. The wheel owns
// its other fields.
//
// Timers are lazy: moving a deadline further away only stores it. When the time of the timer's slot comes, the timer is
// moved to the slot of its deadline. So activity on a connection costs one store.
type Timer struct {
	Handler    Handler
	next, prev *Timer
	deadline   int64 // ms on the loop's clock
	place      int64 // the tick of its slot, plus one; zero while it is in no slot
}

// linked reports whether t is in a slot.
func (t *Timer) linked() bool { return t.place != 0 }

// tick returns the tick of t's slot.
func (t *Timer) tick() int64 { return t.place - 1 }

// wheel is a hashed timing wheel with a bitmap of its occupied slots.
type wheel struct {
	slots [wheelSlots]*Timer // doubly linked lists
	used  [wheelSlots / 64]uint64
	tick  int64 // all slots before this tick have been processed
	count int
}

// arm sets t to expire at deadline (ms). It returns the tick at which the wheel must be processed for t.
func (w *wheel) arm(t *Timer, deadline int64) int64 {
	t.deadline = deadline
	if t.linked() {
		if t.tick() <= w.tickOf(deadline) {
			return t.tick()
		}
		w.remove(t)
	}
	w.put(t)
	return t.tick()
}

// tickOf returns the tick for a deadline. It is rounded up, because a timer may be late by a tick but never early. It is not in the past,
// and it is within the turn, one slot short of it, so that no timer is put into the slot that is being processed.
func (w *wheel) tickOf(deadline int64) int64 {
	last := w.tick + wheelSlots - 2
	if deadline > last*tickMillis {
		return last
	}
	return max((deadline+tickMillis-1)/tickMillis, w.tick)
}

func (w *wheel) put(t *Timer) {
	t.place = w.tickOf(t.deadline) + 1
	i := t.tick() % wheelSlots
	t.prev, t.next = nil, w.slots[i]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[i] = t
	w.used[i/64] |= 1 << (i % 64)
	w.count++
}

func (w *wheel) remove(t *Timer) {
	i := t.tick() % wheelSlots
	if t.prev != nil {
		t.prev.next = t.next
	} else if w.slots[i] = t.next; t.next == nil {
		w.used[i/64] &^= 1 << (i % 64)
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next, t.place = nil, nil, 0
	w.count--
}

// next returns the first tick whose slot is occupied; false if the wheel is empty.
func (w *wheel) next() (int64, bool) {
	if w.count == 0 {
		return 0, false
	}
	start := w.tick % wheelSlots
	first, words := start/64, int64(len(w.used))
	for n := int64(0); n <= words; n++ {
		word := (first + n) % words
		set := w.used[word]
		switch n {
		case 0:
			set &= ^uint64(0) << (start % 64)
		case words: // the rest of the first word, nearly a turn ahead
			set &= 1<<(start%64) - 1
		}
		if set != 0 {
			slot := word*64 + int64(bits.TrailingZeros64(set))
			return w.tick + (slot-start+wheelSlots)%wheelSlots, true
		}
	}
	return 0, false
}

// advance calls Expired for every timer whose deadline is not after now (ms), and moves timers that were postponed. A
// handler may arm and disarm any timer.
func (w *wheel) advance(now int64) {
	last := now / tickMillis
	for {
		tick, ok := w.next()
		if !ok || tick > last {
			break
		}
		// From here on no timer is put into this slot (tickOf), so the loop ends.
		w.tick = tick + 1
		for i := tick % wheelSlots; w.slots[i] != nil; {
			t := w.slots[i]
			w.remove(t)
			if t.deadline <= now {
				t.Handler.Expired(t)
			} else {
				w.put(t)
			}
		}
	}
	w.tick = max(w.tick, last+1)
}
