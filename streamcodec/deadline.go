package streamcodec

import (
	"time"

	"kroxy-ev/engine"
)

// The timeouts of a session, and when they start.
//
// A side that is waited for counts as silent since the last byte that moved on its connection in either direction: a client
// that receives a long download, or a host that takes a long upload, is not silent. (HAProxy does the same; Kroxy counted only
// reads, and so cut off long one-way transfers.) A side that is not waited for, because it has ended its stream or because the
// other side is full, has no read timeout.

// deadlines yields when each running timeout expires.
func (s *Session) deadlines(yield func(at int64, r Reason) bool) {
	set := s.route
	clientRead := set.ReadTimeout
	if s.after != nil { // in a tunnel, an http client has no such timeout of its own
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

// armTimer sets the timer to the earliest deadline.
func (s *Session) armTimer() {
	first := engine.Never
	for at := range s.deadlines {
		first = min(first, at)
	}
	if first != engine.Never {
		s.server.loop.Arm(&s.timer, first)
	}
}

// blocked records that the sink of h has just stopped taking bytes.
func (s *Session) blocked(h *Half) {
	h.WroteAt = s.server.loop.Now()
	s.armTimer()
}

// unblocked records that the sink of h has taken everything that was held, so that the source's timeout begins anew.
func (s *Session) unblocked(h *Half) {
	h.ReadAt = s.server.loop.Now()
	s.armTimer()
}

// Expired implements engine.Handler. The deadlines move with every byte while the timer does not, so Expired checks whether a
// deadline has really passed.
func (s *Session) Expired(*engine.Timer) {
	switch s.state {
	case stateGreet:
		s.greetExpired()
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

// advanced reports whether a peer that seems to take nothing has acknowledged bytes after all. If so, its timeout begins anew.
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
