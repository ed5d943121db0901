package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// paperTable returns the table by the paper's listing, for hosts of equal weight.
func paperTable(ids []string) []int {
	permutation := make([][]int, len(ids))
	for i, id := range ids {
		h := xxhash.Sum64String(id)
		offset, skip := int(h%tableSize), int(mix(h)%(tableSize-1))+1
		permutation[i] = make([]int, tableSize)
		for j := range permutation[i] {
			permutation[i][j] = (offset + j*skip) % tableSize
		}
	}
	next, entry := make([]int, len(ids)), make([]int, tableSize)
	for j := range entry {
		entry[j] = -1
	}
	for n := 0; ; {
		for i := range ids {
			c := permutation[i][next[i]]
			for entry[c] >= 0 {
				next[i]++
				c = permutation[i][next[i]]
			}
			entry[c] = i
			next[i]++
			if n++; n == tableSize {
				return entry
			}
		}
	}
}

func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("10.0.%d.%d:8080", i/256, i%256)
	}
	slices.Sort(list)
	return list
}

func equal(n int) []int { return slices.Repeat([]int{1}, n) }

func TestTableIsThePapers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 40} {
		want, got := paperTable(ids(n)), newTable(ids(n), equal(n))
		for j, i := range want {
			if int(got[j]) != i {
				t.Fatalf("%d hosts: entry %d is %d, want %d", n, j, got[j], i)
			}
		}
	}
}

// Each host has entries by its weight, to within one or two, and each of a thousand hosts has some.
func TestTableIsFair(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]int{equal(1), equal(5), equal(100), equal(1000), {3, 2, 1}, {1000, 1}, {5, 0, 5}, {7, 1000, 999, 500, 33}} {
		var total int
		for _, w := range weights {
			total += w
		}
		had := make([]int, len(weights))
		for _, i := range newTable(ids(len(weights)), weights) {
			had[i]++
		}
		for i, w := range weights {
			if share := float64(w) * tableSize / float64(total); math.Abs(float64(had[i])-share) > 2 {
				t.Errorf("%v: host %d has %d entries, want %.1f", weights[:min(len(weights), 5)], i, had[i], share)
			}
		}
	}
}

// When one of several hosts is removed, hardly any keys move but its own.
func TestTableMovesLittle(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 5, 20, 200} {
		all := ids(n)
		before := newTable(all, equal(n))
		for _, gone := range []int{0, n / 2, n - 1} {
			rest := slices.Delete(slices.Clone(all), gone, gone+1)
			after, moved := newTable(rest, equal(n-1)), 0
			for j, i := range before {
				if all[i] != rest[after[j]] {
					moved++
				}
			}
			own := 1 / float64(n)
			if part := float64(moved) / tableSize; part > own*1.05+0.04 {
				t.Errorf("%d hosts: %.1f%% of the keys moved when one was removed", n, 100*part)
			}
		}
	}
}

// The order in the file and a common factor of the weights do not matter: processes that have read the same hosts agree.
func TestRingsAgree(t *testing.T) {
	t.Parallel()
	var hosts []Spec
	for i, id := range ids(9) {
		hosts = append(hosts, Spec{ID: "agree/" + id, Weight: 2 + i%3})
	}
	owners := func(hosts []Spec) (list []string) {
		listed := make([]uint16, len(hosts))
		for i := range listed {
			listed[i] = uint16(i)
		}
		r := newRing(hosts, listed)
		for key := range uint64(500) {
			list = append(list, hosts[r.host(mix(key))].ID)
		}
		return list
	}
	want := owners(hosts)
	other := slices.Clone(hosts)
	for i := range other {
		other[i].Weight *= 7
	}
	rand.New(rand.NewPCG(7, 8)).Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
	if !slices.Equal(owners(other), want) {
		t.Error("the order of the hosts matters")
	}
	// The results must not change from version to version, because two versions run beside each other for a while.
	if got := want[:3]; !slices.Equal(got, []string{"agree/10.0.0.3:8080", "agree/10.0.0.5:8080", "agree/10.0.0.2:8080"}) {
		t.Errorf("the first keys' hosts are %q, other ones than those of earlier versions", got)
	}
}

// A table is made once for the same hosts, and freed with the last group that uses it.
func TestTablesAreShared(t *testing.T) {
	t.Parallel()
	hosts := []Spec{{ID: "shared/b", Weight: 1}, {ID: "shared/a", Weight: 1}, {ID: "shared/c"}, {ID: "shared/d", Weight: 3}}
	a := newRing(hosts, []uint16{0, 1})
	b := newRing([]Spec{hosts[1], hosts[0]}, []uint16{0, 1})
	if a.table != b.table || a.hosts[0] != 1 || b.hosts[0] != 0 {
		t.Errorf("two groups of the same hosts have two tables, or places %v and %v", a.hosts, b.hosts)
	}
	if c := newRing(hosts, []uint16{0, 1, 3}); c.table == a.table {
		t.Error("groups of other hosts have the same table")
	}
	runtime.KeepAlive(b)
	if r := newRing(hosts, nil); r.table != nil || len(r.hosts) != 0 {
		t.Error("there is a table for no hosts")
	}
	if r := newRing(hosts, []uint16{0, 2}); !slices.Equal(r.hosts, []uint16{0}) {
		t.Errorf("%v have entries, one of them without a weight", r.hosts)
	}
}

func BenchmarkNewTable(b *testing.B) {
	for _, n := range []int{5, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				newTable(ids(n), equal(n))
			}
		})
	}
}
