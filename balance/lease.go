package balance

import (
	"sync/atomic"
	"time"
)

// Outcome says how a lease ended.
type Outcome struct {
	Class Class
	// Cause is why the host Erred.
	Cause Cause
	// Latency is how long the host took to answer or, if it has not answered, how long it was waited for; zero if that is not known.
	Latency time.Duration
}

// Class says how well a lease ended.
type Class uint8

const (
	// Unused means that nothing was learned about the host: the client left first.
	Unused Class = iota
	// Served means that the host did what was asked of it.
	Served
	// Failed means that the host could not be reached.
	Failed
	// Erred means that the host was reached and then failed: by a reset, a timeout, or a status that counts as a failure.
	Erred
)

func (c Class) String() string {
	return [...]string{"unused", "served", "failed", "erred"}[c]
}

// Lease is one connection's claim on a host. The zero value holds nothing. A Lease must not be copied once acquired.
type Lease struct {
	group *Group
	row   int32
	host  int32
	claim health   // the claim on a down host that the lease probes, else zero
	trial ejection // the claim on an ejected host that the lease tries, else zero
}

// Held reports whether the lease holds a host.
func (l *Lease) Held() bool { return l.group != nil }

// Host returns the index of the leased host.
func (l *Lease) Host() int { return int(l.host) }

// Release gives the host back and returns what should be logged. Only the first call after Acquire has an effect. The time now is as for
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
	// This must come last: once a host has no leases, nothing may be counted for it, because its id may be given to another host.
	drain := atomic.LoadUint64(c.word(id, lineDrain)) == drainYes
	c.add(row, id, cellActive, -1)
	if drain && h.drained(i) && change.State == Unchanged {
		change.State = Drained
	}
	return change
}

// ended applies the outcome of a lease of host i to its ejection; claim is not zero if the lease was a trial.
func (h *Hosts) ended(i int, claim ejection, how *Outcome, now int64) Change {
	switch how.Class {
	case Erred:
		return h.erred(i, claim, how.Cause, now)
	case Served:
		return h.served(i, claim, now)
	case Unused, Failed:
		h.releaseTrial(i, claim, now)
	}
	return Change{}
}
