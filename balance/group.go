package balance

import (
	"fmt"
	"slices"
)

// Group is an upstream group: its hosts' counts and its algorithm.
type Group struct {
	hosts    Hosts
	balancer Balancer
	observer Observer // nil unless the balancer is one
	key      Key
	queue    int64 // how many may wait in the queue
	budget   int64 // how many of the leases may be retries, in percent
}

// NewGroup makes a group of n plain hosts that has counters of its own, which must have room for n hosts.
func NewGroup(n int, b Balancer, counters *Counters) *Group {
	ids, o := make([]int, n), Options{Hosts: make([]Spec, n)}
	for i := range ids {
		ids[i], o.Hosts[i].Weight = i, 1
	}
	g, err := newGroup(ids, b, &o, counters)
	if err != nil {
		panic(err) // the caller made both
	}
	return g
}

// NewGroupOf makes a group whose host i is counted under ids[i], as a Registry assigned them; no id is in two groups of a
// configuration. A group of a later configuration that is counted under the same ids goes on where this one is: with
// what the hosts have in hand and what is known of them, and with the turn if its first host is the same. The group keeps ids.
func NewGroupOf(ids []int, o Options, counters *Counters) (*Group, error) {
	b, err := New(o.Algorithm, o.Hosts)
	if err != nil {
		return nil, err
	}
	return newGroup(ids, b, &o, counters)
}

func newGroup(ids []int, b Balancer, o *Options, counters *Counters) (*Group, error) {
	if len(ids) != len(o.Hosts) {
		return nil, fmt.Errorf("balance: there are %d ids for %d hosts of a group", len(ids), len(o.Hosts))
	}
	for i, id := range ids {
		if id < 0 {
			return nil, fmt.Errorf("balance: host %d of a group has the id %d", i, id)
		}
		if err := counters.use(id + 1); err != nil {
			return nil, err
		}
	}
	hosts, err := newHosts(ids, counters, o)
	if err != nil {
		return nil, err
	}
	g := &Group{hosts: hosts, balancer: b, queue: int64(o.Queue), budget: int64(max(o.RetryBudget, 0))}
	if k, ok := b.(Keyed); ok {
		g.key = k.Key()
	}
	g.observer, _ = b.(Observer)
	return g, nil
}

// Key is what hosts are chosen by, which Acquire is to be given.
func (g *Group) Key() Key { return g.key }

// ByName reports whether hosts are chosen by their names: when none was tried yet and there is none to offer, the client asked
// for one that the group does not have. Of a group without hosts, whose service has none yet, no client asked for the wrong one.
func (g *Group) ByName() bool {
	return (g.key == KeyHost || g.key == KeyServerName) && g.hosts.Len() > 0
}

// Index is the index of the host that is counted under that id, or -1.
func (g *Group) Index(id int) int { return slices.Index(g.hosts.ids, id) }

// Hosts gives the counts, for choosing and for statistics.
func (g *Group) Hosts() *Hosts { return &g.hosts }

// maxChoices bounds how often one chooses because others have taken the last place at the chosen host meanwhile.
const maxChoices = 8

// Acquire chooses a host that is not in tried, puts it there, and counts it in the given row; key is as in
// Balancer.Pick, now is in ms on CLOCK_MONOTONIC, which all processes share. A host that is down or ejected or fails its
// checks is chosen only if no other is left. It reports false when every host was tried, or when none that was not is what the key
// asks for, or may have more clients: see Tried.Full.
//
// If Tried.Due has a host afterwards, the caller is to have it probed; what Tried.News says it is to tell people.
func (g *Group) Acquire(row int, key []byte, tried *Tried, now int64) (Lease, bool) {
	tried.begin(now)
	for range maxChoices {
		i := g.balancer.Pick(&g.hosts, key, tried)
		var claim ejection
		if i < 0 || tried.trial != 0 {
			i, claim = g.otherwise(i, key, tried)
		}
		if i < 0 {
			return Lease{}, false
		}
		if g.hosts.take(row, i, now) {
			g.leased(row, i, tried)
			return Lease{group: g, row: int32(row), host: int32(i), trial: claim}, true
		}
		g.hosts.leaveTrial(i, claim, now)
		tried.again()
	}
	tried.full = true
	return Lease{}, false
}

// otherwise is the choice when the balancer has chosen i among the first tier, or -1, and that is not the end of it: there may be more
// tiers, an ejected host to be tried, and at last those that are down. It returns the claim of a trial, if it is one.
func (g *Group) otherwise(i int, key []byte, tried *Tried) (int, ejection) {
	for i < 0 && tried.tier+1 < len(g.hosts.tiers) {
		tried.tier++
		i = g.balancer.Pick(&g.hosts, key, tried)
	}
	if at := int(tried.trial) - 1; at >= 0 && g.hosts.room(at, tried.now) {
		if claim := g.hosts.claimTrial(at, tried.now); claim != 0 {
			return at, claim
		}
	}
	if i < 0 && tried.passed {
		// Connections find out by themselves now.
		tried.passed, tried.desperate = false, true
		for tried.tier = 0; i < 0 && tried.tier < len(g.hosts.tiers); tried.tier++ {
			i = g.balancer.Pick(&g.hosts, key, tried)
		}
	}
	return i, 0
}

// AcquireHost is Acquire for a client who is stuck to host i: it is that host, also if it is drained, weighs nothing or is of another
// tier, but not if it is unfit to serve or has no room.
func (g *Group) AcquireHost(row, i int, tried *Tried, now int64) (Lease, bool) {
	tried.begin(now)
	tried.stuck = true
	var claim ejection
	if !g.hosts.Usable(i, tried) {
		if tried.trial == 0 {
			return Lease{}, false
		}
		if claim = g.hosts.claimTrial(i, now); claim == 0 {
			return Lease{}, false
		}
	}
	if !g.hosts.take(row, i, now) {
		g.hosts.leaveTrial(i, claim, now)
		tried.full = true
		return Lease{}, false
	}
	g.hosts.heldAgain(i)
	g.leased(row, i, tried)
	return Lease{group: g, row: int32(row), host: int32(i), trial: claim}, true
}

// leased notes that host i has been leased, in the given row.
func (g *Group) leased(row, i int, tried *Tried) {
	if tried.Count() == 0 {
		g.earn(row)
	}
	tried.Add(i)
}

// Left is how many hosts Acquire still has to offer for that key.
func (g *Group) Left(key []byte, tried *Tried) int {
	b, ok := g.balancer.(namer)
	if !ok {
		if g.hosts.ordered() == 0 {
			return max(g.hosts.chosen-tried.Count(), 0)
		}
		n := 0
		for i := range g.hosts.ids {
			if !tried.Has(i) && g.hosts.gets(i) {
				n++
			}
		}
		return n
	}
	n := 0
	for _, i := range b.named(key) {
		if !tried.Has(i) && g.hosts.gets(i) {
			n++
		}
	}
	return n
}
