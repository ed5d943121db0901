package balance

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// In a group that is compared as a whole, the choice is always that of the obvious formula: cost times the number of leases plus one, by weight; a
// host
// without a known cost has one request at a time.
func TestLeastTimeIsExact(t *testing.T) {
	t.Parallel()
	weights := []int{1, 2, 3, 1, 5, 0}
	var hosts []Spec
	for _, w := range weights {
		hosts = append(hosts, Spec{Weight: w})
	}
	g, err := NewGroupOf([]int{0, 1, 2, 3, 4, 5}, Options{Algorithm: "least_time", Hosts: hosts}, NewCounters(1, len(hosts)))
	if err != nil {
		t.Fatal(err)
	}
	r, now := rand.New(rand.NewPCG(15, 16)), int64(1000)
	load := func(i int) float64 {
		us, held := float64(cost(atomic.LoadUint64(g.hosts.word(i, lineCost))).at(now)), float64(g.hosts.Active(i))
		if us == 0 && held > 0 {
			us = unknown
		}
		return us * (held + 1) / float64(weights[i])
	}
	type flight struct {
		lease *Lease
		since int64
	}
	var flying []flight
	for range 4000 {
		now += r.Int64N(20)
		if len(flying) > 0 && r.IntN(30) < len(flying) {
			at := r.IntN(len(flying))
			f := flying[at]
			f.lease.Release(Outcome{Class: Served, Latency: time.Duration(now-f.since) * time.Millisecond / 10}, now)
			flying = slices.Delete(flying, at, at+1)
			continue
		}
		least := load(0)
		loads := make([]float64, len(weights))
		for i, w := range weights {
			if w > 0 {
				loads[i] = load(i)
				least = min(least, loads[i])
			}
		}
		var none Tried
		lease, ok := g.Acquire(0, nil, &none, now)
		if i := lease.Host(); !ok || weights[i] == 0 || loads[i] > least {
			t.Fatalf("host %d of %v", i, loads)
		}
		flying = append(flying, flight{&lease, now})
	}
}
