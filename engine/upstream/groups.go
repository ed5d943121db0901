package upstream

// Groups are all groups of one configuration, for which connections are kept. It is immutable and shared by all loops.
type Groups struct {
	idle, share int
	all         map[*Group]int // which one of those of its name each is
	hosts       map[hostName]hostPlace
}

// hostName is what a host is called, and hostPlace where it is.
type (
	hostName struct {
		group string
		nth   int // of the groups of that name
		label string
	}
	hostPlace struct {
		group *Group
		index int
	}
)

// NewGroups makes a Groups of all groups that connections are acquired for, in the order of the configuration. Idle is how many idle connections each loop keeps over all hosts, whatever the groups allow for each.
// Share is how many connections to hosts each loop may have open, idle ones included, before it keeps no more than idle. It
// counts for groups with KeepaliveAuto only: connections in use have descriptors set aside for them, which idle ones may have as
// long as there are fewer.
func NewGroups(all []*Group, idle, share int) *Groups {
	gs := &Groups{idle: idle, share: share, all: make(map[*Group]int, len(all)), hosts: make(map[hostName]hostPlace)}
	named := make(map[string]int)
	for _, g := range all {
		nth := named[g.Name]
		named[g.Name]++
		gs.all[g] = nth
		for i := range g.Hosts {
			gs.hosts[hostName{g.Name, nth, g.Hosts[i].Label}] = hostPlace{g, i}
		}
	}
	return gs
}

func (gs *Groups) has(g *Group) bool {
	_, ok := gs.all[g]
	return ok
}

// successor is where connections to host i of g, a group of before, may serve; nil if nowhere.
func (gs *Groups) successor(before *Groups, g *Group, i int) (*Group, int) {
	from := &g.Hosts[i]
	to := gs.hosts[hostName{g.Name, before.all[g], from.Label}]
	if to.group == nil || to.group.Protocol != g.Protocol || !to.group.Hosts[to.index].TLS.Same(from.TLS) {
		return nil, 0
	}
	return to.group, to.index
}
