package balance_test

import (
	"sync"
	"testing"

	"kroxy-ev/balance"
)

type counts struct{ active, served, failed, erred int64 }

func countsOf(g *balance.Group, i int) counts {
	h := g.Hosts()
	return counts{h.Active(i), h.Served(i), h.Failed(i), h.Erred(i)}
}

func TestOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		class balance.Class
		text  string
		want  counts
	}{
		{balance.Unused, "unused", counts{}},
		{balance.Served, "served", counts{served: 1}},
		{balance.Failed, "failed", counts{failed: 1}},
		{balance.Erred, "erred", counts{erred: 1}},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			if got := c.class.String(); got != c.text {
				t.Errorf("String: %q, want %q", got, c.text)
			}
			g := group(t, "first", 2, 1)
			lease, ok := g.Acquire(0, nil, tried(0), 0)
			if !ok || !lease.Held() || lease.Host() != 1 {
				t.Fatalf("acquired %v, held %v, host %d", ok, lease.Held(), lease.Host())
			}
			if got := countsOf(g, 1); got != (counts{active: 1}) {
				t.Errorf("while held: %+v", got)
			}
			lease.Release(balance.Outcome{Class: c.class}, 0)
			// Only the first call counts.
			lease.Release(balance.Outcome{Class: balance.Served}, 0)
			lease.Release(balance.Outcome{Class: balance.Failed}, 0)
			lease.Release(balance.Outcome{Class: balance.Unused}, 0)
			if lease.Held() {
				t.Error("held after Release")
			}
			if got := countsOf(g, 1); got != c.want {
				t.Errorf("after Release: %+v, want %+v", got, c.want)
			}
			if got := countsOf(g, 0); got != (counts{}) {
				t.Errorf("the other host: %+v", got)
			}
		})
	}
}

func TestZeroLease(t *testing.T) {
	t.Parallel()
	var lease balance.Lease
	if lease.Held() {
		t.Error("held")
	}
	lease.Release(balance.Outcome{Class: balance.Failed}, 0)
}

func TestAcquirePutsTheHostIntoTried(t *testing.T) {
	t.Parallel()
	g := group(t, "first", 3, 1)
	var seen balance.Tried
	for want := range 3 {
		lease, ok := g.Acquire(0, nil, &seen, 0)
		if !ok || lease.Host() != want || !seen.Has(want) || seen.Count() != want+1 {
			t.Fatalf("acquired %v, host %d, tried %d", ok, lease.Host(), seen.Count())
		}
	}
	lease, ok := g.Acquire(0, nil, &seen, 0)
	if ok || lease.Held() {
		t.Error("a host beyond the last was acquired")
	}
	for i := range 3 {
		if n := g.Hosts().Active(i); n != 1 {
			t.Errorf("host %d: active %d, want 1", i, n)
		}
	}
}

// Sums are over all rows, also while a goroutine per row counts leases.
func TestSumsOverRows(t *testing.T) {
	t.Parallel()
	const rows, hosts, each = 8, 3, 200
	g := group(t, "round_robin", hosts, rows)
	held := make([][]balance.Lease, rows)
	var wg sync.WaitGroup
	for row := range rows {
		held[row] = make([]balance.Lease, 0, each)
		wg.Go(func() {
			for range each {
				lease, _ := g.Acquire(row, nil, tried(), 0)
				held[row] = append(held[row], lease)
			}
		})
	}
	wg.Wait()
	var sum int64
	for i := range hosts {
		sum += g.Hosts().Active(i)
	}
	if sum != rows*each {
		t.Errorf("active: %d, want %d", sum, rows*each)
	}
	want := make([]counts, hosts)
	for row := range rows {
		wg.Go(func() {
			for i := range held[row] {
				held[row][i].Release(balance.Outcome{Class: balance.Class(i % 4)}, 0)
			}
		})
	}
	wg.Wait()
	for row := range rows {
		for i := range held[row] {
			switch w := &want[held[row][i].Host()]; balance.Class(i % 4) {
			case balance.Served:
				w.served++
			case balance.Failed:
				w.failed++
			case balance.Erred:
				w.erred++
			}
		}
	}
	for i := range hosts {
		if got := countsOf(g, i); got != want[i] {
			t.Errorf("host %d: %+v, want %+v", i, got, want[i])
		}
	}
}
