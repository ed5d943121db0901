package balance

// Tried is the set of hosts that one connection has already tried, and what came up while one was chosen for it. The zero
// value is empty.
type Tried struct {
	low   uint64   // hosts 0 to 63
	high  []uint64 // the others; allocated when one of them is tried
	count int

	now       int64 // of the choice, in ms on CLOCK_MONOTONIC
	due       int   // a host that was passed over though its pause is over, or -1
	passed    bool  // a host was passed over since it is down
	desperate bool  // hosts that are down will do
}

// begin prepares a choice.
func (t *Tried) begin(now int64) { t.now, t.due, t.passed, t.desperate = now, -1, false, false }

// Due is a host that the last Acquire has passed over since it is down, and that it is time to probe; false if there is none.
func (t *Tried) Due() (int, bool) { return t.due, t.passed && t.due >= 0 }

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
