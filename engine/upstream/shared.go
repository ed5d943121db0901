package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
)

// shared is a connection to a host that carries several requests at once. An attempt makes it. It is ready once the host has said how many
// streams it accepts, and idle while it has no streams.
type shared struct {
	conn    engine.Conn
	session Session
	pool    *pool
	maker   *Attempt // the attempt that makes it; nil once it is ready
	timer   engine.Timer
	addr    netip.AddrPort // the address that it is connected to
	index   int            // the host's index in its group
	place   metrics.Place  // where it is counted as open
	streams int            // open Conns
	last    int64          // when the last stream was opened, ms on the loop's clock
	served  bool           // at least one stream has ended
	idle    bool
	busy    bool // counted in the demand
	leaving bool // it gets no more streams, and is no longer in its sharing's list
	closed  bool
}

// ErrSession prefixes the error of an established connection whose host does not begin to speak HTTP/2.
var ErrSession = errors.New("while beginning to speak HTTP/2")

var (
	errNoHTTP2 = errors.New("the host did not select HTTP/2 (ALPN)")
	errEnded   = errors.New("the host has ended the connection")
	errGivenUp = errors.New("upstream: the connection attempt was abandoned")
	errUnused  = errors.New("upstream: the connection was closed while it was idle")
)

// begin makes a session of the attempt's connection, which is established.
func (a *Attempt) begin() {
	k, p := a.connector, a.made.pool
	s := k.freeShared.Get()
	if s == nil {
		s = &shared{}
		s.timer.Handler = s
	}
	s.pool, s.index, s.addr, s.place = p, a.lease.Host(), a.addr, a.host().Place
	s.maker, a.shared = a, s
	k.sessions = append(k.sessions, s)
	a.opened()
	a.conn.MoveTo(&s.conn, nil)
	if end := a.addrDeadline(); end != engine.Never {
		k.loop.Arm(&a.timer, end)
	}
	s.session = k.multiplexer.Begin(&s.conn, a.group, s)
}

// sharing returns the sharing of the session's host.
func (s *shared) sharing() *sharing { return &s.pool.shares[s.index] }

// readsWithin is the time in ms within which a host reads what it was sent, however busy it is. A shorter time would be taken for the end of the
// host's limit while requests and their bodies wait in its socket, and the next request would be refused.
const readsWithin = 10_000

// free returns how many more streams the session takes now.
func (s *shared) free() int {
	n, sh := s.session.Free(), s.sharing()
	if n == 0 || sh.most == 0 {
		return n
	}
	if left := sh.most - s.session.Begun(); left > 0 {
		return min(n, left)
	}
	// A host that limits the streams of a session ends the session as soon as it has received the last one. This host has received it, as far as can
	// be told, and has not ended the session, so it has no such limit any more.
	if s.streams == 0 || s.session.Heard() > s.last+readsWithin {
		sh.most = 0
		return n
	}
	return 0
}

// SessionChanged implements SessionOwner.
func (s *shared) SessionChanged() {
	if s.leaving {
		return
	}
	sh, made := s.sharing(), s.maker != nil
	if free := s.session.Free(); made || free > 0 {
		sh.capacity = s.session.Streams() + free
	}
	if n := s.session.Served(); n > 0 {
		sh.learn(n)
	}
	if made {
		s.ready(sh)
	}
	if sh.first != nil {
		sh.serve()
	}
}

// ready lets the session take streams. The first is promised to the attempt that made the session.
func (s *shared) ready(sh *sharing) {
	a := s.maker
	s.maker, a.shared = nil, nil
	sh.sessions, sh.alone = append(sh.sessions, s), false
	a.noteReachable()
	a.trace.connected(a.connector.loop.Now())
	sh.making--
	sh.promised++
	a.share.part = partPromised
	a.connector.resume(a)
}

// open opens a stream for h.
func (s *shared) open(h engine.Handler) *Conn {
	p := s.pool
	c := p.fresh()
	if !s.session.Open(&c.Conn, h) {
		p.discard(c)
		return nil
	}
	c.shared, c.index, c.addr = s, s.index, s.addr
	s.last = p.connector.loop.Now()
	c.Used, c.opened = s.served, s.last
	s.streams++
	s.activate()
	p.beginShared(s)
	return c
}

// ended notes that one of the session's Conns was closed.
func (s *shared) ended() {
	s.streams--
	s.served = true
	switch {
	case s.closed:
		s.recycle()
	case !s.leaving:
		s.sharing().serve()
	}
}

