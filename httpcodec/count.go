package httpcodec

import (
	"kroxy-ev/engine/metrics"
	"kroxy-ev/logformat"
)

// places are where an exchange is counted: the same server, route and group that its access log line names. They outlive the
// exchange if it becomes a tunnel.
type places struct{ server, route, group metrics.Place }

// places returns where x is counted at present.
func (x *exchange) places() places {
	p := places{server: x.client.settings.Place, route: x.route.Place}
	if g := x.group(); g != nil {
		p.group = g.Place
	}
	return p
}

// count counts an exchange that is over, like its access log line. It began at the given time in ns on the loop's clock.
func (v *Server) count(at places, status int, end logformat.End, began int64) {
	s, r, g := v.metrics.Server(at.server), v.metrics.Route(at.route), v.metrics.Group(at.group)
	class := metrics.Class(status)
	s.Requests[class].Add(1)
	r.Requests[class].Add(1)
	g.Requests[class].Add(1)
	r.Duration.Observe(v.loop.Clock() - began)
	if end != logformat.Complete {
		s.Failures.Count(end)
		r.Failures.Count(end)
		g.Failures.Count(end)
	}
}

// countBytes counts what has been sent since the last call. It is called after each write, so that bytes are counted for the host
// they were sent to even if another host replaces it.
func (x *exchange) countBytes() {
	if n := x.up.Bytes - x.counted[metrics.Up]; n > 0 {
		x.counted[metrics.Up] += n
		x.countSent(metrics.Up, int(n))
	}
	if n := x.down.Bytes - x.counted[metrics.Down]; n > 0 {
		x.counted[metrics.Down] += n
		x.countSent(metrics.Down, int(n))
	}
}

func (x *exchange) countSent(to metrics.Direction, n int) {
	m, at := x.server.metrics, x.places()
	m.Server(at.server).Bytes.Count(to, n)
	m.Route(at.route).Bytes.Count(to, n)
	m.Group(at.group).Bytes.Count(to, n)
	if h := &x.host; h.Lease.Held() {
		m.Host(h.Group.Hosts[h.Lease.Host()].Place).Bytes.Count(to, n)
	}
}
