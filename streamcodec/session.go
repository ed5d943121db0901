package streamcodec

import (
	"errors"
	"math"
	"net/netip"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// state is the state of a session.
type state uint8

const (
	stateIdle    state = iota // not in use
	stateOpening              // the TLS handshake, TLS hello or PROXY header is being read
	stateGreet                // the client gets a moment to send its first bytes
	stateConnect              // a connection to a host is being acquired
	stateRelay                // both connections are established
	stateFlush                // one side has failed; the other is still to receive what the kernel holds for it
)

func (s state) String() string {
	return [...]string{"idle", "opening", "greet", "connect", "relay", "flush"}[s]
}

// pumpBudget is how many bytes one direction may move before other connections get their turn.
const pumpBudget = 1 << 20

// unlimited is the limit for a Half whose stream ends only with its connection.
const unlimited = math.MaxInt64

// Session is one client connection and its connection to a host. A Server reuses its Sessions.
type Session struct {
	server   *Server
	entry    *Entry           // of the client's listener; nil for a tunnel
	settings *Settings        // the entry's settings when the client connected
	route    *Route           // nil until it is known
	group    *upstream.Group  // the route's target; nil until the route is known
	listener *engine.Listener // that accepted the client; nil for a tunnel
	opening  *opening.Opening // in stateOpening
	attempt  *upstream.Attempt
	next     *Session // in the server's list
	prev     *Session
	client   engine.Conn
	host     engine.Conn
	up       Half // client to host
	down     Half // host to client
	lease    balance.Lease
	trace    upstream.Trace
	after    func(end logformat.End, up, down int64) // called when a tunnel ends; nil otherwise
	timer    engine.Timer
	peer     opening.Peer  // the client
	began    int64         // ns on the loop's clock
	last     Flush         // in stateFlush
	open     metrics.Place // the place at which the connection to the host is counted as open
	why      Reason
	state    state
	looks    uint8 // see greet
}

// start serves the client whose connection is fd.
func (s *Session) start(fd int32) {
	loop := s.server.loop
	s.began, s.state = loop.Began(), stateOpening
	s.up = Half{From: &s.client, To: &s.host, turns: turns{answers: -1}}
	s.down = Half{From: &s.host, To: &s.client}
	if set := s.settings; set.Table == nil || set.Table.TakesAll() {
		s.useRoute(&set.Routes[0])
	}
	if err := loop.Attach(&s.client, fd, s); err != nil {
		engine.CloseFD(fd)
		s.finish(Internal, err)
		return
	}
	if s.entry.Opening == nil {
		s.startGreet()
		return
	}
	if o := s.server.opener.Open(&s.client, s.entry.Opening, &s.peer, s); o != nil {
		s.opening = o
	}
}

// Opened implements opening.Owner.
func (s *Session) Opened(err error) {
	s.opening = nil
	var header *opening.HeaderError
	switch {
	case errors.As(err, &header):
		s.finish(NoHeader, err)
	case err != nil:
		s.finish(NotSecured, err)
	case s.peer.TLS() != nil && !s.peer.Secure():
		s.connect(true) // the hello is still to be forwarded
	default:
		s.startGreet()
	}
}

// startGreet gives the client a moment to speak first.
func (s *Session) startGreet() {
	loop := s.server.loop
	s.state = stateGreet
	if s.server.spokeFirst < greetStreak {
		s.looks = 0
		loop.Again(&s.client)
	} else if !s.client.Readable() || !s.readFirst() { // bytes that arrived with the end of a handshake cause no event
		s.looks = greetLooks
		loop.Arm(&s.timer, loop.Now()+greetWait)
	}
}

// How long to wait for the client's first bytes before connecting to a host.
const (
	// greetLooks is for how many iterations of the loop to wait, without blocking.
	greetLooks = 2
	// greetStreak is how many clients in a row must have spoken first for the next ones to be waited for.
	greetStreak = 32
	// greetWait is how long they are waited for, in ms. Such a delay of the connection to the host is not noticed.
	greetWait = 10
)

// greet lets the client speak first if it is about to. A host connection that is made with bytes to send saves a segment and a
// wake-up, a tenth of a short connection's CPU. A client that waits for the host to speak must not pay for that. So the loop
// waits only while it serves other connections that are ready, unless all recent clients have spoken first. The first client
// that does not ends that.
func (s *Session) greet() {
	if s.client.Readable() && s.readFirst() {
		return
	}
	if s.client.Queued() || s.looks == greetLooks {
		return // an event that does not mean bytes
	}
	if s.looks++; s.looks < greetLooks {
		s.server.loop.Again(&s.client)
	} else {
		s.connect(false)
	}
}

// readFirst reads the client's first bytes and connects to a host. It returns false if there are none yet.
func (s *Session) readFirst() bool {
	v := s.server
	n, err := s.up.read(v.loop, unlimited)
	if n > 0 {
		s.up.turns.begin(v.loop.Scratch()[0])
		s.up.hold(v.loop, v.loop.Scratch()[:n])
		v.spokeFirst++
	} else if again(err) {
		return false
	}
	s.up.setSource(err)
	if s.up.state == halfBroken && n == 0 {
		s.finish(ClientFailed, s.up.failure)
	} else {
		s.connect(n > 0)
	}
	return true
}

// greetExpired connects to a host without the client's first bytes.
func (s *Session) greetExpired() {
	s.server.spokeFirst = 0
	s.connect(false)
}

// useRoute sets the session's route and chooses its group.
func (s *Session) useRoute(r *Route) { s.route, s.group = r, s.entry.target(r) }

// findRoute finds the session's route, and reports whether there is one.
func (s *Session) findRoute() bool {
	set, r := s.settings, &s.server.routing
	r.TLS, r.SNI, r.Client, r.Port = s.peer.Secure(), s.peer.Name(), s.peer.Client.Addr(), s.entry.Port
	i := set.Table.Find(r)
	if i >= 0 {
		s.useRoute(&set.Routes[i])
	}
	return i >= 0
}

// connect starts to acquire a host, once the session's route is known. Prompt says that there are bytes to send to it.
func (s *Session) connect(prompt bool) {
	s.server.loop.Disarm(&s.timer)
	if s.route == nil && !s.findRoute() {
		s.finish(NoRoute, nil)
		return
	}
	s.state = stateConnect
	s.trace.Began = s.server.loop.Now()
	s.attempt = s.server.connector.Connect(s.group, &s.host, &s.lease, &s.trace, s.key(), prompt, s)
	if s.attempt != nil && s.attempt.Queued() {
		s.clientReady()
	}
}

// key returns the key by which a host is chosen. It is valid until the next session's key is computed.
func (s *Session) key() []byte {
	v := s.server
	switch s.group.Balance.Key() {
	case balance.KeyServerName:
		return s.peer.Name()
	case balance.KeyClient:
		v.key = upstream.AppendAddrKey(v.key[:0], s.peer.Client.Addr())
	case balance.KeyTemplate:
		v.record = logformat.Record{}
		s.fill(&v.record)
		v.key = s.group.AppendKey(v.key[:0], &v.record)
	case balance.KeyNone, balance.KeyHost:
		return nil
	}
	return v.key
}

// Ends implements upstream.Owner.
func (s *Session) Ends() (client, local netip.AddrPort) {
	return s.peer.Client, s.peer.Local(&s.client)
}

// Connected implements upstream.Owner.
func (s *Session) Connected(err error) {
	s.attempt = nil
	if err != nil {
		why := Unreachable
		switch {
		case s.group.Balance.ByName() && errors.Is(err, upstream.ErrNoHost):
			why = NoSuchName
		case errors.Is(err, upstream.ErrFull), errors.Is(err, upstream.ErrQueueFull), errors.Is(err, upstream.ErrQueueTimeout):
			why = Overloaded
		case errors.Is(err, upstream.ErrLoop):
			why = LeadsBack
		case errors.Is(err, upstream.ErrSuspect):
			why = MayLeadBack
		}
		s.finish(why, err)
		return
	}
	if s.after == nil {
		s.open = s.group.Hosts[s.lease.Host()].Place
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
	switch s.state {
	case stateGreet:
		s.greet()
		return
	case stateConnect:
		s.clientReady()
		return
	case stateFlush:
		if c.Errored() {
			s.flushed()
		}
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
	if c.Errored() && !writing.Holding() && reading.state == halfShut {
		// The connection has failed, but neither a read nor a write will report that, since all that is left to do is wait. If the
		// sink is full, a read will report it once there is room: what a peer sent before it failed must be delivered, however slow
		// the other side is.
		if err := c.SocketError(); err != nil {
			s.finish(s.blame(c), err)
		}
	}
}

// clientReady handles events on the client's connection while there is no host. What a client sent before its connection failed
// is still delivered to the host, and the failure is read after that. But a session does not wait in a queue for a client that
// has left, or that ended its stream without sending anything.
func (s *Session) clientReady() {
	queued := s.attempt.Queued()
	if queued && s.client.Errored() {
		if err := s.client.SocketError(); err != nil {
			s.finish(ClientFailed, err)
			return
		}
	}
	if !queued && !s.client.Errored() || s.up.Holding() {
		return
	}
	var one [1]byte
	if n, err := s.client.Peek(one[:]); n == 0 && !again(err) && (queued || !ended(err)) {
		s.finish(ClientFailed, err)
	}
}

// pump moves bytes in one direction until the source has none, the sink takes none, or the budget is used up. It returns false
// if the session has ended; the caller must not touch the session then.
func (s *Session) pump(h *Half) bool {
	loop := s.server.loop
	for budget := pumpBudget; ; {
		if h.Holding() {
			if !h.To.Writable() {
				return true
			}
			before := h.Bytes
			err := h.Flush(loop)
			s.moved(h, h.Bytes-before)
			if err != nil {
				return again(err) || s.sinkFailed(h, err)
			}
			s.unblocked(h)
		}
		switch {
		case h.state == halfDraining:
			return s.shut(h)
		case h.state == halfBroken:
			return s.finish(s.blame(h.From), h.failure)
		case h.state != halfOpen || !h.From.Readable():
			if h.turns.ackNow {
				h.turns.ackNow = false
				h.From.QuickAck()
			}
			return true
		}
		if budget <= 0 {
			loop.Again(h.From)
			return true
		}
		before, sent := h.ReadAt, h.Bytes
		n, source, sink := h.Move(loop, unlimited)
		s.moved(h, h.Bytes-sent)
		budget -= n
		switch {
		case n == 0:
		case h.turns.answers < 0 && h == &s.up:
			h.turns.begin(loop.Scratch()[0])
		default:
			h.turns.received(h.ReadAt-before, s.reverse(h).Bytes)
		}
		h.setSource(source)
		switch {
		case again(sink):
			s.blocked(h)
			return true
		case sink != nil:
			return s.sinkFailed(h, sink)
		}
	}
}

// sinkFailed ends a direction whose sink takes no more. What the failed peer sent before, perhaps an early response, is still
// delivered; then the session ends.
func (s *Session) sinkFailed(h *Half, err error) bool {
	h.Release(s.server.loop)
	h.state, h.failure = halfDead, err
	back := s.reverse(h)
	back.cut = true
	if back.state == halfShut || back.state == halfDead {
		return s.finish(s.blame(h.To), err)
	}
	return s.pump(back)
}

// reverse returns the opposite direction.
func (s *Session) reverse(h *Half) *Half {
	if h == &s.up {
		return &s.down
	}
	return &s.up
}

// shut ends a direction whose bytes have all been delivered by sending the sink a FIN. When the second direction ends, so does
// the session, and closing both connections sends the missing FINs.
func (s *Session) shut(h *Half) bool {
	h.state = halfShut
	switch back := s.reverse(h); back.state {
	case halfShut:
		return s.finish(Completed, nil)
	case halfDead:
		return s.finish(s.blame(back.To), back.failure)
	}
	if err := h.To.CloseWrite(); err != nil {
		return s.sinkFailed(h, err)
	}
	return true
}

// blame returns the reason that names the side whose connection c has failed.
func (s *Session) blame(c *engine.Conn) Reason {
	if c == &s.client {
		return ClientFailed
	}
	return HostFailed
}

// finish ends the session in any state. It resets both connections if there was an error or bytes are undelivered, so that no
// peer takes a truncated stream for a complete one. It returns false, for pump to return.
func (s *Session) finish(r Reason, err error) bool {
	clean := s.clean(r)
	if !clean && s.flush(r, err) {
		return false
	}
	loop := s.server.loop
	if s.opening != nil {
		s.opening.Cancel()
		s.opening = nil
	}
	if s.attempt != nil {
		s.attempt.Cancel()
		s.attempt = nil
	}
	loop.Disarm(&s.timer)
	if clean {
		if r == Completed {
			s.host.CloseEnded()
		} else {
			s.host.Close()
		}
		s.client.Close()
	} else {
		s.host.Reset()
		s.client.Reset()
	}
	s.up.Release(loop)
	s.down.Release(loop)
	s.release(r)
	s.server.ended(s, r, err)
	return false
}

// clean reports whether ending for reason r truncates no stream.
func (s *Session) clean(r Reason) bool {
	switch {
	case s.state == stateFlush, r == ClientFailed, r == HostFailed:
		return false
	case r == NoHeader:
		return false // in whatever protocol the peer speaks, a FIN may have a meaning
	case r == LeadsBack, r == MayLeadBack:
		return false // only a reset takes down a chain of half-closed connections
	}
	return !s.up.Holding() && !s.down.Holding()
}
