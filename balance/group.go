package balance

import (
	"fmt"
	"slices"
)

// Group is an upstream group: the counts of its hosts and its algorithm.
type Group struct {
	hosts    Hosts
	balancer Balancer
	observer Observer // nil unless the balancer is an Observer
	key      Key
	queue    int64 // maximum length of the queue
	budget   int64 // how many of the leases may be retries, in percent
}

// NewGroup makes a group of n plain hosts with ids 0 to n-1; counters must have room for n hosts.
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

// NewGroupOf makes a group whose host i is counted under ids[i], as assigned by a Registry; no id may be in two groups of one
// configuration. A later configuration's group with the same ids continues where this one is: with the hosts' leases and state, and with the
// turn if the first host is the same. The group retains ids.
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

// Key returns the kind of key that hosts are chosen by; Acquire expects such a key.
func (g *Group) Key() Key { return g.key }

// ByName reports whether hosts are chosen by name. If it is true and Acquire fails before any host was tried, the client asked for a name
// that the group does not have. It is false for a group without hosts, whose service has none yet: there no name is wrong.
func (g *Group) ByName() bool {
	return (g.key == KeyHost || g.key == KeyServerName) && g.hosts.Len() > 0
}

// Index returns the index of the host that is counted under id, or -1.
func (g *Group) Index(id int) int { return slices.Index(g.hosts.ids, id) }

// Hosts returns the hosts' counts, for choosing and for statistics.
func (g *Group) Hosts() *Hosts { return &g.hosts }

// maxChoices bounds how often Acquire chooses again because others have taken the last place at the chosen host.
const maxChoices = 8

// Acquire chooses a host that is not in tried, adds it to tried, and counts a lease in the given row. The key is as in Balancer.Pick; now is
// in ms on CLOCK_MONOTONIC, which all processes share. A host that is down, ejected or failing its checks is chosen only if no other is
// left. Acquire returns false if no untried host matches the key, or if those that match are at their bound: see Tried.Full.
//
// Afterwards the caller must probe the host in Tried.Due, if there is one, and log what Tried.News returns.
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
		g.hosts.releaseTrial(i, claim, now)
		tried.again()
	}
	tried.full = true
	return Lease{}, false
}

// otherwise continues a choice in which the balancer has returned i for the first tier, which may be -1. It goes through the further tiers,
// tries an ejected host whose trial is due, and as a last resort chooses among unfit hosts. It returns the claim if the choice is a trial.
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
	if i < 0 && tried.skipped {
		// Do not probe: the connections themselves will find out.
		tried.skipped, tried.lastResort = false, true
		for tried.tier = 0; i < 0 && tried.tier < len(g.hosts.tiers); tried.tier++ {
			i = g.balancer.Pick(&g.hosts, key, tried)
		}
	}
	return i, 0
}

// AcquireHost is Acquire for a client that is stuck to host i. It leases that host even if the host is drained, has weight zero or is of
// another tier, but not if the host is unfit or has no room.
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
		g.hosts.releaseTrial(i, claim, now)
		tried.full = true
		return Lease{}, false
	}
	g.hosts.heldAgain(i)
	g.leased(row, i, tried)
	return Lease{group: g, row: int32(row), host: int32(i), trial: claim}, true
}

// leased records that host i was leased in the given row.
func (g *Group) leased(row, i int, tried *Tried) {
	if tried.Count() == 0 {
		g.earnRetry(row)
	}
	tried.Add(i)
}

// Left returns how many hosts Acquire can still offer for the key.
func (g *Group) Left(key []byte, tried *Tried) int {
	b, ok := g.balancer.(namer)
	if !ok {
		if g.hosts.ordered() == 0 {
			return max(g.hosts.chosen-tried.Count(), 0)
		}
		n := 0
		for i := range g.hosts.ids {
			if !tried.Has(i) && g.hosts.getsClients(i) {
				n++
			}
		}
		return n
	}
	n := 0
	for _, i := range b.named(key) {
		if !tried.Has(i) && g.hosts.getsClients(i) {
			n++
		}
	}
	return n
}
