package streamcodec

import (
	"time"

	"kroxy-ev/engine"
)

const (
	// FlushLook is how long it is, in ms, between two looks at whether a peer has confirmed everything.
	FlushLook = 20
	// flushTime bounds how long a peer may confirm nothing, unless a timeout is shorter.
	flushTime = 60 * time.Second
)

// Flush is the wait until a peer has confirmed what it was sent, before its connection is reset: a reset destroys what is not.
type Flush struct {
	left  int   // bytes that were not confirmed when that was last looked at
	since int64 // when there were last more; ms on the loop's clock
}

// Begin begins to wait for the peer of c, and reports whether there is something to wait for.
func (f *Flush) Begin(c *engine.Conn) bool {
	*f = Flush{left: c.Unacknowledged(), since: c.Loop().Now()}
	return f.left > 0
}

// Over reports whether the peer of c has confirmed everything, or nothing for as long as the timeout, which is a
// minute at most, and if it is zero.
func (f *Flush) Over(c *engine.Conn, timeout time.Duration) bool {
	return f.over(c.Loop().Now(), c.Unacknowledged(), timeout)
}

func (f *Flush) over(now int64, left int, timeout time.Duration) bool {
	if left < f.left {
		f.left, f.since = left, now
	}
	if timeout == 0 || timeout > flushTime {
		timeout = flushTime
	}
	return left == 0 || now-f.since >= timeout.Milliseconds()
}

// flush delays the end of a session in which one side has failed until the other has confirmed what it was sent, or it would
// lose the last words of that side: a client the early answer of a host that refuses the rest of an upload, a host the message
// of a client that has gone. It reports whether there is something to wait for.
func (s *Session) flush(r Reason, err error) bool {
	h := s.afterFailure(r)
	if h == nil || s.state != stateRelay || h.state == halfDead || h.Holding() || !s.last.Begin(h.To) {
		return false
	}
	loop := s.server.loop
	h.From.Reset()
	s.reverse(h).Release(loop)
	if h == &s.down {
		s.release(r)
	}
	s.state, s.why, h.failure = stateFlush, r, err
	loop.Disarm(&s.timer)
	loop.Arm(&s.timer, loop.Now()+FlushLook)
	return true
}

// afterFailure is the direction in which bytes are still of use when a session ends for this reason; nil if there is none.
func (s *Session) afterFailure(r Reason) *Half {
	switch r {
	case ClientFailed, ClientReadTimeout, ClientSendTimeout:
		return &s.up
	case HostFailed, HostReadTimeout, HostSendTimeout:
		return &s.down
	}
	return nil
}

// flushed looks whether the wait is over.
func (s *Session) flushed() {
	h, timeout := s.afterFailure(s.why), s.route.SendTimeout
	if h == &s.up {
		timeout = s.route.ProxySendTimeout
	}
	if h.To.Errored() && h.To.SocketError() != nil || s.last.Over(h.To, timeout) {
		s.finish(s.why, h.failure)
		return
	}
	s.server.loop.Arm(&s.timer, s.server.loop.Now()+FlushLook)
}
