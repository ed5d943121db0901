package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
)

// shared is a connection to a host that carries several requests at once. It is made by an attempt, ready once the host has said how many
// streams it takes, and idle while it has none.
type shared struct {
	conn    engine.Conn
	session Session
	pool    *pool
	maker   *Attempt // until it is ready
	timer   engine.Timer
	addr    netip.AddrPort // that it was made to
	index   int            // of the host in its group
	place   metrics.Place  // where it is counted as open
	streams int            // Conns that are open
	served  bool           // a stream is over
	idle    bool
	busy    bool // counted in the demand
	leaving bool // it is in no list any more
	closed  bool
}

// ErrSession begins what is said of a connection that stands, and whose host does not begin to speak HTTP/2.
var ErrSession = errors.New("while beginning to speak HTTP/2")

var (
	errNoHTTP2 = errors.New("the host does not agree on HTTP/2 (ALPN)")
	errEnded   = errors.New("the host has ended the connection")
	errGivenUp = errors.New("upstream: the connection is not waited for any more")
	errUnused  = errors.New("upstream: the connection was closed while it was idle")
)

// begin makes a session of the attempt's connection, which stands.
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
	if end := a.patience(); end != engine.Never {
		k.loop.Arm(&a.timer, end)
	}
	s.session = k.multiplexer.Begin(&s.conn, a.group, s)
}

// sharing is that of the session's host.
func (s *shared) sharing() *sharing { return &s.pool.shares[s.index] }

// SessionChanged implements SessionOwner.
func (s *shared) SessionChanged() {
	if s.leaving {
		return
	}
	sh, made := s.sharing(), s.maker != nil
	if free := s.session.Free(); made || free > 0 {
		sh.capacity = s.session.Streams() + free
	}
	if made {
		s.ready(sh)
	}
	if sh.first != nil {
		sh.serve()
	}
}

// ready has the session take streams, the first for who has made it.
func (s *shared) ready(sh *sharing) {
	a := s.maker
	s.maker, a.shared = nil, nil
	sh.sessions, sh.alone = append(sh.sessions, s), false
	a.works()
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
	c.Used, c.opened = s.served, p.connector.loop.Now()
	s.streams++
	s.stir()
	p.beginShared(s)
	return c
}

// ended notes that a Conn was closed.
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

// rest makes the session idle if it has no streams, or has it leave if no more idle connections may be kept, or its host takes no streams.
func (s *shared) rest() {
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

// stir makes the session idle no longer.
func (s *shared) stir() {
	if s.idle {
		s.idle = false
		s.sharing().idle--
		s.pool.count(-1)
	}
}

// remove has the session get no more streams.
func (s *shared) remove() {
	if s.leaving {
		return
	}
	s.leaving = true
	s.stir()
	s.pool.endShared(s)
	sh := s.sharing()
	if i := slices.Index(sh.sessions, s); i >= 0 {
		sh.sessions = slices.Delete(sh.sessions, i, i+1)
	}
}

// suspect has the session get no more streams if nothing at all has come over it since a stream was opened that nobody waits for any more, and
// that was long ago: the way to the host may be gone, of which TCP would tell only after many minutes.
func (s *shared) suspect(since int64) {
	if s.leaving || s.pool.connector.loop.Now() < since+impatience || s.session.Heard() > since {
		return
	}
	sh := s.sharing()
	s.leave()
	sh.serve()
}

// leave ends the session once its streams are over.
func (s *shared) leave() {
	s.remove()
	s.session.Leave()
}

// Ready implements engine.Handler; the connection's handler is the session.
func (s *shared) Ready(*engine.Conn) {}

// Expired implements engine.Handler: the session has been idle for long enough, unless it is in use now.
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

// recycle makes the struct ready for another use, once nothing is left of the session.
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

// beginShared notes that s serves a request, if it is the first.
func (p *pool) beginShared(s *shared) {
	if p.demand != nil && !s.busy {
		s.busy = true
		p.connector.busy++
		p.demand[s.index].begin()
	}
}

// endShared notes that s serves no request any more.
func (p *pool) endShared(s *shared) {
	if s.busy {
		s.busy = false
		p.connector.busy--
		p.demand[s.index].end()
	}
}

// closeIdle closes so many of the host's idle sessions, those that are used the least. They close at once if abort is true, because
// descriptors have run out.
func (sh *sharing) closeIdle(n int, abort bool) {
	for i := len(sh.sessions) - 1; i >= 0 && n > 0; i-- { // each leaves the list
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

// moveTo gives the sessions to the pool q, which has their host at that index; nil if none has it, or shares its connections. Streams of
// those that leave go on to their end. Who waits begins anew.
func (sh *sharing) moveTo(q *pool, index int) {
	list := sh.sessions
	sh.sessions = nil
	for _, s := range list {
		k := s.pool.connector
		s.stir()
		s.pool.endShared(s)
		if q == nil || q.shares == nil {
			s.leave()
			continue
		}
		s.pool, s.index = q, index
		to := s.sharing()
		to.sessions, to.capacity = append(to.sessions, s), sh.capacity
		k.loop.Disarm(&s.timer)
		if s.streams > 0 {
			q.beginShared(s)
		}
	}
	if len(list) > 0 && q != nil && q.shares != nil {
		q.shares[index].serve()
	}
	sh.disperse()
}
