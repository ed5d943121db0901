package metrics_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/metrics"
	"kroxy-ev/logformat"
)

func newTable(tb testing.TB) *metrics.Table {
	tb.Helper()
	t, err := metrics.NewTable()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.Close)
	return t
}

func row(tb testing.TB, t *metrics.Table, n int) *metrics.Row {
	tb.Helper()
	r, err := t.Row(n)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func dup(tb testing.TB, fd int) int {
	tb.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// mapped attaches to a row once more, as a worker does.
func mapped(tb testing.TB, r *metrics.Row) *metrics.Row {
	tb.Helper()
	m, err := metrics.MapRow(dup(tb, r.FD()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	return m
}

func server(name string) metrics.Series {
	return metrics.Series{Kind: metrics.KindServer, Server: name}
}
func host(name string) metrics.Series {
	return metrics.Series{Kind: metrics.KindHost, Group: "g", Host: name}
}

func assign(tb testing.TB, t *metrics.Table, series ...metrics.Series) []metrics.Place {
	tb.Helper()
	places, unmeasured := t.Assign(series)
	if unmeasured != 0 {
		tb.Fatalf("%d have no place", unmeasured)
	}
	return places
}

func TestRowsAddUp(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	p := assign(t, table, server("a"), metrics.Series{Kind: metrics.KindRoute, Server: "a", Route: "r"}, metrics.Series{Kind: metrics.KindGroup, Group: "g"}, host("h"))
	for n := range 3 {
		r := mapped(t, row(t, table, n))
		s := r.Server(p[0])
		s.Accepted.Add(2)
		s.Active.Add(2)
		s.Active.Add(-1)
		s.Requests.Count(204)
		s.Requests.Count(0)
		s.Failures.Count(logformat.Complete)
		s.Failures.Count(logformat.HostCut)
		s.Handshakes.Count(0x0304, true)
		s.Bytes.Count(metrics.Down, 1000)
		r.Route(p[1]).Duration.Observe(int64(time.Millisecond))
		r.Group(p[2]).Queued.Add(int64(n))
		r.Host(p[3]).Failures.Count(metrics.FaultTLS)
		r.Process().Busy.Add(int64(n) * 1000)
	}
	s := table.Server(p[0])
	if s.Accepted.Value() != 6 || s.Active.Value() != 3 || s.Requests[2].Value() != 3 || s.Requests.Total() != 6 ||
		s.Failures.Total() != 3 || s.Handshakes[3].Value() != 3 || s.Bytes.Down() != 3000 || s.Bytes.Up() != 0 {
		t.Errorf("server: %+v", s)
	}
	if d := &table.Route(p[1]).Duration; d.Count() != 3 || d.Sum() != 3*time.Millisecond {
		t.Errorf("route: %d in %v", d.Count(), d.Sum())
	}
	if n := table.Group(p[2]).Queued.Value(); n != 3 {
		t.Errorf("group: %d wait", n)
	}
	if n := table.Host(p[3]).Failures[metrics.FaultTLS].Value(); n != 3 {
		t.Errorf("host: %d failures", n)
	}
	if n := table.Process(2).Busy.Value(); n != 2*time.Microsecond || table.Process(7).Busy.Value() != 0 {
		t.Errorf("process: busy for %v", n)
	}
	if got := table.Rows(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("rows %v", got)
	}

	// The writer of row 1 is gone: its gauges are cleared, but not its counters.
	table.ClearGauges(1)
	table.ClearGauges(99)
	if s := table.Server(p[0]); s.Accepted.Value() != 6 || s.Active.Value() != 2 {
		t.Errorf("after row 1 was cleared: %d accepted, %d active", s.Accepted.Value(), s.Active.Value())
	}
	if n := table.Group(p[2]).Queued.Value(); n != 2 {
		t.Errorf("after row 1 was cleared: %d wait", n)
	}
}
