package balance_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"kroxy-ev/balance"
)

// bounded makes a group of hosts with this bound each, with a queue.
func bounded(tb testing.TB, c *balance.Counters, hosts, most, queue int) *balance.Group {
	tb.Helper()
	o := balance.Options{Algorithm: "round_robin", Hosts: plain(make([]string, hosts)...), Queue: queue, RetryBudget: 20}
	for i := range o.Hosts {
		o.Hosts[i].MaxConns = most
	}
	return groupWith(tb, c, o)
}

// A full host is skipped, and it is reported when all are full. A released lease makes room.
func TestFull(t *testing.T) {
	t.Parallel()
	for _, a := range balance.Algorithms() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			o := balance.Options{Algorithm: a.Name, Hosts: plain("", "", "")}
			for i := range o.Hosts {
				o.Hosts[i].MaxConns = i + 1
			}
			g := groupWith(t, balance.NewCounters(2, 3), o)
			var held []*balance.Lease
			for n := range 6 {
				l, ok := g.Acquire(n%2, nil, tried(), 0)
				if !ok {
					t.Fatalf("no place for lease %d", n)
				}
				held = append(held, &l)
			}
			for i := range 3 {
				if n := g.Hosts().Active(i); n != int64(i+1) {
					t.Errorf("host %d has %d, want %d", i, n, i+1)
				}
			}
			var seen balance.Tried
			if _, ok := g.Acquire(0, nil, &seen, 0); ok || !seen.Full() || seen.Count() != 0 {
				t.Errorf("acquired %v of full hosts; full: %v", ok, seen.Full())
			}
			if _, ok := g.AcquireHost(0, 2, &seen, 0); ok || !seen.Full() {
				t.Errorf("the full host itself: %v; full: %v", ok, seen.Full())
			}
			if _, ok := g.Acquire(0, nil, tried(0, 1, 2), 0); ok {
				t.Error("a host was acquired that was tried")
			}
			held[4].Release(balance.Outcome{Class: balance.Served}, 0)
			free := held[4].Host()
			if l, ok := g.Acquire(1, nil, &seen, 0); !ok || l.Host() != free {
				t.Errorf("acquired %v, host %d, want %d, which has room", ok, l.Host(), free)
			}
			for i := range 3 {
				if n := g.Hosts().Active(i); n != int64(i+1) {
					t.Errorf("at last host %d has %d", i, n)
				}
			}
		})
	}
}

// Tried hosts do not count as full: Tried.Full says nothing of them.
func TestTriedIsNotFull(t *testing.T) {
	t.Parallel()
	g := bounded(t, balance.NewCounters(1, 2), 2, 1, 0)
	var seen balance.Tried
	g.Acquire(0, nil, &seen, 0)
	g.Acquire(0, nil, &seen, 0)
	if _, ok := g.Acquire(0, nil, &seen, 0); ok || seen.Full() {
		t.Errorf("%v, full: %v", ok, seen.Full())
	}
}

// However many come at once, in whatever rows: bounds are never exceeded, a single caller finds what is free, and at the end nothing is held.
func TestBoundsAreExact(t *testing.T) {
	t.Parallel()
	const rows, each, hosts, most, places = 8, 3000, 3, 4, 5
	shared := shared(t, rows, 8)
	groups := make([]*balance.Group, rows)
	for row := range groups {
		groups[row] = bounded(t, mapped(t, shared), hosts, most, places)
		take(t, shared)
	}
	var inHand [hosts]atomic.Int64
	var waiting, refused atomic.Int64
	var wg sync.WaitGroup
	for row, g := range groups {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(row), 1))
			var held []*balance.Lease
			queued := 0
			for range each {
				switch rng.IntN(4) {
				case 0, 1:
					var seen balance.Tried
					if l, ok := g.Acquire(row, nil, &seen, 0); ok {
						if n := inHand[l.Host()].Add(1); n > most {
							t.Errorf("host %d has %d", l.Host(), n)
						}
						held = append(held, &l)
					} else if refused.Add(1); !seen.Full() {
						t.Error("no host, and none is full")
					}
				case 2:
					if len(held) > 0 {
						at := rng.IntN(len(held))
						inHand[held[at].Host()].Add(-1)
						held[at].Release(balance.Outcome{Class: balance.Class(rng.IntN(4))}, 0)
						held = slices.Delete(held, at, at+1)
					}
				case 3:
					if queued > 0 && rng.IntN(2) == 0 {
						waiting.Add(-1)
						g.Dequeue(row)
						queued--
					} else if g.Enqueue(row) {
						if n := waiting.Add(1); n > places {
							t.Errorf("%d wait", n)
						}
						queued++
					}
				}
			}
			for _, l := range held {
				inHand[l.Host()].Add(-1)
				l.Release(balance.Outcome{}, 0)
			}
			for range queued {
				waiting.Add(-1)
				g.Dequeue(row)
			}
		})
	}
	wg.Wait()
	g := groups[0]
	if refused.Load() == 0 {
		t.Error("nobody was refused: the test does not try what it should")
	}
	for i := range hosts {
		if n := g.Hosts().Active(i); n != 0 {
			t.Errorf("at the end host %d has %d", i, n)
		}
	}
	if n := g.Queued(); n != 0 {
		t.Errorf("at the end %d wait", n)
	}
	for n := range hosts * most {
		if _, ok := g.Acquire(0, nil, tried(), 0); !ok {
			t.Errorf("place %d of %d cannot be had", n, hosts*most)
		}
	}
	for n := range places {
		if !g.Enqueue(0) {
			t.Errorf("place %d of %d in the queue cannot be had", n, places)
		}
	}
	if g.Enqueue(1) {
		t.Error("one place in the queue too many")
	}
}

