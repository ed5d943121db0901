package balance

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"weak"

	"github.com/cespare/xxhash/v2"
)

// tableSize is how many entries a Maglev table has: a prime, as the paper has it, and a hundred for each of 655 hosts.
const tableSize = 65537

// table is a Maglev table (Eisenbud et al., Maglev: A Fast and Reliable Software Network Load Balancer, NSDI 2016, section 3.4):
// it says for each hash which host has it, in proportion to the hosts' weights. When a host comes or goes, few entries change but
// those it gets or had. It depends on what hosts there are and not on their order, so all processes have the same.
type table [tableSize]uint16

// newTable makes the table of hosts that are in the order of their IDs. Some weight is above zero; none is above maxWeight.
func newTable(ids []string, weights []int) *table {
	// A host prefers the entries in an order of its own: from next on, each skip behind the one before.
	type preference struct{ next, skip, credit int }
	hosts := make([]preference, len(ids))
	for i, id := range ids {
		h := xxhash.Sum64String(id)
		hosts[i] = preference{next: int(h % tableSize), skip: int(mix(h)%(tableSize-1)) + 1}
	}
	most := slices.Max(weights)
	t, taken := new(table), make([]bool, tableSize)
	for left := tableSize; ; {
		for i := range hosts {
			h := &hosts[i]
			if h.credit += weights[i]; h.credit < most {
				continue
			}
			h.credit -= most
			for taken[h.next] {
				h.next = (h.next + h.skip) % tableSize
			}
			taken[h.next], t[h.next] = true, uint16(i)
			if left--; left == 0 {
				return t
			}
		}
	}
}

// mix makes a hash of a hash: every bit of x changes half of its bits (Sebastiano Vigna's splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// tables has the tables that are in use, by what they were made of: a reload that leaves a group's hosts as they are, and groups of
// the same hosts, do not make another.
var tables struct {
	sync.Mutex
	of map[string]weak.Pointer[table]
}

// ring is a table and whose its entries are.
type ring struct {
	table *table
	hosts []uint16 // their places in the group, in the order of their IDs
}

// newRing makes the ring of those of hosts that are listed. One without an ID is told apart by its place. It takes a
// millisecond or two, so it is not for a loop.
func newRing(hosts []Spec, listed []uint16) ring {
	ids := make(map[uint16]string, len(listed))
	r := ring{}
	for _, i := range listed {
		if hosts[i].Weight > 0 {
			r.hosts = append(r.hosts, i)
			ids[i] = cmp.Or(hosts[i].ID, strconv.Itoa(int(i)))
		}
	}
	slices.SortStableFunc(r.hosts, func(a, b uint16) int { return cmp.Compare(ids[a], ids[b]) })
	names, weights := make([]string, len(r.hosts)), make([]int, len(r.hosts))
	for at, i := range r.hosts {
		names[at], weights[at] = ids[i], hosts[i].Weight
	}
	if len(names) > 0 {
		r.table = tableOf(names, reduced(weights))
	}
	return r
}

// tableOf finds or makes a table.
func tableOf(ids []string, weights []int) *table {
	var made strings.Builder
	for i, id := range ids {
		made.WriteString(strconv.Quote(id))
		made.WriteString(strconv.Itoa(weights[i]))
	}
	tables.Lock()
	defer tables.Unlock()
	if t := tables.of[made.String()].Value(); t != nil {
		return t
	}
	t := newTable(ids, weights)
	if tables.of == nil {
		tables.of = make(map[string]weak.Pointer[table])
	}
	for of, t := range tables.of {
		if t.Value() == nil {
			delete(tables.of, of)
		}
	}
	tables.of[made.String()] = weak.Make(t)
	return t
}

// host is whose a hash is.
func (r *ring) host(hash uint64) int { return int(r.hosts[r.table[hash%tableSize]]) }
