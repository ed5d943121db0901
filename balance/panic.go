package balance

import "sync/atomic"

// calmSize is the size of the largest group that never panics: of a few hosts, one or two that are out prove nothing.
const calmSize = 3

// maxRecounts bounds how often a count is repeated because others have counted at the same time.
const maxRecounts = 64

// panicking reports whether fewer than half of the hosts that get clients are healthy. It is unlikely that so many are really bad: rather the
// checks are wrong, or the load is too high and would break the remaining hosts too. Then ejections and failed checks are ignored. Failed
// connections still count: they are first-hand knowledge, and each attempt would cost a client time.
//
// The state is the lowest bit of a word of the group's first host; the bits above number the counts. Everyone who changes a host's state
// counts again, so the last count has seen the last state.
func (h *Hosts) panicking() bool {
	return len(h.ids) > calmSize && atomic.LoadUint64(h.word(0, linePanic))&1 != 0
}

// recount updates the panic state after a host's state has changed. It returns Panicked or Calmed if the panic state has changed.
func (h *Hosts) recount() State {
	if len(h.ids) <= calmSize {
		return Unchanged
	}
	p := h.word(0, linePanic)
	for range maxRecounts {
		old, chosen, well := atomic.LoadUint64(p), 0, 0
		for i := range h.ids {
			if h.getsClients(i) {
				chosen++
				if h.healthy(i) {
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
