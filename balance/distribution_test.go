package balance_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"kroxy-ev/balance"
)

// algorithms returns the names of all algorithms.
func algorithms() (names []string) {
	for _, a := range balance.Algorithms() {
		names = append(names, a.Name)
	}
	return names
}

// specs returns hosts with these weights, as in a configuration.
func specs(weights ...int) []balance.Spec {
	list := make([]balance.Spec, len(weights))
	for i, w := range weights {
		list[i] = balance.Spec{ID: fmt.Sprintf("web/10.0.0.%d:8080#0", i), Weight: w}
	}
	return list
}

func equal(n int) []balance.Spec { return specs(slices.Repeat([]int{1}, n)...) }

// made makes a group with its own counters.
func made(tb testing.TB, algorithm string, rows int, hosts []balance.Spec) *balance.Group {
	tb.Helper()
	return groupWith(tb, balance.NewCounters(rows, max(len(hosts), 1)), balance.Options{Algorithm: algorithm, Hosts: hosts})
}

// choose acquires a host for a key, and releases it at once.
func choose(tb testing.TB, g *balance.Group, key string, excluded ...int) int {
	tb.Helper()
	lease := hold(tb, g, key, excluded...)
	defer lease.Release(balance.Outcome{}, 0)
	return lease.Host()
}

func hold(tb testing.TB, g *balance.Group, key string, excluded ...int) *balance.Lease {
	tb.Helper()
	lease, ok := g.Acquire(0, []byte(key), tried(excluded...), 0)
	if !ok {
		tb.Fatal("no host")
	}
	return &lease
}

// keep holds n leases of host i.
func keep(tb testing.TB, g *balance.Group, i, n int) {
	tb.Helper()
	for range n {
		if _, ok := g.AcquireHost(0, i, tried(), 0); !ok {
			tb.Fatalf("host %d does not serve", i)
		}
	}
}

// checkShares compares how often each host was chosen with its probability, where chance decides: seven standard deviations mean less than one
// false alarm in a hundred billion comparisons.
func checkShares(tb testing.TB, what string, had []int, chances []float64) {
	tb.Helper()
	n := 0
	for _, h := range had {
		n += h
	}
	for i, p := range chances {
		want, sigma := p*float64(n), math.Sqrt(p*(1-p)*float64(n))
		if math.Abs(float64(had[i])-want) > 7*sigma+1 {
			tb.Errorf("%s: %v of %d, but host %d should have about %.0f", what, had, n, i, want)
			return
		}
	}
}

// chances returns the probabilities that result from weights.
func chances(weights ...int) []float64 {
	total := 0
	for _, w := range weights {
		total += w
	}
	list := make([]float64, len(weights))
	for i, w := range weights {
		list[i] = float64(w) / float64(total)
	}
	return list
}
