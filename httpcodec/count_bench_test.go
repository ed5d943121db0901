package httpcodec

import (
	"log/slog"
	"net/netip"
	"testing"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
)

// Measures what it costs to count an exchange in every place where it is counted, including reading the clock: a request that
// was sent to a host, and a response that was sent to the client.
func BenchmarkCount(b *testing.B) {
	table := newTable(b)
	row := newRow(b, table, 0)
	loop, err := engine.NewLoop(engine.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer loop.Close()
	resolver := resolve.New(resolve.Options{})
	defer resolver.Close()
	set := newSettings(b, resolver, nil, netip.MustParseAddrPort("127.0.0.1:1"))
	measure(table, set)
	connector := upstream.NewConnector(loop, 0, row, nil, slog.New(slog.DiscardHandler))
	v := NewServer(loop, Options{Connector: connector, Metrics: row, Log: slog.New(slog.DiscardHandler)})
	c := v.client()
	c.entry, c.settings = v.NewEntry(EntryOptions{Settings: set}), set
	c.begin()
	x := c.x
	x.route, x.target, x.host.Group = &set.Routes[0], &set.Routes[0].Targets[0], set.only().Group
	if !connector.Lease(x.host.Group, &x.host.Lease, nil, new(balance.Tried)) {
		b.Fatal("there is no host")
	}
	x.status, x.res.Status = 200, 200
	b.ReportAllocs()
	for b.Loop() {
		x.markAsked()
		x.asked = -1 // the response arrives in another batch of events
		x.up.Bytes += 100
		x.countBytes()
		x.markAnswered()
		x.down.Bytes += 1000
		x.countBytes()
		r := x.answerReport()
		connector.Count(x.host.Group, x.host.Lease.Host(), &r)
		v.count(x.places(), x.finalStatus(), x.end, x.began)
	}
}
