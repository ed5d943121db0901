package balance

// Tried is the set of hosts that one connection has already tried, and what came up while one was chosen for it. The zero
// value is empty.
type Tried struct {
	low   uint64   // hosts 0 to 63
	high  []uint64 // the others; allocated when one of them is tried
	count int

	choice
}

// choice is what came up while a host was chosen.
type choice struct {
	now       int64 // in ms on CLOCK_MONOTONIC
	tier      int   // which of the group's tiers is in turn
	due       int32 // one more than a host that was passed over though its pause is over, or zero
	trial     int32 // one more than a host that was passed over though its ejection is over, or zero
	drained   int32 // one more than a host that was passed over and is drained now, or zero
	passed    bool  // a host was passed over since it is unfit
	desperate bool  // hosts that are unfit will do
	stuck     bool  // the client is to have the host that it had before
	full      bool  // a host was passed over since it has no room
}

// begin prepares a choice.
func (t *Tried) begin(now int64) { t.choice = choice{now: now} }

// again prepares a choice anew because the one that was made did not hold.
func (t *Tried) again() {
	t.choice = choice{now: t.now, drained: t.drained}
}

// Due is a host that the last Acquire has passed over since it is down, and that it is time to probe; false if there is none.
func (t *Tried) Due() (int, bool) { return int(t.due) - 1, t.passed && t.due > 0 }

// Full reports whether the last Acquire, which had no host to offer, would have had one but for the bound on its leases.
func (t *Tried) Full() bool { return t.full }

// News is what people are to be told of a host that the last Acquire has passed over; Unchanged if there is nothing.
func (t *Tried) News() (host int, c Change) {
	if t.drained == 0 {
		return -1, Change{}
	}
	return int(t.drained) - 1, Change{State: Drained}
}

// Add puts host i into the set.
func (t *Tried) Add(i int) {
	if t.Has(i) {
		return
	}
	t.count++
	if i < 64 {
		t.low |= 1 << i
		return
	}
	word := i/64 - 1
	if word >= len(t.high) {
		t.high = append(t.high, make([]uint64, word+1-len(t.high))...)
	}
	t.high[word] |= 1 << (i % 64)
}

// Has reports whether host i is in the set.
func (t *Tried) Has(i int) bool {
	if i < 64 {
		return t.low&(1<<i) != 0
	}
	word := i/64 - 1
	return word < len(t.high) && t.high[word]&(1<<(i%64)) != 0
}

// Count is how many hosts are in the set.
func (t *Tried) Count() int { return t.count }

// Clear empties the set and keeps its memory.
func (t *Tried) Clear() {
	clear(t.high)
	t.low, t.count = 0, 0
	t.begin(0)
}
