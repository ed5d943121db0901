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

// tableSize is the number of entries of a Maglev table: a prime, as the paper requires, and a hundred entries for each of 655 hosts.
const tableSize = 65537

// table is a Maglev table (Eisenbud et al., Maglev: A Fast and Reliable Software Network Load Balancer, NSDI 2016, section 3.4): it maps a
// hash to a host, in proportion to the hosts' weights. When a host comes or goes, few entries change beside that host's own. The table
// depends on the set of hosts and not on their order, so all processes have the same table.
type table [tableSize]uint16

// newTable makes the table of hosts, which must be sorted by ID. At least one weight must be above zero.
func newTable(ids []string, weights []int) *table {
	// Each host prefers the entries in an order of its own: next, next+skip, next+2*skip and so on.
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

// mix hashes a hash: on average, each bit of x changes half of the bits of the result (Sebastiano Vigna's splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// tables caches the tables in use by their hosts and weights: neither a reload that leaves a group's hosts as they are nor a second group
// of the same hosts makes another table.
var tables struct {
	sync.Mutex
	of map[string]weak.Pointer[table]
}

// ring is a table and the hosts that its entries refer to.
type ring struct {
	table *table
	hosts []uint16 // indices in the group, sorted by ID
}

// newRing makes the ring of the listed hosts. A host without an ID is identified by its index. This takes a millisecond or two, so it
// must not run on an event loop.
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
		r.table = tableOf(names, reduceWeights(weights))
	}
	return r
}

// tableOf returns a cached table or makes one.
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

// host returns the host that a hash maps to.
func (r *ring) host(hash uint64) int { return int(r.hosts[r.table[hash%tableSize]]) }
