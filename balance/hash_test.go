package balance_test

import (
	"fmt"
	"slices"
	"testing"

	"kroxy-ev/balance"
)

// owners returns the host of each of many keys.
func owners(t *testing.T, g *balance.Group, keys int, excluded ...int) []int {
	t.Helper()
	list := make([]int, keys)
	for k := range list {
		list[k] = choose(t, g, fmt.Sprintf("tenant-%d", k), excluded...)
	}
	return list
}

func counted(owners []int, hosts int) []int {
	had := make([]int, hosts)
	for _, i := range owners {
		had[i]++
	}
	return had
}

// Keys are distributed by weight, and each goes to the same host every time and in any process.
func TestHash(t *testing.T) {
	t.Parallel()
	const keys = 8000
	for _, weights := range [][]int{{1, 1, 1, 1, 1}, {3, 2, 1}, {1000, 0, 1000, 5}} {
		g := made(t, "hash", 1, specs(weights...))
		got := owners(t, g, keys)
		checkShares(t, fmt.Sprint(weights), counted(got, len(weights)), chances(weights...))
		if !slices.Equal(owners(t, g, keys), got) {
			t.Errorf("%v: keys do not stay where they are", weights)
		}
		if !slices.Equal(owners(t, made(t, "hash", 1, specs(weights...)), keys), got) {
			t.Errorf("%v: two processes do not agree", weights)
		}
		if !slices.Equal(owners(t, made(t, "ip_hash", 1, specs(weights...)), keys), got) {
			t.Errorf("%v: ip_hash is not hash", weights)
		}
	}
}

// The keys of a host that is not usable are spread over the others by weight, and each keeps its new host; all other keys stay. When the host is
// removed for good, or comes back, hardly any other keys move either.
func TestHashMovesLittle(t *testing.T) {
	t.Parallel()
	const keys, gone = 8000, 1
	weights := []int{2, 2, 3, 2, 1}
	g := made(t, "hash", 1, specs(weights...))
	before, during := owners(t, g, keys), owners(t, g, keys, gone)
	if !slices.Equal(during, owners(t, g, keys, gone)) {
		t.Error("the next choice of a key differs from time to time")
	}
	spread, moved := make([]int, len(weights)), 0
	for k, i := range before {
		if i == gone {
			spread[during[k]]++
		} else if during[k] != i {
			moved++
		}
	}
	if moved > 0 {
		t.Errorf("%d keys of other hosts moved while one was not usable", moved)
	}
	checkShares(t, "keys of the one that is not usable", spread, chances(2, 0, 3, 2, 1))

	five, moved := equal(5), 0
	all := owners(t, made(t, "hash", 1, five), keys)
	for k, i := range owners(t, made(t, "hash", 1, slices.Delete(slices.Clone(five), gone, gone+1)), keys) {
		if i >= gone {
			i++
		}
		if i != all[k] {
			moved++
		}
	}
	if moved*4 > keys {
		t.Errorf("%d of %d keys moved when one of five hosts was removed", moved, keys)
	}
}

// A key finds the only host that is left, whatever its weight; and clients without a key do not all go to the same host.
func TestHashAtTheEdges(t *testing.T) {
	t.Parallel()
	g := made(t, "hash", 1, specs(1000, 1000, 1, 0))
	for k, i := range owners(t, g, 200, 0, 1) {
		if i != 2 {
			t.Fatalf("key %d goes to host %d", k, i)
		}
	}
	if lease, ok := g.Acquire(0, []byte("x"), tried(0, 1, 2), 0); ok {
		t.Errorf("host %d, which has no weight", lease.Host())
	}
	g = made(t, "hash", 1, specs(2, 1))
	var got []int
	for range 6 {
		got = append(got, choose(t, g, ""))
	}
	if !slices.Equal(got, []int{0, 0, 1, 0, 0, 1}) {
		t.Errorf("without a key: %v", got)
	}
}
