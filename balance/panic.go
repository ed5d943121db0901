package balance

import "sync/atomic"

// calmSize is the size of the largest group that does not panic: in one of a few hosts, one or two that are out are no crowd.
const calmSize = 3

// maxRecounts bounds how often one counts again because others have counted at the same time.
const maxRecounts = 64

// panicking reports whether fewer than half of the hosts that get clients are well. So many are hardly all bad: more likely the checks
// are, or the load is too high, and would break those that are left. Then ejections and checks that failed count for nothing.
// Connections that failed do: that is known first hand, and trying would cost each client that time.
//
// It is a bit of a word in the first host's lines, above which the number of counts stands. Whoever changes a host's state counts
// again, so the last count is of the last state.
func (h *Hosts) panicking() bool {
	return len(h.ids) > calmSize && atomic.LoadUint64(h.word(0, linePanic))&1 != 0
}

// recount finds out whether the group panics now that the state of a host has changed. It returns Panicked or Calmed if that is new.
func (h *Hosts) recount() State {
	if len(h.ids) <= calmSize {
		return Unchanged
	}
	p := h.word(0, linePanic)
	for range maxRecounts {
		old, chosen, well := atomic.LoadUint64(p), 0, 0
		for i := range h.ids {
			if h.gets(i) {
				chosen++
				if h.well(i) {
					well++
				}
			}
		}
		next := (old>>1 + 1) << 1
		if chosen > calmSize && 2*well < chosen {
			next |= 1
		}
		if !atomic.CompareAndSwapUint64(p, old, next) {
			continue
		}
		switch {
		case next&1 == old&1:
			return Unchanged
		case next&1 != 0:
			return Panicked
		}
		return Calmed
	}
	return Unchanged
}
