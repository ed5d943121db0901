package streamcodec

import (
	"time"

	"kroxy-ev/engine"
)

const (
	// FlushLook is the interval, in ms, between checks of whether a peer has acknowledged everything.
	FlushLook = 20
	// flushTime bounds how long a peer may acknowledge nothing, unless a timeout is shorter.
	flushTime = 60 * time.Second
)

// Flush waits until a peer has acknowledged everything sent to it, before its connection is reset. A reset destroys
// unacknowledged bytes.
type Flush struct {
	left  int   // unacknowledged bytes at the last check
	since int64 // when that number last fell, in ms on the loop's clock
}

// Begin starts to wait for the peer of c, and reports whether anything is unacknowledged.
func (f *Flush) Begin(c *engine.Conn) bool {
	*f = Flush{left: c.Unacknowledged(), since: c.Loop().Now()}
	return f.left > 0
}

// Over reports whether the wait is over: the peer of c has acknowledged everything, or nothing for the duration of timeout. A
// timeout of zero, or of more than a minute, means a minute.
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

// flush delays the end of a session in which one side has failed until the other side has acknowledged what was sent to it.
// Otherwise the last bytes of the failed side would be lost: to a client, the early response of a host that refuses the rest of
// an upload; to a host, the message of a client that has left. It reports whether there is anything to wait for.
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

// afterFailure returns the direction whose bytes are still useful when a session ends for reason r; nil if there is none.
func (s *Session) afterFailure(r Reason) *Half {
	switch r {
	case ClientFailed, ClientReadTimeout, ClientSendTimeout:
		return &s.up
	case HostFailed, HostReadTimeout, HostSendTimeout:
		return &s.down
	}
	return nil
}

// flushed ends the session if the wait is over.
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
