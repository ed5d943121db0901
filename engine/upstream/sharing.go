package upstream

import "kroxy-ev/engine"

// likelyStreams is how many streams a session is expected to take before the first one has said so: what RFC 9113 section 6.5.2 recommends
// hosts to allow at least.
const likelyStreams = 100

// sharing is what a pool has of one host whose connections several requests share. While one is being made, who needs one waits in line
// for a stream of it, and one more is made only when more wait than it will take: there is no herd of dials.
type sharing struct {
	sessions    []*shared // that are ready
	idle        int       // of these
	making      int       // attempts that make one
	promised    int       // attempts that have left the line for a stream, and have not taken it yet
	waiting     int       // attempts in line
	first, last *Attempt
	capacity    int  // how many streams the session takes that last said so
	alone       bool // the host has agreed on HTTP/1.1 last: each request makes a connection of its own
}

// part is an attempt's part in the sharing of its host's connections.
type part uint8

const (
	partNone     part = iota
	partMaking        // it makes a connection
	partWaiting       // it is in line
	partPromised      // it has left the line, and there is a stream for it
)

func (p part) String() string { return [...]string{"none", "making", "waiting", "promised"}[p] }

// share is an attempt's place in a sharing.
type share struct {
	of         *sharing // nil if it has no part
	next, prev *Attempt // of partWaiting
	part       part
}

// pick is the session on which the next stream is opened: that with the most of those that take one more, so that others become idle. It
// is nil if there is none; and for who has not been promised one, if all are promised or others have waited longer.
func (sh *sharing) pick(promised bool) *shared {
	var most *shared
	free := 0
	for _, s := range sh.sessions {
		if n := s.session.Free(); n > 0 {
			free += n
			if most == nil || s.streams > most.streams {
				most = s
			}
		}
	}
	if !promised && (free <= sh.promised || sh.waiting > 0) {
		return nil
	}
	return most
}

// wants reports whether a connection more is made for so many that wait besides the one for which it would be.
func (sh *sharing) wants(waiting int) bool {
	switch {
	case sh.alone:
		return true
	case sh.capacity == 0: // the host wants no requests now: another connection would not take them either
		return len(sh.sessions)+sh.making == 0
	}
	return waiting >= sh.making*(sh.capacity-1)
}

// wait has the attempt wait in line for a stream, unless it is to make a connection, for which false is returned.
func (sh *sharing) wait(a *Attempt) bool {
	if a.share.part == partMaking {
		return false
	}
	if sh.wants(sh.waiting) {
		a.share = share{of: sh, part: partMaking}
		sh.making++
		return false
	}
	a.share = share{of: sh, part: partWaiting, prev: sh.last}
	if sh.last != nil {
		sh.last.share.next = a
	} else {
		sh.first = a
	}
	sh.last = a
	sh.waiting++
	return true
}

// unlink takes the attempt out of the line.
func (sh *sharing) unlink(a *Attempt) {
	at := &a.share
	if at.prev != nil {
		at.prev.share.next = at.next
	} else {
		sh.first = at.next
	}
	if at.next != nil {
		at.next.share.prev = at.prev
	} else {
		sh.last = at.prev
	}
	sh.waiting--
	*at = share{}
}

// line has the attempt wait for a connection that others make or have, if the host's are shared. It reports false if the attempt is to make
// one.
func (a *Attempt) line() bool {
	if a.made == nil || a.made.pool.shares == nil {
		return false
	}
	if !a.made.pool.shares[a.lease.Host()].wait(a) {
		return false
	}
	loop := a.connector.loop
	a.state, a.since, a.addrs, a.trace.Connected = attemptLine, loop.Now(), nil, false
	a.hostEnd = a.since + a.group.HostTimeout.Milliseconds()
	if end := a.patience(); end != engine.Never {
		loop.Arm(&a.timer, end)
	}
	return true
}

// serve promises streams to those who wait, in their order, has connections made for others, and lets sessions rest that nobody needs. Those
// who waited go on later: whoever has given a stream back is in the middle of something.
func (sh *sharing) serve() {
	free := -sh.promised
	for _, s := range sh.sessions {
		free += s.session.Free()
	}
	for ; free > 0 && sh.first != nil; free-- {
		sh.next(partPromised)
		sh.promised++
	}
	for sh.first != nil && sh.wants(sh.waiting-1) {
		sh.next(partMaking)
		sh.making++
	}
	if sh.making+sh.promised+sh.waiting == 0 {
		for i := len(sh.sessions) - 1; i >= 0; i-- { // each may leave the list
			sh.sessions[i].rest()
		}
	}
}

// next has the first in line go on, in another part.
func (sh *sharing) next(as part) {
	a := sh.first
	sh.unlink(a)
	a.share = share{of: sh, part: as}
	a.connector.resume(a)
}

// disperse has all in line go on as if they came now.
func (sh *sharing) disperse() {
	for sh.first != nil {
		a := sh.first
		sh.unlink(a)
		a.connector.resume(a)
	}
}

// failed has all in line go on to another host, for the reason why b could not make a connection to this one.
func (sh *sharing) failed(b *Attempt) {
	for sh.first != nil {
		a := sh.first
		sh.unlink(a)
		a.missed(b.verdict)
		a.connector.resume(a)
	}
}

// withdraw gives the attempt's part up. If it could not make a connection, and nobody else does, those who wait have waited for nothing.
func (a *Attempt) withdraw() {
	sh := a.share.of
	if sh == nil { // nearly always
		return
	}
	switch a.share.part {
	case partWaiting:
		sh.unlink(a)
	case partMaking:
		sh.making--
	case partPromised:
		sh.promised--
	}
	failed := a.share.part == partMaking && a.verdict.err != nil
	a.share = share{}
	if failed && len(sh.sessions)+sh.making == 0 {
		sh.failed(a)
		return
	}
	sh.serve()
}

// missed gives the lease of a host back to which somebody else could not make a connection, or not in time. That is counted once, by who
// makes it.
func (a *Attempt) missed(v verdict) {
	a.last = v.err
	if c := a.claim; c.Observer != nil {
		c.Observer.Unreached(a.host(), v.addr, a.since, v.err)
	}
	a.connector.Release(a.group, a.lease, Report{})
}

// resume has an attempt go on behind this batch of events.
func (k *Connector) resume(a *Attempt) {
	k.loop.Disarm(&a.timer)
	a.state = attemptGranted
	if len(k.granted) == 0 {
		k.loop.Post(k.proceed)
	}
	k.granted = append(k.granted, granted{a, a.serial})
}
