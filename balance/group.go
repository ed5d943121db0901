package balance

import (
	"fmt"
	"sync/atomic"
)

// Hosts is what an algorithm sees of a group.
type Hosts struct {
	ids      []int // in the counters, by index in the group
	counters *Counters
	turn     *uint64 // nil if there are no hosts
}

// Len is the number of hosts.
func (h *Hosts) Len() int { return len(h.ids) }

// Active is how many leases host i has, over all rows.
func (h *Hosts) Active(i int) int64 { return h.counters.column(cellActive).sum(h.ids[i]) }

// Served is how many leases of host i have ended well.
func (h *Hosts) Served(i int) int64 { return h.counters.column(cellServed).sum(h.ids[i]) }

// Failed is how many leases of host i have ended without service.
func (h *Hosts) Failed(i int) int64 { return h.counters.column(cellFailed).sum(h.ids[i]) }

// Turn returns 0, 1, 2, ... modulo Len: each answer is given to one caller, over all loops and all processes that share
// the counters. There must be hosts.
func (h *Hosts) Turn() int { return int((atomic.AddUint64(h.turn, 1) - 1) % uint64(len(h.ids))) }

// Group is an upstream group: its hosts' counts and its algorithm.
type Group struct {
	hosts    Hosts
	balancer Balancer
	key      Key
}

// NewGroup makes a group of n hosts that has counters of its own, which must have room for n hosts.
func NewGroup(n int, b Balancer, counters *Counters) *Group {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	g, err := NewGroupOf(ids, b, counters)
	if err != nil {
		panic(err) // the caller made both
	}
	return g
}

// NewGroupOf makes a group whose host i is counted under ids[i], as a Registry assigned them; no id is in two groups of a
// configuration. A group of a later configuration that is counted under the same ids goes on where this one is: with
// what the hosts have in hand, and with the turn if its first host is the same. The group keeps ids.
func NewGroupOf(ids []int, b Balancer, counters *Counters) (*Group, error) {
	for i, id := range ids {
		if id < 0 {
			return nil, fmt.Errorf("balance: host %d of a group has the id %d", i, id)
		}
		if err := counters.use(id + 1); err != nil {
			return nil, err
		}
	}
	named, _ := b.(byName)
	hosts := Hosts{ids: ids, counters: counters}
	if len(ids) > 0 {
		hosts.turn = counters.turn(ids[0])
	}
	return &Group{hosts: hosts, balancer: b, key: named.key}, nil
}

// Key is the name that hosts are chosen by, which Acquire is to be given.
func (g *Group) Key() Key { return g.key }

// ByName reports whether hosts are chosen by a key: when none was tried yet and there is none to offer, the client asked
// for one that the group does not have.
func (g *Group) ByName() bool { return g.key != KeyNone }

// Hosts gives the counts, for choosing and for statistics.
func (g *Group) Hosts() *Hosts { return &g.hosts }

// Acquire chooses a host that is not in tried, puts it there, and counts it in the given row; key is as in
// Balancer.Pick, now is in ms on CLOCK_MONOTONIC, which all processes share. A host that is down is chosen only if no other
// is left. It reports false when every host was tried, or when none that was not is what the key asks for.
//
// If Tried.Due has a host afterwards, the caller is to have it probed.
func (g *Group) Acquire(row int, key []byte, tried *Tried, now int64) (Lease, bool) {
	tried.begin(now)
	i := g.balancer.Pick(&g.hosts, key, tried)
	if i < 0 && tried.passed {
		// Connections find out by themselves now.
		tried.passed, tried.desperate = false, true
		i = g.balancer.Pick(&g.hosts, key, tried)
	}
	if i < 0 {
		return Lease{}, false
	}
	tried.Add(i)
	g.hosts.counters.add(row, g.hosts.ids[i], cellActive, 1)
	return Lease{group: g, row: int32(row), host: int32(i)}, true
}

// Outcome says how a lease ended.
type Outcome uint8

const (
	// Unused means that the host was neither found good nor bad: the client left first.
	Unused Outcome = iota
	// Served means that the host accepted the connection.
	Served
	// Failed means that the host could not be reached.
	Failed
)

func (o Outcome) String() string {
	return [...]string{"unused", "served", "failed"}[o]
}

// Lease is one connection's claim on a host. The zero value holds nothing. It is not copied once acquired.
type Lease struct {
	group *Group
	row   int32
	host  int32
	claim health // with which it was made to probe a host that is down; else zero
}

// Held reports whether the lease holds a host.
func (l *Lease) Held() bool { return l.group != nil }

// Host is the index of the leased host.
func (l *Lease) Host() int { return int(l.host) }

// Release gives the host back. Only the first call after Acquire counts.
func (l *Lease) Release(o Outcome) {
	if l.group == nil {
		return
	}
	c, row, id := l.group.hosts.counters, int(l.row), l.group.hosts.ids[l.host]
	l.group = nil
	switch o {
	case Served:
		c.add(row, id, cellServed, 1)
	case Failed:
		c.add(row, id, cellFailed, 1)
	case Unused:
	}
	// Last: a host that nobody holds has nothing to be counted any more, and its id may be given to another.
	c.add(row, id, cellActive, -1)
}
