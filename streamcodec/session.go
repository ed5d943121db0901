package streamcodec

import (
	"math"
	"net/netip"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/upstream"
)

// state is how far a session has come.
type state uint8

const (
	stateIdle    state = iota // not in use
	stateConnect              // a host is being looked for
	stateRelay                // both connections stand
)

func (s state) String() string {
	return [...]string{"idle", "connect", "relay"}[s]
}

// pumpBudget is how many bytes one direction may move before other connections get their turn.
const pumpBudget = 1 << 20

// unlimited is the limit on a Half whose stream ends only with the connection.
const unlimited = math.MaxInt64

// Session is one client connection and its way to a host. Sessions are reused by their Server.
type Session struct {
	server   *Server
	settings *Settings // as they were when the client came
	attempt  *upstream.Attempt
	next     *Session // in the server's list
	prev     *Session
	client   engine.Conn
	host     engine.Conn
	up       Half // client to host
	down     Half // host to client
	lease    balance.Lease
	timer    engine.Timer
	peer     netip.Addr
	began    int64 // ms on the loop's clock
	state    state
}

// start serves a client connection whose descriptor is fd.
func (s *Session) start(fd int32, peer netip.Addr) {
	v := s.server
	s.peer, s.began, s.state = peer, v.loop.Now(), stateConnect
	s.up = Half{From: &s.client, To: &s.host}
	s.down = Half{From: &s.host, To: &s.client}
	v.loop.Adopt(&s.client, fd, s)
	prompt, err := s.greet()
	if err != nil {
		s.finish(ClientFailed, err)
		return
	}
	if err := v.loop.Register(&s.client); err != nil {
		s.finish(Internal, err)
		return
	}
	s.attempt = v.connector.Connect(s.settings.Group, &s.host, &s.lease, prompt, s)
}

// greet takes what the client has sent already, and reports whether that is something. The connection to the host can
// then be made with these bytes in mind; a client that waits for the host to speak first is not waited for.
func (s *Session) greet() (bool, error) {
	n, err := s.up.read(s.server.loop, unlimited)
	if n > 0 {
		s.up.hold(s.server.loop, s.server.loop.Scratch()[:n])
	}
	if err != nil && !again(err) && !ended(err) {
		return false, err
	}
	s.up.sourceIs(err)
	return n > 0, nil
}

// Connected implements upstream.Owner.
func (s *Session) Connected(err error) {
	s.attempt = nil
	if err != nil {
		s.finish(Unreachable, err)
		return
	}
	now := s.server.loop.Now()
	s.state = stateRelay
	s.up.ReadAt, s.up.WroteAt, s.down.ReadAt, s.down.WroteAt = now, now, now, now
	if s.pump(&s.up) && s.pump(&s.down) {
		s.armTimer()
	}
}

// Ready implements engine.Handler for both connections.
func (s *Session) Ready(c *engine.Conn) {
	if s.state != stateRelay {
		s.clientErrored()
		return
	}
	reading, writing := &s.up, &s.down
	if c == &s.host {
		reading, writing = writing, reading
	}
	if !s.pump(reading) {
		return
	}
	if writing.Holding() && !s.pump(writing) {
		return
	}
	if c.Errored() && reading.state == halfShut && !writing.Holding() {
		// Neither a read nor a write will tell, since there is nothing left to do with this connection but wait.
		if err := c.SocketError(); err != nil {
			s.finish(s.blame(c), err)
		}
	}
}

// clientErrored looks after the client while a host is being looked for.
func (s *Session) clientErrored() {
	if s.client.Errored() {
		if err := s.client.SocketError(); err != nil {
			s.finish(ClientFailed, err)
		}
	}
}

// pump moves bytes in one direction until the source has none, the sink takes none, or others must have their turn. It
// reports false when the session has ended; nothing of it may be touched then.
func (s *Session) pump(h *Half) bool {
	loop := s.server.loop
	for budget := pumpBudget; ; {
		if h.Holding() {
			if !h.To.Writable() {
				return true
			}
			if err := h.Flush(loop); err != nil {
				return again(err) || s.finish(s.blame(h.To), err)
			}
			s.unblocked(h)
		}
		switch {
		case h.state == halfDraining:
			return s.shut(h)
		case h.state == halfBroken:
			return s.finish(s.blame(h.From), h.failure)
		case h.state == halfShut || !h.From.Readable():
			return true
		}
		if budget <= 0 {
			loop.Again(h.From)
			return true
		}
		n, source, sink := h.Move(loop, unlimited)
		budget -= n
		h.sourceIs(source)
		switch {
		case again(sink):
			s.blocked(h)
			return true
		case sink != nil:
			return s.finish(s.blame(h.To), sink)
		}
	}
}

// shut ends a direction whose bytes have all been delivered: the sink gets a FIN. The session ends with its second
// direction; closing both connections then sends what FINs are missing.
func (s *Session) shut(h *Half) bool {
	h.state = halfShut
	if s.up.state == halfShut && s.down.state == halfShut {
		return s.finish(Completed, nil)
	}
	if err := h.To.CloseWrite(); err != nil {
		return s.finish(s.blame(h.To), err)
	}
	return true
}

// blame says which side's failure an error of c is.
func (s *Session) blame(c *engine.Conn) Reason {
	if c == &s.client {
		return ClientFailed
	}
	return HostFailed
}

// finish ends the session, whatever state it is in. Bytes that were on their way, or an error, make it a reset of both
// connections: a peer must not take a cut stream for a whole one. It returns false, for pump to pass on.
func (s *Session) finish(r Reason, err error) bool {
	loop := s.server.loop
	if s.attempt != nil {
		s.attempt.Cancel()
		s.attempt = nil
	}
	loop.Disarm(&s.timer)
	if s.clean(r) {
		s.host.Close()
		s.client.Close()
	} else {
		s.host.Reset()
		s.client.Reset()
	}
	s.up.Release(loop)
	s.down.Release(loop)
	if s.state == stateRelay {
		s.lease.Release(balance.Served)
	}
	s.server.ended(s, r, err)
	return false
}

// clean reports whether ending for this reason cuts no stream short.
func (s *Session) clean(r Reason) bool {
	switch r {
	case ClientFailed, HostFailed:
		return false
	}
	return !s.up.Holding() && !s.down.Holding()
}
