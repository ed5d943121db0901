package balance

import (
	"sync/atomic"
	"time"
)

// Defaults for a Passive that has no times.
const (
	usualWindow = 10 * time.Second
	usualEject  = 10 * time.Second
)

// trialTime is how long, in ms, the trial of an ejected host may take before another lease may try it. So the trial of a process that
// died expires.
const trialTime = 10 * 1000

// rules are a Passive in the form in which it is applied, with times in ms.
type rules struct {
	off                     bool
	failures                int64 // zero if hosts are not ejected
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

// ejection is zero unless a host is ejected because it was reached and erred too often. Else the low byte holds how many ejections there
// were of late, and the bits above it hold the end of this one, in ms on CLOCK_MONOTONIC. After that time one lease claims the host for a
// trial by postponing the end; the outcome of the trial decides. As with health, a compare-and-swap makes sure that each change has one author.
type ejection uint64

func ejectedUntil(until int64, times uint8) ejection { return ejection(until)<<8 | ejection(times) }

func (e ejection) times() uint8 { return uint8(e) }

// trialDue reports whether it is time for a trial. An end further ahead than possible comes from a damaged word, and makes a trial due.
func (r *rules) trialDue(e ejection, now int64) bool {
	until := int64(e >> 8)
	return until <= now || until > now+r.maxEject+trialTime
}

// window holds the number of erred leases in the low 16 bits, and above them the start of the window, in ms on CLOCK_MONOTONIC.
type window uint64

// with returns w with one more failure.
func (w window) with(now, length int64) window {
	began, n := int64(w>>16), w&0xffff
	if n == 0 || began > now || now-began >= length {
		return window(now)<<16 | 1
	}
	return window(began)<<16 | min(n+1, 0xffff)
}

func (w window) failures() int64 { return int64(w & 0xffff) }

// ejectionHistory holds in the low byte how many ejections a host had of late. Above it is when the current ejection began or, if there is none, when
// the last one ended, in ms on CLOCK_MONOTONIC. A host that has served for as long as the longest ejection starts from one again.
type ejectionHistory uint64

func newEjectionHistory(at int64, times uint8) ejectionHistory {
	return ejectionHistory(at)<<8 | ejectionHistory(times)
}

func (s ejectionHistory) at() int64 { return int64(s >> 8) }

// times returns the number of recent ejections, including one that begins now.
func (s ejectionHistory) times(now, memory int64) uint8 {
	if s.at() > now || now-s.at() >= memory {
		return 1
	}
	return uint8(min(s&0xff+1, 0xff))
}

// claimTrial claims the ejected host i for a trial if that is due. It returns the claim, or zero.
func (h *Hosts) claimTrial(i int, now int64) ejection {
	p := h.word(i, lineEjected)
	old := ejection(atomic.LoadUint64(p))
	if old == 0 || !h.passive.trialDue(old, now) {
		return 0
	}
	claim := ejectedUntil(now+trialTime, max(old.times(), 1))
	if !atomic.CompareAndSwapUint64(p, uint64(old), uint64(claim)) {
		return 0
	}
	return claim
}

// releaseTrial gives back the claim of an inconclusive trial, so that another lease may try at once.
func (h *Hosts) releaseTrial(i int, claim ejection, now int64) {
	if claim != 0 {
		atomic.CompareAndSwapUint64(h.word(i, lineEjected), uint64(claim), uint64(ejectedUntil(now, claim.times())))
	}
}

// erred handles a lease of host i that ended Erred; claim is not zero if the lease was a trial. A lease that began before the host was
// ejected does not count.
func (h *Hosts) erred(i int, claim ejection, why Cause, now int64) Change {
	if old := ejection(atomic.LoadUint64(h.word(i, lineEjected))); old != 0 {
		if old != claim && !h.passive.trialDue(old, now) {
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

// eject ejects host i after this number of failures, or extends the ejection old if that is not zero. It does nothing if another writer
// was first.
func (h *Hosts) eject(i int, old ejection, why Cause, failures, now int64) Change {
	last := ejectionHistory(atomic.LoadUint64(h.word(i, lineEjections)))
	began, times := now, last.times(now, h.passive.maxEject)
	if old != 0 {
		began, times = last.at(), max(uint8(min(int(old.times())+1, 0xff)), 1)
	}
	pause := min(h.passive.eject<<min(times-1, 16), h.passive.maxEject)
	if !atomic.CompareAndSwapUint64(h.word(i, lineEjected), uint64(old), uint64(ejectedUntil(now+pause, times))) {
		return Change{}
	}
	atomic.StoreUint64(h.word(i, lineEjections), uint64(newEjectionHistory(began, times)))
	atomic.StoreUint64(h.word(i, lineWindow), 0)
	h.Blame(i, Out, why)
	return Change{State: Ejected, Pause: time.Duration(pause) * time.Millisecond, Failed: failures, Panic: h.recount()}
}

// served handles a lease of host i that ended Served; claim is not zero if the lease was a trial.
func (h *Hosts) served(i int, claim ejection, now int64) Change {
	old := ejection(atomic.LoadUint64(h.word(i, lineEjected)))
	if old == 0 || old != claim && !h.passive.trialDue(old, now) {
		return Change{}
	}
	return h.endEjection(i, old, now)
}

// endEjection ends the ejection of host i. It does nothing if another writer was first.
func (h *Hosts) endEjection(i int, old ejection, now int64) Change {
	began := uint64(ejectionHistory(atomic.LoadUint64(h.word(i, lineEjections))).at())
	if !atomic.CompareAndSwapUint64(h.word(i, lineEjected), uint64(old), 0) {
		return Change{}
	}
	atomic.StoreUint64(h.word(i, lineEjections), uint64(newEjectionHistory(now, old.times())))
	h.startSlowStart(i, now)
	return Change{State: Returned, Since: since(began, now), Panic: h.recount()}
}
