package balance

// Hosts is what an algorithm sees of a group.
type Hosts struct {
	n        int
	counters *Counters
}

// Len is the number of hosts.
func (h *Hosts) Len() int { return h.n }

// Active is how many leases host i has, over all rows.
func (h *Hosts) Active(i int) int64 { return h.counters.sum(i, cellActive) }

// Served is how many leases of host i have ended well.
func (h *Hosts) Served(i int) int64 { return h.counters.sum(i, cellServed) }

// Failed is how many leases of host i have ended without service.
func (h *Hosts) Failed(i int) int64 { return h.counters.sum(i, cellFailed) }

// Group is an upstream group: its hosts' counts and its algorithm.
type Group struct {
	hosts    Hosts
	balancer Balancer
	byName   bool
}

// NewGroup makes a group of n hosts, n > 0, counted in counters, which must have room for n hosts.
func NewGroup(n int, b Balancer, counters *Counters) *Group {
	_, named := b.(byName)
	return &Group{hosts: Hosts{n: n, counters: counters}, balancer: b, byName: named}
}

// ByName reports whether hosts are chosen by the key: when none was tried yet and there is none to offer, the client asked for
// one that the group does not have.
func (g *Group) ByName() bool { return g.byName }

// Hosts gives the counts, for choosing and for statistics.
func (g *Group) Hosts() *Hosts { return &g.hosts }

// Acquire chooses a host that is not in tried, puts it there, and counts it in the given row; key is as in
// Balancer.Pick. It reports false when every host was tried, or when none that was not is what the key asks for.
func (g *Group) Acquire(row int, key []byte, tried *Tried) (Lease, bool) {
	i := g.balancer.Pick(&g.hosts, key, tried)
	if i < 0 {
		return Lease{}, false
	}
	tried.Add(i)
	g.hosts.counters.add(row, i, cellActive, 1)
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
	c := l.group.hosts.counters
	l.group = nil
	c.add(int(l.row), int(l.host), cellActive, -1)
	switch o {
	case Served:
		c.add(int(l.row), int(l.host), cellServed, 1)
	case Failed:
		c.add(int(l.row), int(l.host), cellFailed, 1)
	case Unused:
	}
}
