package proxy

import (
	"net/netip"
	"slices"

	"kroxy-ev/config"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
)

// Services maps the names of a configuration's services to the targets that offer them; a service without an entry has no known targets.
type Services = map[string][]resolve.Target

// ServiceNames returns the distinct services that cfg names, in the order of the file. Cfg must not be expanded yet.
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

// Expand replaces each service in cfg by the hosts that offer it; by none if these are not known. Cfg must be new and not shared yet. Whoever
// parses the same configuration again, including other processes, must expand it with the same services.
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

// offering returns the hosts that offer the service of h; targets are sorted by priority.
func offering(h config.Host, targets []resolve.Target) []config.Host {
	hosts := make([]config.Host, len(targets))
	for i, t := range targets {
		h.Name, h.Port = t.Name, t.Port
		// A target of weight zero must be chosen rarely but not never (RFC 2782).
		h.Weight = max(1, int(t.Weight))
		if i > 0 && t.Priority != targets[i-1].Priority {
			h.Tier++
		}
		hosts[i] = h
	}
	return hosts
}

// ResolverSettings returns the settings for looking up the names in cfg.
func ResolverSettings(cfg *config.Config) resolve.Settings {
	r := &cfg.Resolver
	return resolve.Settings{Servers: r.Servers, Search: r.Search, MinTTL: r.MinTTL, MaxTTL: r.MaxTTL, Timeout: resolveTimeout(cfg)}
}

// newServiceHost makes an upstream host from h, which offers a service. Its name is absolute, so search lists do not apply.
func (m *groupMaker) newServiceHost(h config.Host) upstream.Host {
	name := h.Name
	if _, err := netip.ParseAddr(name); err != nil {
		name += "."
	}
	return upstream.Host{Name: m.resolver.Name(name), Port: h.Port, Label: h.Place()}
}
