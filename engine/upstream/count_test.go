package upstream_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
)

// A host that cannot be connected to is counted as failed once per attempt, however many addresses it has, by the reason. A host that can be
// connected to has an open connection until the connection is returned.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table, err := metrics.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	row, err := table.Row(0)
	if err != nil {
		t.Fatal(err)
	}
	handshaker := tlsconn.NewHandshaker(w.loop.Loop)
	t.Cleanup(func() { w.loop.Do(handshaker.Close) })
	w.Connector = upstream.NewConnector(w.loop.Loop, 1, row, handshaker, slog.New(slog.DiscardHandler))
	secure, err := tlsconn.NewClient(tlsconn.ClientOptions{ServerName: "host.test"})
	if err != nil {
		t.Fatal(err)
	}
	refusing, hole, good := enginetest.Refusing(t, enginetest.Loopback), enginetest.BlackHole(t, enginetest.Loopback), hello(t, enginetest.Loopback, "good")
	w.knows("both.test", "127.0.0.1", "127.0.0.2")
	w.fails("none.test", errors.New("no such name"))
	short := func(g *upstream.Group) { g.HostTimeout = 50 * time.Millisecond }
	for _, tc := range []struct {
		name   string
		hosts  []any
		change func(*upstream.Group)
		want   string // how the first host fails; empty if it does not
	}{
		{"good", []any{good}, nil, ""},
		{"refusing", []any{refusing, good}, nil, "connect"},
		{"two addresses", []any{named("both.test", refusing), good}, nil, "connect"},
		{"no socket", []any{"unix:" + filepath.Join(t.TempDir(), "none"), good}, nil, "connect"},
		{"silent", []any{hole, good}, short, "connect_timeout"},
		{"no name", []any{named("none.test", good), good}, nil, "resolve"},
		{"no TLS", []any{enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo), good}, func(g *upstream.Group) { g.Hosts[0].TLS = secure }, "tls"},
		{"silent TLS", []any{enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold), good}, func(g *upstream.Group) {
			short(g)
			g.Hosts[0].TLS = secure
		}, "tls"},
	} {
		g := w.group(tc.hosts...)
		if tc.change != nil {
			tc.change(g)
		}
		var series []metrics.Series
		for i := range g.Hosts {
			series = append(series, metrics.Series{Kind: metrics.KindHost, Group: tc.name, Host: g.Hosts[i].Label})
		}
		places, _ := table.Assign(series)
		table.Commit()
		for i, p := range places {
			g.Hosts[i].Place = p
		}
		c, err := w.connect(g)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		first, last := table.Host(places[0]), table.Host(places[len(places)-1])
		if tc.want == "" {
			if n := first.Failures.Total(); n != 0 {
				t.Errorf("%s: %d failures", tc.name, n)
			}
		} else {
			var got []string
			for f := range metrics.Fault(len(first.Failures)) {
				for range first.Failures[f].Value() {
					got = append(got, f.String())
				}
			}
			if len(got) != 1 || got[0] != tc.want || first.Opened.Value() != 0 {
				t.Errorf("%s: failures %v of a host with %d connections, want %q", tc.name, got, first.Opened.Value(), tc.want)
			}
		}
		if last.Opened.Value() != 1 || last.Open.Value() != 1 || last.Connect.Count() != 1 {
			t.Errorf("%s: %d connections, %d of them open, %d took some time, want one", tc.name, last.Opened.Value(), last.Open.Value(), last.Connect.Count())
		}
		w.loop.Do(func() {
			c.conn.Close()
			w.Closed(places[len(places)-1])
			w.Release(g, &c.lease, upstream.Report{Asked: true})
		})
		if last = table.Host(places[len(places)-1]); last.Open.Value() != 0 || last.Requests[0].Value() != 1 {
			t.Errorf("%s: %d connections are open, and %d uses, want none and one", tc.name, last.Open.Value(), last.Requests[0].Value())
		}
	}
}

// Each waiting attempt is counted once as queued, until its wait ends: by a place, by a failure, or by leaving.
func TestQueueIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table, err := metrics.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	row, err := table.Row(0)
	if err != nil {
		t.Fatal(err)
	}
	w.Connector = upstream.NewConnector(w.loop.Loop, 1, row, nil, slog.New(slog.DiscardHandler))
	g := w.full(1, 10, 0, hello(t, enginetest.Loopback, "good"))
	places, _ := table.Assign([]metrics.Series{{Kind: metrics.KindGroup, Group: "app"}})
	g.Place = places[0]
	expect := func(queued int64, waited uint64) {
		t.Helper()
		if m := table.Group(g.Place); m.Queued.Value() != queued || m.Waited.Value() != waited {
			t.Errorf("%d wait, and %d have, want %d and %d", m.Queued.Value(), m.Waited.Value(), queued, waited)
		}
	}
	first, err := w.connect(g)
	if err != nil {
		t.Fatal(err)
	}
	expect(0, 0)
	leaving, staying := w.client(g), w.client(g)
	w.loop.Do(func() {
		leaving.begin()
		staying.begin()
	})
	expect(2, 2)
	w.loop.Do(func() { leaving.attempt.Cancel() })
	expect(1, 2)
	w.loop.Do(func() { w.Release(g, &first.lease, upstream.Report{}) })
	staying.Await(t, "a place", func() bool { return len(staying.outcome) == 1 })
	if err := staying.result(); err != nil {
		t.Error(err)
	}
	expect(0, 2)
	w.loop.Do(func() { w.Release(g, &staying.lease, upstream.Report{}) })
}

// If requests share connections, the connections are counted as open, not the streams. A host that does not begin to speak has failed.
func TestSharedConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table, err := metrics.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	row, err := table.Row(0)
	if err != nil {
		t.Fatal(err)
	}
	w.Connector = upstream.NewConnector(w.loop.Loop, 1, row, nil, slog.New(slog.DiscardHandler))
	m := &lines{loop: w.loop.Loop}
	w.loop.Do(func() { w.Multiplex(m) })
	h, at := w.lineHost("limit 2\n")
	g := w.group(at)
	g.Protocol = upstream.HTTP2
	places, _ := table.Assign([]metrics.Series{{Kind: metrics.KindHost, Group: "app", Host: at}})
	table.Commit()
	g.Hosts[0].Place = places[0]
	w.keeps(g, 9)
	count := func(opened uint64, open int64, failures uint64) {
		t.Helper()
		w.eventually("what is counted", func() bool {
			c := table.Host(places[0])
			return c.Opened.Value() == opened && c.Open.Value() == open && c.Failures.Total() == failures
		})
	}
	list := w.begin(g, 3)
	w.outcomes(list)
	count(2, 2, 0)
	w.release(list...)
	count(2, 2, 0)
	list = w.begin(g, 4)
	w.outcomes(list)
	count(2, 2, 0)
	_ = h.conn(0).Close()
	_ = h.conn(1).Close()
	count(2, 0, 0)
	w.release(list...)
	h.greet("what\n")
	list = w.begin(g, 4)
	if got, _ := w.outcomes(list); got != 0 {
		t.Errorf("%d got a stream", got)
	}
	// Four attempts wait for two connections, each of which takes two streams.
	w.eventually("both have failed", func() bool { return table.Host(places[0]).Open.Value() == 0 })
	if c := table.Host(places[0]); c.Failures.Total() != c.Opened.Value()-2 {
		t.Errorf("%d connections that failed, %d failures", c.Opened.Value()-2, c.Failures.Total())
	}
}
