package balance_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kroxy-ev/balance"
)

// A closed loop of clients: slow hosts get little, and more again when they are fast.
func TestLeastTimeFollowsLatency(t *testing.T) {
	t.Parallel()
	const clients = 8
	g := made(t, "least_time", 1, equal(4))
	latency := []int64{2, 2, 2, 40} // in ms
	type flight struct {
		lease *balance.Lease
		began int64
		ends  int64
	}
	var flying []flight
	now, r := int64(1000), rand.New(rand.NewPCG(17, 18))
	run := func(ms int64) []int {
		had := make([]int, len(latency))
		for end := now + ms; now < end; now++ {
			flying = slices.DeleteFunc(flying, func(f flight) bool {
				if f.ends > now {
					return false
				}
				f.lease.Release(balance.Outcome{Class: balance.Served, Latency: time.Duration(now-f.began) * time.Millisecond}, now)
				return true
			})
			for len(flying) < clients {
				lease, ok := g.Acquire(0, nil, tried(), now)
				if !ok {
					t.Fatal("no host")
				}
				had[lease.Host()]++
				flying = append(flying, flight{&lease, now, now + latency[lease.Host()] + r.Int64N(3)})
			}
		}
		return had
	}
	had := run(3000)
	total := had[0] + had[1] + had[2] + had[3]
	if had[3]*20 > total || had[3] == 0 {
		t.Errorf("the slow host had %d of %d", had[3], total)
	}
	if fewest, most := min(had[0], had[1], had[2]), max(had[0], had[1], had[2]); fewest*10 < most*9 {
		t.Errorf("equal hosts had %v", had[:3])
	}
	latency[3] = 2
	for _, f := range flying {
		f.lease.Release(balance.Outcome{Class: balance.Unused}, now)
	}
	flying, now = nil, now+60_000 // the past is nearly forgotten
	run(100)
	if had := run(3000); had[3]*5 < had[0]*4 {
		t.Errorf("a host that is fast again had %v", had)
	}
}

// answered makes host i answer a request in 5 ms.
func answered(tb testing.TB, g *balance.Group, i int) {
	tb.Helper()
	lease, ok := g.AcquireHost(0, i, tried(), 0)
	if !ok {
		tb.Fatalf("host %d does not serve", i)
	}
	lease.Release(balance.Outcome{Class: balance.Served, Latency: 5 * time.Millisecond}, 0)
}

// A silent host is known to be slow by how long its clients have waited, even if it never answered anybody; and one that a client leaves at once
// does not
// count as fast.
func TestLeastTimeKnowsSilence(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		before time.Duration // that the silent host took for an answer before; zero if it never answered
		waited time.Duration
		had    int // of 100 clients, one after another
	}{
		{"it answered before", ms, 200 * ms, 1},
		{"it never answered", 0, 200 * ms, 1},
		{"its clients leave at once", 0, ms / 1000, 100},
		{"it answered slowly before, and its clients leave at once", 300 * ms, ms / 1000, 0},
	} {
		g, now := made(t, "least_time", 1, equal(2)), int64(1000)
		end := func(i int, how balance.Class, took time.Duration) {
			lease, ok := g.AcquireHost(0, i, tried(), now)
			if !ok {
				t.Fatalf("%s: host %d does not serve", c.name, i)
			}
			lease.Release(balance.Outcome{Class: how, Latency: took}, now)
		}
		end(1, balance.Served, 5*ms)
		if c.before > 0 {
			end(0, balance.Served, c.before)
		}
		had := 0
		for range 100 {
			lease, ok := g.Acquire(0, nil, tried(), now)
			if !ok {
				t.Fatalf("%s: no host", c.name)
			}
			if lease.Host() == 0 {
				had++
				lease.Release(balance.Outcome{Class: balance.Unused, Latency: c.waited}, now)
				continue
			}
			lease.Release(balance.Outcome{Class: balance.Served, Latency: 5 * ms}, now)
		}
		if had != c.had {
			t.Errorf("%s: it had %d of 100 clients, want %d", c.name, had, c.had)
		}
	}
}

// A host without a known cost gets one client at a time, however fast it errs.
func TestLeastTimeIsNotDrawnToWhoErrsFirst(t *testing.T) {
	t.Parallel()
	g := made(t, "least_time", 1, equal(2))
	lease, ok := g.AcquireHost(0, 1, tried(), 1000)
	if !ok {
		t.Fatal("no host")
	}
	lease.Release(balance.Outcome{Class: balance.Served, Latency: 5 * time.Millisecond}, 1000)
	for range 3 {
		if lease, ok = g.Acquire(0, nil, tried(), 1000); !ok || lease.Host() != 0 {
			t.Fatalf("host %d, want the one of which nothing is known", lease.Host())
		}
		if other, ok := g.Acquire(0, nil, tried(), 1000); !ok || other.Host() != 1 {
			t.Fatal("it has two clients at a time")
		} else {
			other.Release(balance.Outcome{}, 1000)
		}
		lease.Release(balance.Outcome{Class: balance.Erred, Latency: time.Microsecond}, 1000)
	}
}

// A host does not look fast because it fails fast, nor because it is not known how long it was silent.
func TestLeastTimeIsNotDrawnToErrors(t *testing.T) {
	t.Parallel()
	const ms, later = time.Millisecond, 20_000
	for _, error := range []time.Duration{0, time.Microsecond, 9 * ms} {
		g := made(t, "least_time", 1, equal(3))
		for _, r := range []struct {
			host int
			how  balance.Class
			took time.Duration
			at   int64
		}{
			{0, balance.Served, 3 * ms, 0}, {1, balance.Served, 4 * ms, 0}, {2, balance.Served, 2 * ms, 0}, {2, balance.Unused, 0, 0}, {2, balance.Unused, ms, 0},
			{0, balance.Served, 3 * ms, later}, {1, balance.Erred, error, later}, {2, balance.Served, 2 * ms, later}, {2, balance.Served, 0, later},
		} {
			lease, ok := g.AcquireHost(0, r.host, tried(), r.at)
			if !ok {
				t.Fatal("no host")
			}
			lease.Release(balance.Outcome{Class: r.how, Latency: r.took}, r.at)
		}
		var got []int
		for range 3 {
			lease, ok := g.Acquire(0, nil, tried(got...), later)
			if !ok {
				t.Fatal("no host")
			}
			got = append(got, lease.Host())
		}
		if !slices.Equal(got, []int{2, 0, 1}) {
			t.Errorf("with an error after %v the order is %v", error, got)
		}
	}
}
