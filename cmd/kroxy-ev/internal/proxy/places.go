package proxy

import (
	"strconv"

	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
)

// Places says where the servers, routes, groups and hosts of a configuration are counted, in every row.
type Places struct {
	servers []metrics.Place
	routes  [][]metrics.Place
	groups  map[string]metrics.Place
	hosts   map[*config.Group][]metrics.Place
}

// SeriesOf returns the series of cfg for a metrics.Table: its servers and their routes, the groups that get traffic, and their hosts.
// Resources.Places are the places of these, in this order.
func SeriesOf(cfg *config.Config) []metrics.Series {
	series, _ := measured(cfg)
	return series
}

// PlacesOf returns the places of cfg's series; places[i] is that of SeriesOf(cfg)[i]. Series without a place are not counted.
func PlacesOf(cfg *config.Config, places []metrics.Place) *Places {
	_, p := measured(cfg)
	at := func(index *metrics.Place) {
		if i := int(*index); i < len(places) {
			*index = places[i]
		} else {
			*index = 0
		}
	}
	for i := range p.servers {
		at(&p.servers[i])
		for j := range p.routes[i] {
			at(&p.routes[i][j])
		}
	}
	for name, place := range p.groups {
		at(&place)
		p.groups[name] = place
	}
	for _, hosts := range p.hosts {
		for i := range hosts {
			at(&hosts[i])
		}
	}
	return p
}

// measured returns the series of cfg, and Places with indexes of series instead of places.
func measured(cfg *config.Config) (series []metrics.Series, p *Places) {
	p = &Places{
		servers: make([]metrics.Place, len(cfg.Servers)),
		routes:  make([][]metrics.Place, len(cfg.Servers)),
		groups:  make(map[string]metrics.Place),
		hosts:   make(map[*config.Group][]metrics.Place),
	}
	add := func(s metrics.Series) metrics.Place {
		series = append(series, s)
		return metrics.Place(len(series) - 1)
	}
	for i, s := range cfg.Servers {
		p.servers[i] = add(metrics.Series{Kind: metrics.KindServer, Server: s.Name})
		p.routes[i] = make([]metrics.Place, len(s.Routes))
		for j := range s.Routes {
			p.routes[i][j] = add(metrics.Series{Kind: metrics.KindRoute, Server: s.Name, Route: s.Routes[j].Name})
		}
	}
	known := make(map[metrics.Series]metrics.Place)
	for _, use := range usedGroups(cfg) {
		g := use.group
		if p.hosts[g] != nil {
			continue
		}
		if _, ok := p.groups[g.Name]; !ok {
			p.groups[g.Name] = add(metrics.Series{Kind: metrics.KindGroup, Group: g.Name})
		}
		p.hosts[g] = make([]metrics.Place, len(g.Hosts))
		for i, label := range hostLabels(g) {
			s := metrics.Series{Kind: metrics.KindHost, Group: g.Name, Host: label}
			at, ok := known[s]
			if !ok {
				at = add(s)
				known[s] = at
			}
			p.hosts[g][i] = at
		}
	}
	return series, p
}

// hostLabels returns the hosts' names in the metrics: their addresses. Of several hosts with the same address, all but the first have
// their aliases appended and, if that is not enough, a number.
func hostLabels(g *config.Group) []string {
	labels := make([]string, len(g.Hosts))
	seen := make(map[string]bool, len(g.Hosts))
	for i, h := range g.Hosts {
		label := h.Place()
		if seen[label] && h.Alias != "" {
			label += "=" + h.Alias
		}
		for n, base := 2, label; seen[label]; n++ {
			label = base + "#" + strconv.Itoa(n)
		}
		seen[label] = true
		labels[i] = label
	}
	return labels
}

// Server returns the place of cfg.Servers[i].
func (p *Places) Server(i int) metrics.Place { return p.servers[i] }

// Route returns the place of route j of cfg.Servers[i].
func (p *Places) Route(i, j int) metrics.Place { return p.routes[i][j] }

// Group returns the place of a group; zero if no traffic goes to it.
func (p *Places) Group(g *config.Group) metrics.Place { return p.groups[g.Name] }

// Host returns the place of host i of g; zero if no traffic goes to it.
func (p *Places) Host(g *config.Group, i int) metrics.Place {
	if hosts := p.hosts[g]; i < len(hosts) {
		return hosts[i]
	}
	return 0
}
