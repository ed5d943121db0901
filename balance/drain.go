package balance

import "sync/atomic"

// draining says in shared memory whether a host is drained, for those too who hold leases of a configuration in which it is not.
const (
	drainNo   = iota
	drainYes  // it is, and somebody may hold it yet
	drainDone // nobody does, and people were told
)

// Enforce says that g is of the configuration that is in force now: which of its hosts are drained, and how many are well. Each process
// says so once for each group.
func (g *Group) Enforce() {
	h := &g.hosts
	for i := range h.ids {
		p := h.word(i, lineDrain)
		switch now := atomic.LoadUint64(p); {
		case !h.Draining(i) && now != drainNo:
			atomic.StoreUint64(p, drainNo)
		case h.Draining(i) && now != drainYes && now != drainDone:
			atomic.CompareAndSwapUint64(p, now, drainYes)
		}
	}
	h.countOrders()
	h.recount() // of other hosts than before, perhaps; nothing has happened that people should know of
}

// Draining reports whether host i gets no other clients than those who are stuck to it.
func (h *Hosts) Draining(i int) bool { return h.drainedBy(i, h.counters.line(h.ids[i])) }

// drained reports whether nobody holds host i any more, which is drained, and people are to be told so by the caller.
func (h *Hosts) drained(i int) bool {
	p := h.word(i, lineDrain)
	return atomic.LoadUint64(p) == drainYes && h.Active(i) <= 0 && atomic.CompareAndSwapUint64(p, drainYes, drainDone)
}

// heldAgain says that somebody holds host i, which may have been told to be drained.
func (h *Hosts) heldAgain(i int) {
	if h.Draining(i) {
		atomic.CompareAndSwapUint64(h.word(i, lineDrain), drainDone, drainYes)
	}
}
