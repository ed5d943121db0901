package proxy

import (
	"net/netip"
	"slices"

	"kroxy-ev/config"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
)

// Services are where the services that a configuration names are offered, by their names; nothing is there for one of which that is
// not known.
type Services = map[string][]resolve.Target

// ServiceNames are the services that cfg, which was not expanded, names, each once, in the order of the file.
func ServiceNames(cfg *config.Config) []string {
	var names []string
	for _, g := range cfg.Groups {
		for _, h := range g.Hosts {
			if h.SRV != "" && !slices.Contains(names, h.SRV) {
				names = append(names, h.SRV)
			}
		}
	}
	return names
}

// Expand puts in the place of each service that cfg names the hosts that offer it, none if that is not known. Cfg was just made, and
// is the caller's alone. Whoever makes the same configuration again, in another process too, has to expand it by the same services.
func Expand(cfg *config.Config, known Services) {
	for _, g := range cfg.Groups {
		if !slices.ContainsFunc(g.Hosts, func(h config.Host) bool { return h.SRV != "" }) {
			continue
		}
		hosts := make([]config.Host, 0, len(g.Hosts))
		for _, h := range g.Hosts {
			if h.SRV == "" {
				hosts = append(hosts, h)
			} else {
				hosts = append(hosts, offering(h, known[h.SRV])...)
			}
		}
		g.Hosts = hosts
	}
}

// offering are the hosts that offer the service of h, which come sorted by priority.
func offering(h config.Host, targets []resolve.Target) []config.Host {
	hosts := make([]config.Host, len(targets))
	for i, t := range targets {
		h.Name, h.Port = t.Name, t.Port
		// One that weighs nothing is to be chosen seldom, and not never (RFC 2782).
		h.Weight = max(1, int(t.Weight))
		if i > 0 && t.Priority != targets[i-1].Priority {
			h.Tier++
		}
		hosts[i] = h
	}
	return hosts
}

// ResolverSettings are by which names are looked up for cfg.
func ResolverSettings(cfg *config.Config) resolve.Settings {
	r := &cfg.Resolver
	return resolve.Settings{Servers: r.Servers, Search: r.Search, MinTTL: r.MinTTL, MaxTTL: r.MaxTTL, Timeout: resolveTimeout(cfg)}
}

// newServiceHost makes of h, which offers a service, what is connected to. Its name is absolute: no search list goes with it.
func (m *groupMaker) newServiceHost(h config.Host) upstream.Host {
	name := h.Name
	if _, err := netip.ParseAddr(name); err != nil {
		name += "."
	}
	return upstream.Host{Name: m.resolver.Name(name), Port: h.Port, Label: h.Place()}
}
