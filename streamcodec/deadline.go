package streamcodec

import (
	"time"

	"kroxy-ev/engine"
)

// The timeouts of a session, and what they are counted from.
//
// A side that is waited for has been silent since the last byte that moved on its connection either way: a client that
// is receiving a long download, or a host that is taking a long upload, is not silent. (HAProxy counts alike; Kroxy
// counted reads only and so cut long one-way transfers.) A side that is not waited for, because it has ended its stream or because the
// other side is full, has no read timeout.

// deadlines yields, for each timeout that is running, when it runs out.
func (s *Session) deadlines(yield func(at int64, r Reason) bool) {
	set := s.route
	clientRead := set.ReadTimeout
	if s.after != nil { // a tunnel: a client of http has no such bound of its own
		clientRead = set.ProxyReadTimeout
	}
	for _, d := range [...]struct {
		h          *Half
		back       *Half // the other direction
		read, send time.Duration
		silent     Reason
		full       Reason
	}{
		{&s.up, &s.down, clientRead, set.ProxySendTimeout, ClientReadTimeout, HostSendTimeout},
		{&s.down, &s.up, set.ProxyReadTimeout, set.SendTimeout, HostReadTimeout, ClientSendTimeout},
	} {
		switch {
		case d.h.Holding():
			if d.send > 0 && !yield(d.h.WroteAt+d.send.Milliseconds(), d.full) {
				return
			}
		case d.h.state == halfOpen:
			if d.read > 0 && !yield(max(d.h.ReadAt, d.back.WroteAt)+d.read.Milliseconds(), d.silent) {
				return
			}
		}
	}
}

// armTimer sets the timer to the first deadline.
func (s *Session) armTimer() {
	first := engine.Never
	for at := range s.deadlines {
		first = min(first, at)
	}
	if first != engine.Never {
		s.server.loop.Arm(&s.timer, first)
	}
}

// blocked notes that the sink of h has stopped taking bytes, from now on.
func (s *Session) blocked(h *Half) {
	h.WroteAt = s.server.loop.Now()
	s.armTimer()
}

// unblocked notes that the sink of h has taken all that was held, so that its source is waited for again, from now on.
func (s *Session) unblocked(h *Half) {
	h.ReadAt = s.server.loop.Now()
	s.armTimer()
}

// Expired implements engine.Handler. Deadlines move with every byte, and the timer does not: this is where it is seen
// whether one has really passed.
func (s *Session) Expired(*engine.Timer) {
	switch s.state {
	case stateGreet:
		s.greeted()
		return
	case stateFlush:
		s.flushed()
		return
	}
	now := s.server.loop.Now()
	for at, reason := range s.deadlines {
		if at <= now && !s.advanced(reason) {
			s.finish(reason, nil)
			return
		}
	}
	s.armTimer()
}

// advanced reports whether a sink that seems to take nothing does take bytes, in which case it has more time.
func (s *Session) advanced(r Reason) bool {
	h := &s.down
	switch r {
	case HostSendTimeout:
		h = &s.up
	case ClientSendTimeout:
	default:
		return false
	}
	if !h.Advanced() {
		return false
	}
	h.WroteAt = s.server.loop.Now()
	return true
}