// Of concurrent callers for the last place one gets it: two do not block each other.
func TestLastPlaceIsTaken(t *testing.T) {
	t.Parallel()
	const rows, rounds = 4, 2000
	g := bounded(t, balance.NewCounters(rows, 1), 1, 1, 1)
	start, done := make([]chan bool, rows), make(chan [2]bool, rows)
	for row := range rows {
		start[row] = make(chan bool)
		go func() {
			for range start[row] {
				l, ok := g.Acquire(row, nil, tried(), 0)
				queued := g.Enqueue(row)
				done <- [2]bool{ok, queued}
				<-start[row]
				l.Release(balance.Outcome{}, 0)
				if queued {
					g.Dequeue(row)
				}
				done <- [2]bool{}
			}
		}()
	}
	for round := range rounds {
		var had [2]int
		for _, step := range []bool{true, false} {
			for row := range rows {
				start[row] <- step
			}
			for range rows {
				for i, ok := range <-done {
					if ok {
						had[i]++
					}
				}
			}
		}
		if had != [2]int{1, 1} {
			t.Fatalf("round %d: %d had the one place at the host, and %d that in the queue", round, had[0], had[1])
		}
	}
	for row := range rows {
		close(start[row])
	}
}

// What dead workers held is given back: after 200 of them there is as much room as before.
func TestDeadWritersLoseNothing(t *testing.T) {
	t.Parallel()
	const workers, hosts, most, places = 200, 2, 3, 4
	c := shared(t, 8, 16)
	g := bounded(t, c, hosts, most, places)
	rng := rand.New(rand.NewPCG(1, 1))
	var rows []int
	for range 4 {
		rows = append(rows, take(t, c))
	}
	for n := range workers {
		for range 20 {
			row := rows[rng.IntN(len(rows))]
			switch rng.IntN(3) {
			case 0:
				g.Acquire(row, nil, tried(), 0)
			case 1:
				g.Enqueue(row)
			case 2:
				g.Retry(row)
			}
		}
		at := rng.IntN(len(rows))
		c.ClearRow(rows[at])
		rows[at] = take(t, c)
		if n%10 != 9 {
			continue
		}
		for i, row := range rows {
			c.ClearRow(row)
			rows[i] = take(t, c)
		}
		if g.Hosts().Active(0)+g.Hosts().Active(1)+g.Queued() != 0 {
			t.Fatalf("after %d deaths %d and %d are held, and %d places", n+1, g.Hosts().Active(0), g.Hosts().Active(1), g.Queued())
		}
		for range 1000 { // earn the cost of the retries
			l, _ := g.Acquire(rows[0], nil, tried(), 0)
			l.Release(balance.Outcome{}, 0)
		}
		for k, can := range map[string]func() bool{
			"at a host":    func() bool { _, ok := g.Acquire(rows[0], nil, tried(), 0); return ok },
			"in the queue": func() bool { return g.Enqueue(rows[0]) },
			"to retry":     func() bool { return g.Retry(rows[0]) },
		} {
			want := map[string]int{"at a host": hosts * most, "in the queue": places, "to retry": 10}[k]
			for had := range want + 1 {
				if can() != (had < want) {
					t.Fatalf("after %d deaths: %d places %s, want %d", n+1, had, k, want)
				}
			}
		}
		c.ClearRow(rows[0])
		rows[0] = take(t, c)
	}
}

