package httpcodec

import (
	"testing"

	"kroxy-ev/engine/metrics"
)

// newTable makes a table of metrics.
func newTable(t testing.TB) *metrics.Table {
	t.Helper()
	table, err := metrics.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

// newRow returns the table's row for a loop.
func newRow(t testing.TB, table *metrics.Table, n int) *metrics.Row {
	t.Helper()
	row, err := table.Row(n)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// measure gives everything in set a place in the table, by name. Groups and hosts that have a place keep it.
func measure(table *metrics.Table, set *Settings) {
	series, at := []metrics.Series{{Kind: metrics.KindServer, Server: set.Server.Name}}, []*metrics.Place{&set.Place}
	add := func(s metrics.Series, p *metrics.Place) { series, at = append(series, s), append(at, p) }
	for i := range set.Routes {
		r := &set.Routes[i]
		add(metrics.Series{Kind: metrics.KindRoute, Server: set.Server.Name, Route: r.Name}, &r.Place)
		for j := range r.Targets {
			g := r.Targets[j].Group
			add(metrics.Series{Kind: metrics.KindGroup, Group: g.Name}, &g.Place)
			for k := range g.Hosts {
				add(metrics.Series{Kind: metrics.KindHost, Group: g.Name, Host: g.Hosts[k].Label}, &g.Hosts[k].Place)
			}
		}
	}
	places, _ := table.Assign(series)
	table.Commit()
	for i, p := range places {
		*at[i] = p
	}
}
