package service

import (
	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

// hostCounters is the memory in which all processes count connections to hosts, and the registry of the hosts' ids in it. Both outlive
// reloads, workers and upgrades.
type hostCounters struct {
	memory    *balance.Counters
	registry  *balance.Registry
	inherited bool // a predecessor has made them
}

func newHostCounters() (*hostCounters, error) {
	c, err := balance.NewShared(balance.MaxRows, balance.MaxHosts)
	if err != nil {
		return nil, err
	}
	return &hostCounters{memory: c, registry: balance.NewRegistry(c)}, nil
}

// inheritHostCounters takes over what a predecessor has counted. If this program counts in another way, it starts from zero.
func inheritHostCounters(fd int, registry []byte) (*hostCounters, error) {
	c, err := balance.MapCounters(fd)
	if err != nil {
		return newHostCounters()
	}
	r, err := balance.RestoreRegistry(c, registry)
	if err != nil {
		c.Close()
		return newHostCounters()
	}
	return &hostCounters{c, r, true}, nil
}

// assign returns the ids of cfg's hosts. They are provisional until the registry's Commit.
func (c *hostCounters) assign(cfg *config.Config) ([]int, error) {
	ids, err := c.registry.Assign(proxy.HostKeys(cfg))
	if err != nil {
		return nil, proxy.Problem(cfg, "servers", err.Error(), "remove some")
	}
	return ids, nil
}

// options returns the options of a proxy with n reactors, which get a row each, and new keys of session tickets.
func (c *hostCounters) options(cfg *config.Config, n int) (proxy.Options, error) {
	o := proxy.Options{Counters: c.memory, Resources: proxy.Resources{Tickets: proxy.Tickets{}.Rotated(), Secret: proxy.NewSecret()}}
	var err error
	if o.IDs, err = c.assign(cfg); err != nil {
		return o, err
	}
	c.registry.Commit()
	for range n {
		row, err := c.memory.TakeRow()
		if err != nil {
			return o, proxy.Problem(cfg, "reactors_num", err.Error(), "use fewer")
		}
		o.Rows = append(o.Rows, row)
	}
	return o, nil
}
