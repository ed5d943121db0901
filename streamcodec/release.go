package streamcodec

import (
	"kroxy-ev/balance"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/upstream"
)

// release gives the host back, if the session has one, which ends for this reason.
func (s *Session) release(r Reason) {
	if s.lease.Held() {
		k := s.server.connector
		k.Closed(s.open)
		s.open = 0
		k.Release(s.group, &s.lease, s.report(r))
	}
}

// report says how the host has served. It has erred if it has sent the client nothing, though it was to: a host may be there, and
// accept connections, and be of no use all the same.
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
