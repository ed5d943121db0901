package streamcodec

import (
	"kroxy-ev/engine/metrics"
	"kroxy-ev/logformat"
)

// count counts a session of a listener that has ended, as its access log line has it, and the end of its client's connection.
func (s *Session) count(end logformat.End) {
	v := s.server
	m := v.metrics.Server(s.settings.Place)
	m.Active.Add(-1)
	m.Requests.Count(0)
	m.Failures.Count(end)
	if s.route == nil {
		return
	}
	r := v.metrics.Route(s.route.Place)
	r.Requests.Count(0)
	r.Failures.Count(end)
	r.Duration.Observe(v.loop.Clock() - s.began)
	g := v.metrics.Group(s.group.Place)
	g.Requests.Count(0)
	g.Failures.Count(end)
}

// moved counts bytes that the sink of h has taken.
func (s *Session) moved(h *Half, n int64) {
	if n == 0 {
		return
	}
	to := metrics.Up
	if h == &s.down {
		to = metrics.Down
	}
	m := s.server.metrics
	m.Server(s.settings.Place).Bytes.Count(to, int(n))
	m.Route(s.route.Place).Bytes.Count(to, int(n))
	m.Group(s.group.Place).Bytes.Count(to, int(n))
	m.Host(s.group.Hosts[s.lease.Host()].Place).Bytes.Count(to, int(n))
}
