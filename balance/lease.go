package balance

import (
	"sync/atomic"
	"time"
)

// Outcome is how a lease ended.
type Outcome struct {
	Class Class
	// Cause is why the host Erred.
	Cause Cause
	// Latency is how long the host took to answer; of one that has not, how long it had been waited for; zero if that is not known.
	Latency time.Duration
}

// Class says how well a lease ended.
type Class uint8

const (
	// Unused means that the host was neither found good nor bad: the client left first.
	Unused Class = iota
	// Served means that the host did what was asked of it.
	Served
	// Failed means that the host could not be reached.
	Failed
	// Erred means that the host was reached and failed then: by a reset, by silence, or by a status that counts as failure.
	Erred
)

func (c Class) String() string {
	return [...]string{"unused", "served", "failed", "erred"}[c]
}

// Lease is one connection's claim on a host. The zero value holds nothing. It is not copied once acquired.
type Lease struct {
	group *Group
	row   int32
	host  int32
	claim health   // with which it was made to probe a host that is down; else zero
	trial ejection // with which it was made to try a host that is ejected; else zero
}

// Held reports whether the lease holds a host.
func (l *Lease) Held() bool { return l.group != nil }

// Host is the index of the leased host.
func (l *Lease) Host() int { return int(l.host) }

// Release gives the host back, and says what is to be told of it. Only the first call after Acquire counts. Now is as for
// Acquire.
func (l *Lease) Release(o Outcome, now int64) Change {
	g := l.group
	if g == nil {
		return Change{}
	}
	l.group = nil
	h, row, i := &g.hosts, int(l.row), int(l.host)
	c, id := h.counters, h.ids[i]
	switch o.Class {
	case Served:
		c.add(row, id, cellServed, 1)
	case Failed:
		c.add(row, id, cellFailed, 1)
	case Erred:
		c.add(row, id, cellErred, 1)
	case Unused:
	}
	var change Change
	if h.passive.failures > 0 {
		change = h.ended(i, l.trial, &o, now)
	}
	if g.observer != nil && o.Class != Failed {
		g.observer.Observe(h, i, o, now)
	}
	// What follows is last: a host that nobody holds has nothing to be counted any more, and its id may be given to another.
	drain := atomic.LoadUint64(c.word(id, lineDrain)) == drainYes
	c.add(row, id, cellActive, -1)
	if drain && h.drained(i) && change.State == Unchanged {
		change.State = Drained
	}
	return change
}

// ended says how a lease of host i ended, which was the trial if claim is not zero, where errors count.
func (h *Hosts) ended(i int, claim ejection, how *Outcome, now int64) Change {
	switch how.Class {
	case Erred:
		return h.erred(i, claim, how.Cause, now)
	case Served:
		return h.served(i, claim, now)
	case Unused, Failed:
		h.leaveTrial(i, claim, now)
	}
	return Change{}
}
