package upstream

// Groups are the groups of one configuration for which connections are kept. It is immutable and shared by all loops.
type Groups struct {
	idle, share int
	all         map[*Group]int // the value is the group's position among the groups of its name
	hosts       map[hostName]hostPlace
}

// hostName identifies a host across configurations; hostPlace is where the host is in one of them.
type (
	hostName struct {
		group string
		nth   int // position among the groups of that name
		label string
	}
	hostPlace struct {
		group *Group
		index int
	}
)

// NewGroups makes a Groups of all groups that connections are acquired for, in the order of the configuration. Each loop keeps up to idle
// idle connections over all hosts, whatever the groups allow. It may exceed that for groups with KeepaliveAuto, as long as it
// has fewer than share connections to hosts open, idle ones included: descriptors are set aside for connections in use, and idle ones may
// take those that are not needed.
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

// successor returns the group and host that take over connections to host i of g, a group of before; nil if there is none.
func (gs *Groups) successor(before *Groups, g *Group, i int) (*Group, int) {
	from := &g.Hosts[i]
	to := gs.hosts[hostName{g.Name, before.all[g], from.Label}]
	if to.group == nil || to.group.Protocol != g.Protocol || !to.group.Hosts[to.index].TLS.Same(from.TLS) {
		return nil, 0
	}
	return to.group, to.index
}
