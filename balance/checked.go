package balance

import (
	"cmp"
	"sync/atomic"
)

// failing is zero unless a host fails its active checks. Else it holds since when, in ms on CLOCK_MONOTONIC, above a bit that is set.
type failing uint64

func failingSince(now int64) failing { return failing(now)<<1 | 1 }

// FailsChecks reports whether host i is failing its active checks, as far as that was said by SetChecked.
func (h *Hosts) FailsChecks(i int) bool { return atomic.LoadUint64(h.word(i, lineFails)) != 0 }

// SetChecked says what active checks have found: host i is up or down now, as far as they are to be believed. Those that pass may
// be told each time: one ends an ejection. The first one that passes again ends what is known of failed connections too. Now is
// as for Acquire; off the loops it comes from Now.
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
		c = h.takeBack(i, e, now)
	}
	old := failing(atomic.LoadUint64(p))
	if old == 0 || !atomic.CompareAndSwapUint64(p, uint64(old), 0) {
		return c
	}
	atomic.StoreUint64(h.word(i, lineHealth), 0)
	atomic.StoreUint64(h.word(i, lineSince), 0)
	h.cameBack(i, now)
	return Change{State: CheckPassed, Since: since(uint64(old>>1), now), Panic: cmp.Or(h.recount(), c.Panic)}
}
