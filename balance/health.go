package balance

import (
	"sync/atomic"
	"time"
)

// Times of a host that is down, in ms.
const (
	firstPause = 1000           // that it is left in peace after the first failure; twice as long after each further one
	maxPause   = 10 * 1000      // but no longer than this
	maxAhead   = 10 * 60 * 1000 // nothing in the table is further ahead than this: a word that says so is damaged
	remindMin  = 60 * 1000      // between two reminders; they come when the time that it is down has doubled,
	remindMax  = 60 * 60 * 1000 // but each hour at least
)

// MaxProbe bounds the time that a probe of a host may take.
const MaxProbe = maxAhead * time.Millisecond / 2

// health is zero while a host is up. While it is down it holds how many pauses it has been given in the low byte, and above
// that the end of the present one, in ms on CLOCK_MONOTONIC. A probe claims the host by putting that end off to where it
// will be over at the latest, so that the claim of a process that died ends by itself. As it is one word, one of all who
// see a change makes it.
type health uint64

func downFor(pauses int, until int64) health { return health(until)<<8 | health(pauses) }

func (h health) up() bool { return h == 0 }

// due reports whether the pause is over.
func (h health) due(now int64) bool {
	until := int64(h >> 8)
	return until <= now || until > now+maxAhead
}

// next is h after one more failure.
func (h health) next(now int64) (health, int64) {
	pauses := min(int(h&0xff)+1, 10)
	pause := min(firstPause<<(pauses-1), int64(maxPause))
	return downFor(pauses, now+pause), pause
}

// Down reports whether connections to host i fail, so that it is tried last.
func (h *Hosts) Down(i int) bool {
	return !h.passive.off && atomic.LoadUint64(h.word(i, lineHealth)) != 0
}

// Reached reports that the leased host has accepted a connection: it is up. Now is as for Acquire.
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
			// Not if it has gone down again: what is there then is of that.
			atomic.CompareAndSwapUint64(&line[lineSince], began, 0)
			h.cameBack(int(l.host), now)
			return Change{State: CameUp, Since: since(began, now), Failed: missed(line), Panic: h.recount()}
		}
	}
}

// Unreachable reports that a connection to the leased host could not be made, and that it was not for a reason of this
// machine: the host is tried last for a while. One failure among many that began before it was known to be down does not
// make that longer. Now is as for Acquire.
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
		atomic.StoreUint64(&line[lineSince], uint64(now)) // last: until then nobody is reminded
		return Change{State: WentDown, Pause: time.Duration(pause) * time.Millisecond, Failed: 1, Panic: h.recount()}
	}
}

// remind decides whether it is time to tell people that a host is still down.
func remind(line []uint64, now int64) Change {
	began := atomic.LoadUint64(&line[lineSince])
	if began == 0 { // the other words may be of the time before
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

// since is how long a host has been down by its lineSince. What the table says is not trusted to make sense.
func since(began uint64, now int64) time.Duration {
	if at := int64(began); 0 < at && at < now {
		return time.Duration(now-at) * time.Millisecond
	}
	return 0
}

func missed(line []uint64) int64 { return int64(atomic.LoadUint64(&line[lineMissed])) }

// Probe leases host i to find out whether it can be reached, for longest at most: if it is down, only when its pause is
// over and nobody else finds out. Others leave it in peace for as long. A host that has no room is not probed. Row and now are as
// for Acquire.
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
