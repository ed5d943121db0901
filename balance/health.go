package balance

import (
	"sync/atomic"
	"time"
)

// Times of a host that is down, in ms.
const (
	firstPause = 1000           // how long it is tried last after the first failure; doubled by each further failure
	maxPause   = 10 * 1000      // the longest pause
	maxAhead   = 10 * 60 * 1000 // no time in the table is further ahead; if a word says so, it is damaged
	remindMin  = 60 * 1000      // between two reminders at least; a reminder is due when the time that the host is down has doubled,
	remindMax  = 60 * 60 * 1000 // but at least once an hour
)

// MaxProbe bounds the duration of a probe.
const MaxProbe = maxAhead * time.Millisecond / 2

// health is zero while a host is up. While it is down the low byte holds how many pauses it has had, and the bits above hold the end of
// the current pause, in ms on CLOCK_MONOTONIC. A probe claims the host by postponing that end to the probe's own deadline, so that the
// claim of a process that died expires. As it is one word, a compare-and-swap makes sure that each change has one author.
type health uint64

func downFor(pauses int, until int64) health { return health(until)<<8 | health(pauses) }

func (h health) up() bool { return h == 0 }

// due reports whether the pause is over.
func (h health) due(now int64) bool {
	until := int64(h >> 8)
	return until <= now || until > now+maxAhead
}

// next returns h after one more failure, and the length of the new pause.
func (h health) next(now int64) (health, int64) {
	pauses := min(int(h&0xff)+1, 10)
	pause := min(firstPause<<(pauses-1), int64(maxPause))
	return downFor(pauses, now+pause), pause
}

// Down reports whether connections to host i fail, so that it is tried last.
func (h *Hosts) Down(i int) bool {
	return !h.passive.off && atomic.LoadUint64(h.word(i, lineHealth)) != 0
}

// Reached reports that the leased host has accepted a connection, so it is up. The time now is as for Acquire.
func (l *Lease) Reached(now int64) Change {
	h := &l.group.hosts
	line := h.counters.line(h.ids[l.host])
	for {
		old := atomic.LoadUint64(&line[lineHealth])
		if old == 0 || h.passive.off {
			return Change{}
		}
		began := atomic.LoadUint64(&line[lineSince])
		if atomic.CompareAndSwapUint64(&line[lineHealth], old, 0) {
			// The swap fails if the host has gone down again: then the word belongs to the new failure.
			atomic.CompareAndSwapUint64(&line[lineSince], began, 0)
			h.startSlowStart(int(l.host), now)
			return Change{State: CameUp, Since: since(began, now), Failed: missed(line), Panic: h.recount()}
		}
	}
}

// Unreachable reports that a connection to the leased host could not be made, for a reason that is not this machine's: the host is tried
// last for a while. Failures of connections that began before the host was known to be down do not prolong that. The time now is as for
// Acquire.
func (l *Lease) Unreachable(now int64) Change {
	h := &l.group.hosts
	if h.passive.off {
		return Change{}
	}
	line := h.counters.line(h.ids[l.host])
	for {
		old := health(atomic.LoadUint64(&line[lineHealth]))
		if !old.up() && old != l.claim && !old.due(now) {
			atomic.AddUint64(&line[lineMissed], 1)
			return remind(line, now)
		}
		next, pause := old.next(now)
		if !atomic.CompareAndSwapUint64(&line[lineHealth], uint64(old), uint64(next)) {
			continue
		}
		if !old.up() {
			atomic.AddUint64(&line[lineMissed], 1)
			return remind(line, now)
		}
		atomic.StoreUint64(&line[lineRemind], uint64(now+remindMin))
		atomic.StoreUint64(&line[lineMissed], 1)
		atomic.StoreUint64(&line[lineSince], uint64(now)) // written last: until then there are no reminders
		return Change{State: WentDown, Pause: time.Duration(pause) * time.Millisecond, Failed: 1, Panic: h.recount()}
	}
}

// remind returns StillDown if a reminder that a host is still down is due.
func remind(line []uint64, now int64) Change {
	began := atomic.LoadUint64(&line[lineSince])
	if began == 0 { // the other words may be those of an earlier failure
		return Change{}
	}
	at := atomic.LoadUint64(&line[lineRemind])
	if int64(at) > now && int64(at) <= now+remindMax {
		return Change{}
	}
	down := since(began, now)
	next := now + min(max(down.Milliseconds(), remindMin), remindMax)
	if !atomic.CompareAndSwapUint64(&line[lineRemind], at, uint64(next)) {
		return Change{}
	}
	return Change{State: StillDown, Since: down, Failed: missed(line)}
}

// since returns the time since began. The word may be damaged; then since returns zero.
func since(began uint64, now int64) time.Duration {
	if at := int64(began); 0 < at && at < now {
		return time.Duration(now-at) * time.Millisecond
	}
	return 0
}

func missed(line []uint64) int64 { return int64(atomic.LoadUint64(&line[lineMissed])) }

// Probe leases host i for at most the time longest, to find out whether it can be reached. If the host is down, Probe succeeds only when
// the pause is over and nobody else probes it; others then leave the host alone for that time. A host without room is not probed. Row and
// now are as for Acquire.
func (g *Group) Probe(row, i int, now int64, longest time.Duration) (Lease, bool) {
	p := g.hosts.word(i, lineHealth)
	state := health(atomic.LoadUint64(p))
	lease := Lease{group: g, row: int32(row), host: int32(i)}
	if !state.up() {
		lease.claim = downFor(int(state&0xff), now+min(longest, MaxProbe).Milliseconds())
		if !state.due(now) || !atomic.CompareAndSwapUint64(p, uint64(state), uint64(lease.claim)) {
			return Lease{}, false
		}
	}
	if !g.hosts.take(row, i, now) {
		if !state.up() {
			atomic.CompareAndSwapUint64(p, uint64(lease.claim), uint64(state))
		}
		return Lease{}, false
	}
	return lease, true
}
