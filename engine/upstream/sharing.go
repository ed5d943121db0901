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

// wants reports whether another connection should be made, given the number of attempts in line besides the one that would make it.
func (sh *sharing) wants(waiting int) bool {
	switch {
	case sh.alone:
		return true
	case sh.capacity == 0: // the host accepts no streams now: another connection would not get any either
		return len(sh.sessions)+sh.making == 0
	}
	return waiting >= sh.making*(sh.capacity-1)
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
		a.missed(b.verdict)
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

// missed releases the lease of a host to which another attempt failed to connect, or did not connect in time. Only the attempt that
// connects counts the failure.
func (a *Attempt) missed(v verdict) {
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
