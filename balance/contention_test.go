package balance_test

import (
	"testing"

	"kroxy-ev/balance"
)

// The cost of one shared turn for writers on all CPUs, beside that of a group for each writer. Nothing else is done between two choices, so it
// is the worst case.
func BenchmarkTurnAmongWriters(b *testing.B) {
	for _, c := range []struct {
		what   string
		shared bool
	}{{"own", false}, {"shared", true}} {
		b.Run(c.what, func(b *testing.B) {
			counters := shared(b, 16, 1000)
			groups := make(chan *balance.Group, 16)
			for i := range cap(groups) {
				first := 0
				if !c.shared {
					first = 10 * i
				}
				groups <- groupOf(b, "round_robin", []int{first, first + 1, first + 2}, counters)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				g, row := <-groups, take(b, counters)
				var seen balance.Tried
				for pb.Next() {
					seen.Clear()
					lease, _ := g.Acquire(row, nil, &seen, 0)
					lease.Release(balance.Outcome{Class: balance.Served}, 0)
				}
			})
		})
	}
}
