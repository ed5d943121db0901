package balance

import "sync/atomic"

// The values of lineDrain: whether a host is drained. It is in shared memory, so that holders of leases of an earlier configuration, in
// which the host is not drained, know it too.
const (
	drainNo   = iota
	drainYes  // drained, and there may be leases left
	drainDone // drained, no lease is left, and that was reported
)

// Enforce makes g the group in force: it publishes which of its hosts are drained and recounts the healthy ones. Each process calls it
// once per group.
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
	h.recount() // the hosts may have changed; a change of the panic state is not worth a log line here
}

// Draining reports whether host i gets only sticky clients.
func (h *Hosts) Draining(i int) bool { return h.drainedBy(i, h.counters.line(h.ids[i])) }

// drained reports whether the draining host i has lost its last lease. It returns true to one caller only, which must report that.
func (h *Hosts) drained(i int) bool {
	p := h.word(i, lineDrain)
	return atomic.LoadUint64(p) == drainYes && h.Active(i) <= 0 && atomic.CompareAndSwapUint64(p, drainYes, drainDone)
}

// heldAgain notes that the draining host i has a lease again.
func (h *Hosts) heldAgain(i int) {
	if h.Draining(i) {
		atomic.CompareAndSwapUint64(h.word(i, lineDrain), drainDone, drainYes)
	}
}
