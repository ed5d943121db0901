package proxy

import (
	"fmt"
	"slices"
	"strings"

	"kroxy-ev/balance"
	"kroxy-ev/config"
)

// Overview is the groups of a configuration, for inspecting hosts and giving orders about them in a process that need not serve. It may be
// used from any goroutine.
type Overview struct {
	Groups []*GroupOverview // in the order of the file; groups with the same name, which have the same hosts, are one
}

// GroupOverview is the hosts of a group.
type GroupOverview struct {
	Name, Algorithm string
	HTTP            bool // http servers use it
	Hosts           []HostOverview
	uses            []*balance.Group
}

// HostOverview is a host and where it is counted.
type HostOverview struct {
	config.Host
	Label   string // name in the metrics
	Checked bool   // has active checks

	id    int
	group *balance.Group // one of the groups that have it
	index int            // in group
}

// NewOverview makes an overview of cfg, whose hosts are counted under ids, in the order of HostKeys.
func NewOverview(cfg *config.Config, ids []int, counters *balance.Counters) (*Overview, error) {
	keys, places := hostKeys(cfg)
	if len(keys) != len(ids) {
		return nil, fmt.Errorf("kroxy-ev: there are %d ids for %d hosts", len(ids), len(keys))
	}
	o := &Overview{}
	byName := make(map[string]*GroupOverview)
	seen := make(map[*config.Group]bool)
	known := make(map[int]bool)
	for _, use := range usedGroups(cfg) {
		from := use.group
		if seen[from] {
			byName[from.Name].HTTP = byName[from.Name].HTTP || use.mode == config.ModeHTTP
			continue
		}
		seen[from] = true
		own, specs := make([]int, len(from.Hosts)), make([]balance.Spec, len(from.Hosts))
		for i, at := range places[from] {
			own[i], specs[i] = ids[at], hostSpec(from.Hosts[i], keys[at])
		}
		options := balancing(from, specs)
		options.Algorithm = "first" // nothing is chosen here, so no table is needed
		counted, err := balance.NewGroupOf(own, options, counters)
		if err != nil {
			return nil, err
		}
		g := byName[from.Name]
		if g == nil {
			g = &GroupOverview{Name: from.Name, Algorithm: from.Algorithm}
			byName[from.Name] = g
			o.Groups = append(o.Groups, g)
		}
		g.HTTP = g.HTTP || use.mode == config.ModeHTTP
		labels := hostLabels(from)
		g.uses = append(g.uses, counted)
		for i, h := range from.Hosts {
			if id := own[i]; !known[id] {
				known[id] = true
				g.Hosts = append(g.Hosts, HostOverview{Host: h, Label: labels[i], Checked: from.HealthCheck != nil, id: id, group: counted, index: i})
			}
		}
	}
	return o, nil
}

// Group returns the group with that name, or nil.
func (o *Overview) Group(name string) *GroupOverview {
	for _, g := range o.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// Find returns the indexes of the hosts with that address or, if there are none, the index of the host with that alias.
func (g *GroupOverview) Find(host string) (list []int) {
	for i := range g.Hosts {
		if g.Hosts[i].Place() == host {
			list = append(list, i)
		}
	}
	for i := range g.Hosts {
		if alias := g.Hosts[i].Alias; len(list) == 0 && alias != "" && strings.EqualFold(alias, host) {
			return append(list, i)
		}
	}
	return list
}

// Order gives an order about host i. Orders must not be given concurrently.
func (g *GroupOverview) Order(i int, drain *bool, weight *int) {
	for _, use := range g.uses {
		if at := use.Index(g.Hosts[i].id); at >= 0 {
			use.Order(at, drain, weight)
		}
	}
}

// Enforce publishes to all processes the balancing state according to the configuration, after orders were forgotten.
func (o *Overview) Enforce() {
	for _, g := range o.Groups {
		for _, use := range g.uses {
			use.Enforce()
		}
	}
}

// Queued returns how many clients wait in the group's queue.
func (g *GroupOverview) Queued() (n int64) {
	var counted []int // groups that share a queue have the same ID
	for _, use := range g.uses {
		if id := use.ID(); !slices.Contains(counted, id) {
			counted = append(counted, id)
			n += use.Queued()
		}
	}
	return n
}

// Counted returns the group in which the host is counted, and its index there.
func (h *HostOverview) Counted() (group *balance.Group, index int) { return h.group, h.index }

// ID returns the host's id in the counters.
func (h *HostOverview) ID() int { return h.id }

// Usable returns how many hosts of the group get new clients now.
func (g *GroupOverview) Usable() (n int) {
	for i := range g.Hosts {
		if h := &g.Hosts[i]; h.group.Hosts().InUse(h.index) {
			n++
		}
	}
	return n
}
