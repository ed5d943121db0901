package balance

import (
	"sync/atomic"
	"time"
)

// Times that count where a Passive has none.
const (
	usualWindow = 10 * time.Second
	usualEject  = 10 * time.Second
)

// trialTime is how long, in ms, the lease that tries an ejected host may take before another may try too. So the trial of a process
// that died ends by itself.
const trialTime = 10 * 1000

// rules are a Passive as it is applied, times in ms.
type rules struct {
	off                     bool
	failures                int64 // zero if none is enough
	window, eject, maxEject int64
}

func (p Passive) rules() rules {
	if p.Off {
		return rules{off: true}
	}
	r := rules{failures: int64(max(p.Failures, 0)), window: milliseconds(p.Window, usualWindow), eject: milliseconds(p.Eject, usualEject)}
	r.maxEject = max(milliseconds(p.MaxEject, 0), r.eject)
	return r
}

// ejection is zero unless a host is ejected: it was reached, and erred too often. Else it holds in the low byte how often that
// came of late, and above that when it is over, in ms on CLOCK_MONOTONIC. When that time has come, one lease claims the host for a
// trial, by putting the end off; how it ends decides. As with health, one of all who see a change makes it.
type ejection uint64

func ejectedUntil(until int64, times uint8) ejection { return ejection(until)<<8 | ejection(times) }

func (e ejection) times() uint8 { return uint8(e) }

// over reports whether it is time for a trial. What says that it is over later than it could be is damaged.
func (r *rules) over(e ejection, now int64) bool {
	until := int64(e >> 8)
	return until <= now || until > now+r.maxEject+trialTime
}

// window holds how many leases have erred in the low 16 bits, and above that since when, in ms on CLOCK_MONOTONIC.
type window uint64

// with is w with one more failure.
func (w window) with(now, length int64) window {
	began, n := int64(w>>16), w&0xffff
	if n == 0 || began > now || now-began >= length {
		return window(now)<<16 | 1
	}
	return window(began)<<16 | min(n+1, 0xffff)
}

func (w window) failures() int64 { return int64(w & 0xffff) }

// spell holds in the low byte how often a host was ejected of late, and above that when the present ejection began, or, if there
// is none, when the last one ended; in ms on CLOCK_MONOTONIC. When it has served for as long as an ejection may last, it is a host
// like any other again.
type spell uint64

func newSpell(at int64, times uint8) spell { return spell(at)<<8 | spell(times) }

func (s spell) at() int64 { return int64(s >> 8) }

// times is how often an ejection that begins now came of late.
func (s spell) times(now, memory int64) uint8 {
	if s.at() > now || now-s.at() >= memory {
		return 1
	}
	return uint8(min(s&0xff+1, 0xff))
}

// claimTrial claims host i, which is ejected, for a trial, if it is time. It returns the claim, or zero.
func (h *Hosts) claimTrial(i int, now int64) ejection {
	p := h.word(i, lineEjected)
	old := ejection(atomic.LoadUint64(p))
	if old == 0 || !h.passive.over(old, now) {
		return 0
	}
	claim := ejectedUntil(now+trialTime, max(old.times(), 1))
	if !atomic.CompareAndSwapUint64(p, uint64(old), uint64(claim)) {
		return 0
	}
	return claim
}

// leaveTrial gives the claim of a trial that has shown nothing back: another may try at once.
func (h *Hosts) leaveTrial(i int, claim ejection, now int64) {
	if claim != 0 {
		atomic.CompareAndSwapUint64(h.word(i, lineEjected), uint64(claim), uint64(ejectedUntil(now, claim.times())))
	}
}

// erred says that a lease of host i has ended Erred, and why, and that it was the trial if claim is not zero. Those that began before the host
// was ejected say nothing new.
func (h *Hosts) erred(i int, claim ejection, why Cause, now int64) Change {
	if old := ejection(atomic.LoadUint64(h.word(i, lineEjected))); old != 0 {
		if old != claim && !h.passive.over(old, now) {
			return Change{}
		}
		return h.eject(i, old, why, 1, now)
	}
	p := h.word(i, lineWindow)
	for {
		old := window(atomic.LoadUint64(p))
		next := old.with(now, h.passive.window)
		if !atomic.CompareAndSwapUint64(p, uint64(old), uint64(next)) {
			continue
		}
		if next.failures() < h.passive.failures {
			return Change{}
		}
		return h.eject(i, 0, why, next.failures(), now)
	}
}

// eject ejects host i after so many failures, or anew if old is not zero; unless somebody else has.
func (h *Hosts) eject(i int, old ejection, why Cause, failures, now int64) Change {
	last := spell(atomic.LoadUint64(h.word(i, lineSpell)))
	began, times := now, last.times(now, h.passive.maxEject)
	if old != 0 {
		began, times = last.at(), max(uint8(min(int(old.times())+1, 0xff)), 1)
	}
	pause := min(h.passive.eject<<min(times-1, 16), h.passive.maxEject)
	if !atomic.CompareAndSwapUint64(h.word(i, lineEjected), uint64(old), uint64(ejectedUntil(now+pause, times))) {
		return Change{}
	}
	atomic.StoreUint64(h.word(i, lineSpell), uint64(newSpell(began, times)))
	atomic.StoreUint64(h.word(i, lineWindow), 0)
	h.Blame(i, Out, why)
	return Change{State: Ejected, Pause: time.Duration(pause) * time.Millisecond, Failed: failures, Panic: h.recount()}
}

// served says that a lease of host i has ended Served, and that it was the trial if claim is not zero.
func (h *Hosts) served(i int, claim ejection, now int64) Change {
	old := ejection(atomic.LoadUint64(h.word(i, lineEjected)))
	if old == 0 || old != claim && !h.passive.over(old, now) {
		return Change{}
	}
	return h.takeBack(i, old, now)
}

// takeBack ends the ejection of host i, unless somebody else has.
func (h *Hosts) takeBack(i int, old ejection, now int64) Change {
	began := uint64(spell(atomic.LoadUint64(h.word(i, lineSpell))).at())
	if !atomic.CompareAndSwapUint64(h.word(i, lineEjected), uint64(old), 0) {
		return Change{}
	}
	atomic.StoreUint64(h.word(i, lineSpell), uint64(newSpell(now, old.times())))
	h.cameBack(i, now)
	return Change{State: Returned, Since: since(began, now), Panic: h.recount()}
}