// The budget bounds concurrent retries to a share of the leases over all rows, and at least ten.
func TestRetriesAtATime(t *testing.T) {
	t.Parallel()
	for _, held := range []int{0, 1, 49, 50, 54, 55, 60, 100, 1000, 10_000} {
		const rows = 4
		g := bounded(t, balance.NewCounters(rows, 2), 2, 0, 0)
		for n := range held {
			if _, ok := g.Acquire(n%rows, nil, tried(), 0); !ok {
				t.Fatal("no host")
			}
		}
		want := min(max(held/5, 10), 1000)
		had := 0
		for g.Retry(had%rows) && had < 2000 {
			had++
		}
		if had != want {
			t.Errorf("%d are held: %d retries, want %d", held, had, want)
		}
		g.Retried(0)
		if !g.Retry(3) || g.Retry(2) {
			t.Errorf("%d are held: when one was over, not one more was allowed", held)
		}
	}
}

// Over time each row has a reserve of ten retries, and regains them by requests, each of which earns the budget.
func TestRetriesOverTime(t *testing.T) {
	t.Parallel()
	for _, budget := range []int{0, 1, 20, 100} {
		const rows = 2
		o := balance.Options{Algorithm: "first", Hosts: plain("", ""), RetryBudget: budget}
		g := groupWith(t, balance.NewCounters(rows, 2), o)
		request := func(row int) {
			var seen balance.Tried
			l, _ := g.Acquire(row, nil, &seen, 0)
			other, _ := g.Acquire(row, nil, &seen, 0) // another try of the same request, which earns nothing
			l.Release(balance.Outcome{Class: balance.Served}, 0)
			other.Release(balance.Outcome{Class: balance.Served}, 0)
		}
		retries := func(row int) (n int) {
			for n < 100 && g.Retry(row) {
				g.Retried(row)
				n++
			}
			return n
		}
		for row := range rows {
			if n := retries(row); n != 10 {
				t.Errorf("%d%%, row %d: %d retries at hand, want 10", budget, row, n)
			}
		}
		for range 30 {
			request(0)
		}
		if got, want := retries(0), min(30*budget/100, 10); got != want {
			t.Errorf("%d%%: after 30 requests %d retries, want %d", budget, got, want)
		}
		if got := retries(1); got != 0 {
			t.Errorf("%d%%: another row has got %d retries by these", budget, got)
		}
		for range 10_000 {
			request(0)
		}
		if got, want := retries(0), min(10_000*budget, 1000)/100; got != want {
			t.Errorf("%d%%: after many requests %d retries, want %d", budget, got, want)
		}
	}
}

// If all requests fail and each is retried as far as the budget allows, hosts get at most a quarter more, however few clients there are.
func TestRetriesAreAtMostAQuarterMore(t *testing.T) {
	t.Parallel()
	for _, clients := range []int{1, 8, 64, 500} {
		const rows = 2
		g := bounded(t, balance.NewCounters(rows, 4), 4, 0, 0)
		type client struct {
			lease balance.Lease
			retry bool
			tried balance.Tried
		}
		all := make([]client, clients)
		requests, seen := 0, 0
		for range min(20_000/clients, 600) {
			for i := range all {
				c, row := &all[i], i%rows
				again := false
				if c.lease.Held() {
					if c.retry {
						g.Retried(row)
					} else {
						again = g.Retry(row)
					}
					c.lease.Release(balance.Outcome{Class: balance.Erred}, 0)
				}
				if c.retry = again; !again {
					requests++
					c.tried.Clear()
				}
				seen++
				c.lease, _ = g.Acquire(row, nil, &c.tried, 0)
			}
		}
		if most := requests + requests/4; seen > most || seen < requests*115/100 {
			t.Errorf("%d clients: hosts saw %d for %d requests", clients, seen, requests)
		}
	}
}

// An id is not given to another host while a place in its queue or a retry is held.
func TestHeldIDsAreNotReused(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(1, 1)
	r := balance.NewRegistry(c)
	assign(t, r, "a")
	g := bounded(t, c, 1, 0, 1)
	r.Commit()
	assign(t, r)
	r.Commit()
	for what, hold := range map[string][2]func(){
		"a place": {func() { g.Enqueue(0) }, func() { g.Dequeue(0) }},
		"a retry": {func() { g.Retry(0) }, func() { g.Retried(0) }},
	} {
		hold[0]()
		if _, err := r.Assign([]string{"b"}); err == nil {
			t.Errorf("%s was held, and the id was given away", what)
		}
		hold[1]()
	}
	assign(t, r, "b")
}

// Groups without hosts have nothing to hold.
func TestNoHostsNoPlaces(t *testing.T) {
	t.Parallel()
	g := bounded(t, balance.NewCounters(1, 1), 0, 0, 5)
	if g.ID() != -1 || g.Enqueue(0) || g.Retry(0) || g.Queued() != 0 {
		t.Error("a group without hosts has places")
	}
	g.Enforce()
	if id := bounded(t, balance.NewCounters(1, 1), 1, 0, 5).ID(); id != 0 {
		t.Errorf("the id is %d", id)
	}
}
