package balance

// Tried is the set of hosts that one connection has tried, and what was noted during the last choice. The zero value is empty.
type Tried struct {
	low   uint64   // hosts 0 to 63
	high  []uint64 // the other hosts; allocated when one of them is tried
	count int

	choice
}

// choice is what is noted while a host is chosen.
type choice struct {
	now        int64 // in ms on CLOCK_MONOTONIC
	tier       int   // the current tier of the group
	due        int32 // one more than a skipped host that is due for a probe, or zero
	trial      int32 // one more than a skipped host that is due for a trial, or zero
	drained    int32 // one more than a skipped host that has just finished draining, or zero
	skipped    bool  // a host was skipped because it is unfit
	lastResort bool  // unfit hosts are usable too
	stuck      bool  // the client is sticky
	full       bool  // a host was skipped because it has no room
}

// begin prepares a choice.
func (t *Tried) begin(now int64) { t.choice = choice{now: now} }

// again prepares a repeated choice, because the chosen host lost its last place to another writer.
func (t *Tried) again() {
	t.choice = choice{now: t.now, drained: t.drained}
}

// Due returns a down host that the last Acquire skipped and that is due for a probe; false if there is none.
func (t *Tried) Due() (int, bool) { return int(t.due) - 1, t.skipped && t.due > 0 }

// Full reports whether the last Acquire failed only because of the bounds on leases.
func (t *Tried) Full() bool { return t.full }

// News returns what should be logged about a host that the last Acquire skipped; Unchanged if there is nothing.
func (t *Tried) News() (host int, c Change) {
	if t.drained == 0 {
		return -1, Change{}
	}
	return int(t.drained) - 1, Change{State: Drained}
}

// Add adds host i to the set.
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

// Count returns the number of hosts in the set.
func (t *Tried) Count() int { return t.count }

// Clear empties the set and keeps its memory.
func (t *Tried) Clear() {
	clear(t.high)
	t.low, t.count = 0, 0
	t.begin(0)
}