// idleOrLeave marks a session without streams as idle. If no more idle connections may be kept, or the host accepts no streams, the session leaves instead.
func (s *shared) idleOrLeave() {
	if s.streams > 0 || s.idle {
		return
	}
	p := s.pool
	p.endShared(s)
	if p.full(s.index) || s.session.Free() == 0 {
		s.leave()
		return
	}
	s.idle = true
	s.sharing().idle++
	p.keep()
	if p.timeout > 0 {
		loop := p.connector.loop
		loop.Arm(&s.timer, loop.Now()+p.timeout)
	}
}

// activate marks the session as no longer idle.
func (s *shared) activate() {
	if s.idle {
		s.idle = false
		s.sharing().idle--
		s.pool.count(-1)
	}
}

// remove takes the session out of its sharing, so that it gets no more streams.
func (s *shared) remove() {
	if s.leaving {
		return
	}
	s.leaving = true
	s.activate()
	s.pool.endShared(s)
	sh := s.sharing()
	if i := slices.Index(sh.sessions, s); i >= 0 {
		sh.sessions = slices.Delete(sh.sessions, i, i+1)
	}
}

// suspect removes the session if a request that was opened long ago, at since, was given up and nothing at all has arrived on the connection
// since then. The path to the host may be gone, which TCP would report only after many minutes.
func (s *shared) suspect(since int64) {
	if s.leaving || s.pool.connector.loop.Now() < since+probeAfter || s.session.Heard() > since {
		return
	}
	sh := s.sharing()
	s.leave()
	sh.serve()
}

// leave removes the session and ends it once its streams are over.
func (s *shared) leave() {
	s.remove()
	s.session.Leave()
}

// Ready implements engine.Handler. It is never called: the connection's handler is the session.
func (s *shared) Ready(*engine.Conn) {}

// Expired implements engine.Handler. It ends the session if it is still idle.
func (s *shared) Expired(*engine.Timer) {
	if s.idle {
		sh := s.sharing()
		s.leave()
		sh.serve()
	}
}

// SessionClosed implements SessionOwner.
func (s *shared) SessionClosed(err error) {
	k := s.pool.connector
	gone := s.leaving
	s.remove()
	s.closed = true
	k.loop.Disarm(&s.timer)
	k.Closed(s.place)
	k.sessions = slices.DeleteFunc(k.sessions, func(t *shared) bool { return t == s })
	if a := s.maker; a != nil {
		s.maker, a.shared = nil, nil
		if err == nil {
			err = errEnded
		}
		a.broken = fmt.Errorf("%w: %w", ErrSession, err)
		k.resume(a)
	} else if !gone {
		s.sharing().serve()
	}
	s.recycle()
}

// recycle returns the struct to the free list once all Conns of the session are closed.
func (s *shared) recycle() {
	if s.streams > 0 {
		return
	}
	k := s.pool.connector
	s.session, s.pool = nil, nil
	s.served, s.leaving, s.closed = false, false, false
	k.freeShared.Put(s)
}

// giveUp ends a session that is not ready.
func (s *shared) giveUp() {
	s.maker.shared, s.maker = nil, nil
	s.remove()
	s.session.Abort(errGivenUp)
}

// beginShared counts s as busy if it was not.
func (p *pool) beginShared(s *shared) {
	if p.demand != nil && !s.busy {
		s.busy = true
		p.connector.busy++
		p.demand[s.index].begin()
	}
}

// endShared counts s as no longer busy.
func (p *pool) endShared(s *shared) {
	if s.busy {
		s.busy = false
		p.connector.busy--
		p.demand[s.index].end()
	}
}

// closeIdle closes up to n of the host's idle sessions, the least used first. With abort, because descriptors have run out, they close at
// once.
func (sh *sharing) closeIdle(n int, abort bool) {
	for i := len(sh.sessions) - 1; i >= 0 && n > 0; i-- { // leave and remove take the session out of the list
		s := sh.sessions[i]
		if !s.idle {
			continue
		}
		n--
		if abort {
			s.remove()
			s.session.Abort(errUnused)
		} else {
			s.leave()
		}
	}
	sh.serve()
}

// moveTo moves the sessions to the pool q, in which their host has that index. If q is nil or does not share connections, the sessions
// leave, and their streams continue to their end. Attempts in line begin anew.
func (sh *sharing) moveTo(q *pool, index int) {
	list := sh.sessions
	sh.sessions = nil
	for _, s := range list {
		k := s.pool.connector
		s.activate()
		s.pool.endShared(s)
		if q == nil || q.shares == nil {
			s.leave()
			continue
		}
		s.pool, s.index = q, index
		to := s.sharing()
		to.sessions, to.capacity, to.most = append(to.sessions, s), sh.capacity, sh.most
		k.loop.Disarm(&s.timer)
		if s.streams > 0 {
			q.beginShared(s)
		}
	}
	if len(list) > 0 && q != nil && q.shares != nil {
		q.shares[index].serve()
	}
	sh.resumeAll()
}
