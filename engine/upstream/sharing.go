package upstream

import "kroxy-ev/engine"

// likelyStreams is how many streams a session is expected to take until one has said so: the minimum that RFC 9113 section 6.5.2
// recommends.
const likelyStreams = 100

// sharing is what a pool has of one host whose connections several requests share. While a connection is being made, attempts that need
// one wait in line for a stream of it. Another one is made only when more attempts wait than it can take, so a burst of requests does
// not become a burst of dials.
type sharing struct {
	sessions    []*shared // sessions that are ready
	idle        int       // idle sessions among them
	making      int       // attempts that are making a session
	promised    int       // attempts that have left the line for a stream that they have not taken yet
	waiting     int       // attempts in line
	first, last *Attempt
	capacity    int  // how many streams the session that last reported it takes
	most        int  // after how many streams the host ends a session; 0 if that is unknown
	alone       bool // the host last agreed on HTTP/1.1: each request makes its own connection
}

// part is an attempt's role in the sharing of its host's connections.
type part uint8

const (
	partNone     part = iota
	partMaking        // it is making a connection
	partWaiting       // it is in line
	partPromised      // it has left the line, and a stream is reserved for it
)

func (p part) String() string { return [...]string{"none", "making", "waiting", "promised"}[p] }

// share is an attempt's place in a sharing.
type share struct {
	of         *sharing // nil if it takes no part
	next, prev *Attempt // links of the line, for partWaiting
	part       part
}

// pick returns the session for the next stream: of those that take one more, the one with the most streams, so that others can become idle.
// It returns nil if there is none. An attempt without a promised stream also gets nil if all free streams are promised or others are in line.
func (sh *sharing) pick(promised bool) *shared {
	var most *shared
	free := 0
	for _, s := range sh.sessions {
		if n := s.free(); n > 0 {
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

// learn notes that the host has ended a session after served streams and refused the streams begun after those. From now on no session gets
// more: a host that ends each session after a number of streams (nginx's keepalive_requests) would refuse the others, whose request bodies may be
// gone. A host that has served more streams on another session had another reason to end this one.
func (sh *sharing) learn(served int) {
	for _, s := range sh.sessions {
		if s.session.Free() > 0 && s.session.Begun()-s.streams > served {
			return
		}
	}
	sh.most = served
}

// wants reports whether another connection should be made, given the number of attempts in line besides the one that would make it.
func (sh *sharing) wants(waiting int) bool {
	switch {
	case sh.alone:
		return true
	case sh.capacity == 0: // the host accepts no streams now: another connection would not get any either
		return len(sh.sessions)+sh.making == 0
	}
	capacity := sh.capacity
	if sh.most > 0 {
		capacity = min(capacity, sh.most)
	}
	return waiting >= sh.making*(capacity-1)
}

// wait puts the attempt in line for a stream. It returns false if the attempt must make a connection instead.
func (sh *sharing) wait(a *Attempt) bool {
	if a.share.part == partMaking {
		return false
	}
	if sh.wants(sh.waiting) {
		a.share = share{of: sh, part: partMaking}
		sh.making++
		return false
	}
	sh.link(a)
	return true
}

// link puts the attempt at the end of the line. A request that has lost its stream goes before all requests that came later.
func (sh *sharing) link(a *Attempt) {
	var next *Attempt // before which it goes; nil for the end
	if a.claim.returned {
		for next = sh.first; next != nil && next.claim.came <= a.claim.came; {
			next = next.share.next
		}
	}
	prev := sh.last
	if next != nil {
		prev = next.share.prev
		next.share.prev = a
	} else {
		sh.last = a
	}
	if prev != nil {
		prev.share.next = a
	} else {
		sh.first = a
	}
	a.share = share{of: sh, part: partWaiting, next: next, prev: prev}
	sh.waiting++
}

// unlink removes the attempt from the line.
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

// line makes the attempt wait in line for a stream if the host's connections are shared. It returns false if the attempt must make a
// connection.
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
	if end := a.addrDeadline(); end != engine.Never {
		loop.Arm(&a.timer, end)
	}
	return true
}

// serve promises free streams to the attempts in line, in their order, makes others connect, and marks sessions as idle that nobody
// needs. The attempts continue later, because the caller that released a stream is in the middle of something.
func (sh *sharing) serve() {
	free := -sh.promised
	for _, s := range sh.sessions {
		free += s.free()
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
		for i := len(sh.sessions) - 1; i >= 0; i-- { // idleOrLeave may remove the session from the list
			sh.sessions[i].idleOrLeave()
		}
	}
}

// next makes the first attempt in line continue in the given role.
func (sh *sharing) next(as part) {
	a := sh.first
	sh.unlink(a)
	a.share = share{of: sh, part: as}
	a.connector.resume(a)
}

// resumeAll makes all attempts in line continue as if they had just arrived.
func (sh *sharing) resumeAll() {
	for sh.first != nil {
		a := sh.first
		sh.unlink(a)
		a.connector.resume(a)
	}
}

// failed makes all attempts in line go on to another host, because b could not make a connection to this one.
func (sh *sharing) failed(b *Attempt) {
	for sh.first != nil {
		a := sh.first
		sh.unlink(a)
		a.releaseMissed(b.verdict)
		a.connector.resume(a)
	}
}

// withdraw ends the attempt's part in the sharing. If it failed to make a connection and no other attempt is making one, those in line fail too.
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

// releaseMissed releases the lease of a host to which another attempt failed to connect, or did not connect in time. Only the attempt that
// connects counts the failure.
func (a *Attempt) releaseMissed(v verdict) {
	a.last = v.err
	if c := a.claim; c.Observer != nil {
		c.Observer.Unreached(a.host(), v.addr, a.since, v.err)
	}
	a.connector.Release(a.group, a.lease, Report{})
}

// resume makes an attempt continue after this batch of events.
func (k *Connector) resume(a *Attempt) {
	k.loop.Disarm(&a.timer)
	a.state = attemptGranted
	if len(k.granted) == 0 {
		k.loop.Post(k.proceed)
	}
	k.granted = append(k.granted, granted{a, a.serial})
}
