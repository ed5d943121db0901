package balance

import (
	"cmp"
	"sync/atomic"
)

// failing is zero unless a host fails its active checks. Else it holds the start of the failure, in ms on CLOCK_MONOTONIC, above a set
// lowest bit.
type failing uint64

func failingSince(now int64) failing { return failing(now)<<1 | 1 }

// FailsChecks reports whether host i fails its active checks, according to SetChecked.
func (h *Hosts) FailsChecks(i int) bool { return atomic.LoadUint64(h.word(i, lineFails)) != 0 }

// SetChecked records the result of active checks, after their thresholds: host i is up or down. A passing result may be reported
// repeatedly; it ends an ejection. The first pass after a failure also clears what is recorded of failed connections. The time now is
// as for Acquire; callers outside the loops use Now.
func (h *Hosts) SetChecked(i int, up bool, now int64) Change {
	p := h.word(i, lineFails)
	if !up {
		if !atomic.CompareAndSwapUint64(p, 0, uint64(failingSince(now))) {
			return Change{}
		}
		return Change{State: CheckFailed, Panic: h.recount()}
	}
	var c Change
	if e := ejection(atomic.LoadUint64(h.word(i, lineEjected))); e != 0 {
		c = h.endEjection(i, e, now)
	}
	old := failing(atomic.LoadUint64(p))
	if old == 0 || !atomic.CompareAndSwapUint64(p, uint64(old), 0) {
		return c
	}
	atomic.StoreUint64(h.word(i, lineHealth), 0)
	atomic.StoreUint64(h.word(i, lineSince), 0)
	h.startSlowStart(i, now)
	return Change{State: CheckPassed, Since: since(uint64(old>>1), now), Panic: cmp.Or(h.recount(), c.Panic)}
}
