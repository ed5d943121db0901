package balance

// Tried is the set of hosts that one connection has already tried. The zero value is empty.
type Tried struct {
	low   uint64   // hosts 0 to 63
	high  []uint64 // the others; allocated when one of them is tried
	count int
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
}
