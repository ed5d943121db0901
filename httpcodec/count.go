package httpcodec

import (
	"kroxy-ev/engine/metrics"
	"kroxy-ev/logformat"
)

// places are where an exchange is counted: at what its line in the access log names. They outlive the exchange, for a tunnel.
type places struct{ server, route, group metrics.Place }

// places are where x is counted as things stand.
func (x *exchange) places() places {
	p := places{server: x.client.settings.Place, route: x.route.Place}
	if g := x.group(); g != nil {
		p.group = g.Place
	}
	return p
}

// count counts an exchange that is over, as its line in the access log has it. It began at that time, in ns on the loop's clock.
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

// countBytes counts what has been sent since the last time. It is called after each write, so that a host that another one is to
// replace has got what was sent to it.
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
