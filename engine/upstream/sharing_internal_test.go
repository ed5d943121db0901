package upstream

import (
	"testing"

	"kroxy-ev/engine"
)

// stub is a session that takes a given number of streams. Its streams have no Conns.
type stub struct {
	owner       SessionOwner
	limit, open int
	heard       int64
	left        bool
}

func (s *stub) Open(*engine.Conn, engine.Handler) bool { s.open++; return true }
func (s *stub) Free() int                              { return max(s.limit-s.open, 0) }
func (s *stub) Streams() int                           { return s.open }
func (s *stub) Begun() int                             { return s.open }
func (s *stub) Served() int                            { return 0 }
func (s *stub) Heard() int64                           { return s.heard }
func (s *stub) Abort(err error)                        { s.left = true; s.owner.SessionClosed(err) }
func (s *stub) Leave()                                 { s.Abort(nil) }

// session gives the pool a session with its first host that takes that many streams.
func (p *pool) session(limit int) (*shared, *stub) {
	s, b := &shared{pool: p}, &stub{limit: limit}
	s.timer.Handler, s.session, b.owner = s, b, s
	p.shares[0].sessions = append(p.shares[0].sessions, s)
	p.connector.sessions = append(p.connector.sessions, s)
	return s, b
}

// end ends a stream of b.
func (b *stub) end(p *pool, c *Conn) {
	b.open--
	p.discard(c)
}

// With "auto", a session counts as one connection, whatever its streams; surplus sessions leave slowly.
func TestIdleSessionsAuto(t *testing.T) {
	t.Parallel()
	g := groupOf("app", KeepaliveAuto, "a")
	g.Protocol = HTTP2
	k := keeper(t, 2, 10, g)
	p := k.pool(g)
	expect := func(idle, busy int) {
		t.Helper()
		if k.kept != idle || p.kept != idle || p.shares[0].idle != idle || k.busy != busy || p.demand[0].busy != busy {
			t.Errorf("%d, %d, %d idle, %d, %d in use; want %d, %d", k.kept, p.kept, p.shares[0].idle, k.busy, p.demand[0].busy, idle, busy)
		}
	}
	var stubs []*stub
	var conns []*Conn
	for range 8 {
		_, b := p.session(2)
		stubs = append(stubs, b, b)
		conns = append(conns, p.stream(0, false, nil), p.stream(0, false, nil))
	}
	expect(0, 8)
	for i := 0; i < len(conns); i += 2 {
		stubs[i].end(p, conns[i])
	}
	expect(0, 8)
	for i := 1; i < len(conns); i += 2 {
		stubs[i].end(p, conns[i])
	}
	expect(8, 0)
	c := p.stream(0, false, nil)
	expect(7, 1)
	for range 2 { // the peak of the last two periods stays
		p.Expired(nil)
		expect(7, 1)
	}
	p.Expired(nil)
	expect(3, 1)
	stubs[0].end(p, c)
	expect(4, 0)
	if !k.giveUp() || k.giveUp() {
		t.Error("giving up does not say whether there was something")
	}
	expect(0, 0)
	for i, b := range stubs {
		if !b.left {
			t.Errorf("session %d was not closed", i/2)
		}
	}
	if len(k.sessions) != 0 {
		t.Errorf("%d sessions are left", len(k.sessions))
	}
}

// A session that has had as many streams as its host is known to serve takes more if the host has sent something long after the last of them and
// has not ended it.
func TestServesMoreThanLearned(t *testing.T) {
	t.Parallel()
	g := groupOf("app", 2, "a")
	g.Protocol = HTTP2
	k := keeper(t, 9, 0, g)
	p := k.pool(g)
	s, b := p.session(100)
	p.shares[0].learn(2)
	p.stream(0, false, nil)
	if n := s.free(); n != 1 {
		t.Errorf("%d more, want 1", n)
	}
	p.stream(0, false, nil)
	b.heard = s.last + readsWithin
	if c := p.stream(0, false, nil); c != nil || s.free() != 0 {
		t.Error("a third stream")
	}
	b.heard++
	if n := s.free(); n != 98 {
		t.Errorf("%d more, want 98", n)
	}
}

// Idle connections and idle sessions of a host are counted together, and a session that takes no streams is not kept.
func TestIdleOfBothKinds(t *testing.T) {
	t.Parallel()
	g := groupOf("app", 2, "a")
	g.Protocol = Auto
	k := keeper(t, 9, 0, g)
	p := k.pool(g)
	_, b := p.session(1)
	c := p.stream(0, false, nil)
	_, none := p.session(1)
	d := p.stream(0, false, nil)
	none.limit = 0
	none.end(p, d)
	if !none.left || b.left {
		t.Errorf("closed: %v, %v; want that which takes no streams", none.left, b.left)
	}
	p.put(p.made(0))
	b.end(p, c)
	p.put(p.made(0)) // one too many
	if k.kept != 2 || len(p.idle[0]) != 1 || p.shares[0].idle != 1 {
		t.Errorf("%d are idle, %d and %d", k.kept, len(p.idle[0]), p.shares[0].idle)
	}
}

// The structs of a stream and of a session are reused once nothing is left of the session.
func TestNoSessionIsLost(t *testing.T) {
	t.Parallel()
	g := groupOf("app", 1, "a")
	g.Protocol = HTTP2
	k := keeper(t, 9, 0, g)
	p := k.pool(g)
	s, b := p.session(2)
	c, d := p.stream(0, false, nil), p.stream(0, false, nil)
	b.end(p, c)
	b.Abort(errUnused)
	if k.freeShared.Get() != nil {
		t.Error("a session with a stream is taken for free")
	}
	p.discard(d)
	if k.freeShared.Get() != s || s.pool != nil || s.session != nil || s.streams != 0 || s.closed || s.leaving || s.idle || s.busy || s.served {
		t.Errorf("a session is lost, or in use still: %+v", s)
	}
	if k.freeConns.Get() != d || k.freeConns.Get() != c || c.Shared() || d.Shared() {
		t.Error("a stream is lost, or counts as one still")
	}
}
