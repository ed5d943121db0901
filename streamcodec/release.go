package streamcodec

import (
	"kroxy-ev/balance"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/upstream"
)

// release gives the session's host back, if it has one. The session ends for reason r.
func (s *Session) release(r Reason) {
	if s.lease.Held() {
		k := s.server.connector
		k.Closed(s.open)
		s.open = 0
		k.Release(s.group, &s.lease, s.report(r))
	}
}

// report returns how the host has served. The host has failed if it should have sent something to the client but sent nothing:
// a host may accept connections and still not work.
func (s *Session) report(r Reason) upstream.Report {
	p := upstream.Report{Outcome: balance.Outcome{Class: balance.Served, Latency: s.trace.Latency}, Asked: s.after == nil}
	if s.after != nil || s.down.Bytes > 0 || s.down.Holding() {
		return p
	}
	if r == HostFailed || r == HostSendTimeout || r == HostReadTimeout && s.up.Bytes > 0 {
		p.Class, p.Why, p.Fault = balance.Erred, r.String(), metrics.FaultTimeout
		if r == HostFailed {
			p.Fault = metrics.FaultReset
		}
	}
	return p
}
