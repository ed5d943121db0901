package service

import (
	"testing"
	"time"

	"kroxy-ev/engine/metrics"
)

// At first everything is included, later what came in the last half minute or a little more; after a pause, everything since the previous call.
func TestRecent(t *testing.T) {
	t.Parallel()
	var (
		r       recent
		h       metrics.Histogram
		series  = metrics.Series{Kind: metrics.KindRoute, Server: "s", Route: "r"}
		started = time.Unix(1000, 0)
	)
	for _, tc := range []struct {
		at    int // seconds after the start
		come  int // how many have come since the previous call
		since int
		see   uint64
	}{
		{5, 3, 0, 3},
		{6, 1, 0, 4},
		{34, 1, 0, 5},
		{35, 1, 5, 3},
		{64, 10, 5, 13},
		{65, 1, 35, 11},
		{94, 0, 35, 11},
		{95, 0, 65, 0},
		{1000, 7, 95, 7},
		{1001, 1, 95, 8},
		{1030, 1, 1000, 2},
	} {
		for range tc.come {
			h.Observe(int64(time.Millisecond))
		}
		l := r.view(started.Add(time.Duration(tc.at) * time.Second))
		got := l.of(series, &h).Count()
		if since := int(l.end(started).Sub(started).Seconds()); got != tc.see || since != tc.since {
			t.Errorf("after %d s: %d since second %d, want %d since %d", tc.at, got, since, tc.see, tc.since)
		}
	}
	l := r.view(started.Add(1001 * time.Second))
	if n := l.of(metrics.Series{Kind: metrics.KindHost, Group: "g", Host: "new"}, &h).Count(); n != h.Count() {
		t.Errorf("of a host that is new there are %d, want all %d", n, h.Count())
	}
	l.end(started)
}

// The latencies in the status are those of the recent past.
func TestStatusTellsRecentLatencies(t *testing.T) {
	t.Parallel()
	s := steeringOf(t, countersOf(t), oneHost)
	_, row, err := s.counters.take()
	if err != nil {
		t.Fatal(err)
	}
	now := s.inForce.Load()
	route := row.Route(now.places[metrics.Series{Kind: metrics.KindRoute, Server: "http", Route: now.cfg.Servers[0].Routes[0].Name}])
	host := row.Host(now.places[metrics.Series{Kind: metrics.KindHost, Group: "a", Host: now.overview.Groups[0].Hosts[0].Label}])
	check := func(began time.Time, want time.Duration) {
		t.Helper()
		st, err := s.Status()
		if err != nil {
			t.Fatal(err)
		}
		ms := float64(want.Milliseconds())
		for name, got := range map[string]float64{"route": st.Servers[0].Routes[0].P50, "host": st.Groups[0].Hosts[0].P50} {
			if got < 0.9*ms || got > 1.1*ms {
				t.Errorf("the %s's median is %g ms, want about %g", name, got, ms)
			}
		}
		if !st.LatencySince.Equal(began) {
			t.Errorf("since %v, want %v", st.LatencySince, began)
		}
	}
	for range 100 {
		route.Duration.Observe(int64(time.Second))
		host.FirstByte.Observe(int64(time.Second))
	}
	check(s.started, time.Second)
	s.recent.last.at = s.recent.last.at.Add(-recentTime) // as if that had been a while ago
	began := s.recent.last.at
	check(began, 0)
	route.Duration.Observe(int64(time.Millisecond))
	host.FirstByte.Observe(int64(time.Millisecond))
	check(began, time.Millisecond)
}
