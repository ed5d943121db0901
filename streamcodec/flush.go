package streamcodec

import (
	"time"

	"kroxy-ev/balance"
)

const (
	flushLook = 20               // ms between two looks at whether the client has confirmed everything
	flushMax  = 60 * time.Second // of waiting for that, unless send_timeout says less
)

// flush delays the end of a session whose host has failed, until the client has confirmed what it was sent. A reset
// destroys what is not, and the client would lose the host's last words: an early answer, say, of a host that refuses
// the rest of an upload. It reports whether there is something to wait for.
func (s *Session) flush(err error) bool {
	if s.state != stateRelay || s.down.Holding() || s.client.Unacknowledged() == 0 {
		return false
	}
	loop := s.server.loop
	s.host.Reset()
	s.up.Release(loop)
	s.lease.Release(balance.Served)
	s.state, s.down.failure = stateFlush, err
	s.down.ReadAt = loop.Now()
	loop.Disarm(&s.timer)
	loop.Arm(&s.timer, loop.Now()+flushLook)
	return true
}

// flushed looks whether the wait is over.
func (s *Session) flushed() {
	loop := s.server.loop
	wait := flushMax
	if t := s.settings.SendTimeout; t > 0 {
		wait = min(wait, t)
	}
	if s.client.Unacknowledged() == 0 || loop.Now()-s.down.ReadAt >= wait.Milliseconds() {
		s.finish(HostFailed, s.down.failure)
		return
	}
	loop.Arm(&s.timer, loop.Now()+flushLook)
}
