package proxy

import (
	"errors"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
)

// measure assigns groups and their hosts their places in the metrics.
func (gs groups) measure(at *Places) {
	for use, g := range gs {
		g.Place = at.Group(use.group)
		for i := range g.Hosts {
			g.Hosts[i].Place = at.Host(use.group, i)
		}
	}
}

// measure assigns servers and their routes their places in the metrics.
func (s *Snapshot) measure(at *Places) {
	for i := range s.entries {
		e := &s.entries[i]
		if set := e.http; set != nil {
			set.Place = at.Server(i)
			for j := range set.Routes {
				set.Routes[j].Place = at.Route(i, j)
			}
		}
		if set := e.stream; set != nil {
			set.Place = at.Server(i)
			for j := range set.Routes {
				set.Routes[j].Place = at.Route(i, j)
			}
		}
		for _, rules := range e.opening {
			if rules != nil {
				rules.Place = at.Server(i)
			}
		}
	}
}

// row returns the metrics row of reactor i.
func (o *Options) row(i int) *metrics.Row {
	if i < len(o.Metrics) {
		return o.Metrics[i]
	}
	return metrics.NewRow()
}

// ran returns a function for engine.Options.Ran that counts the time of the loop that has the row m.
func ran(m *metrics.Row) func(busy, waited time.Duration) {
	p := m.Process()
	return func(busy, waited time.Duration) {
		p.Busy.Add(int64(busy))
		p.Waited.Add(int64(waited))
		p.Runs.Observe(int64(busy))
	}
}

// countPause counts that accepting pauses on the loop that has the row m.
func countPause(m *metrics.Row, reason error) {
	why := metrics.PausedDescriptors
	if errors.Is(reason, engine.ErrLimit) {
		why = metrics.PausedLimit
	}
	m.Process().Paused.Count(why)
}
