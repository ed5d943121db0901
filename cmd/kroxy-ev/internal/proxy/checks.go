package proxy

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/check"
	"kroxy-ev/engine/loglimit"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
)

// Checks has those hosts checked whose groups ask for it, and says in the counters what it finds, for all processes that share them.
// Its methods are called from one goroutine, but for Forget.
type Checks struct {
	groupMaker
	log       *slog.Logger
	limited   *loglimit.Handler // before log; nil if it is another's
	inherited bool              // until there is something to check: the counters are a predecessor's
	checker   *check.Checker    // nil until there is something to check
	hosts     atomic.Pointer[map[int]checked]
}

// checked is a host that is checked.
type checked struct {
	group *upstream.Group
	index int
}

// NewChecks makes checks for a process that does not serve, and has shared counters. If these are a predecessor's, hosts that it did not
// find down are up.
func NewChecks(counters *balance.Counters, inherited bool, log *slog.Logger) *Checks {
	limited := loglimit.New(log.Handler(), nil)
	return &Checks{
		groupMaker: groupMaker{counters: counters, resolver: resolve.New(resolve.Options{}), own: newOwnAddresses()},
		log:        slog.New(limited), limited: limited, inherited: inherited,
	}
}

// Follow checks the hosts of cfg from now on, which are counted under ids. Open are the sockets that cfg is served on: what leads to
// them is not checked.
func (c *Checks) Follow(cfg *config.Config, ids []int, open Sockets) error {
	var uses []groupUse
	for _, use := range usedGroups(cfg) {
		if use.group.HealthCheck != nil {
			uses = append(uses, use)
		}
	}
	if len(uses) == 0 && c.checker == nil {
		return nil
	}
	c.resolver.Follow(ResolverSettings(cfg))
	places := make(map[string][]netip.AddrPort, len(open))
	for key, list := range open {
		addrs, err := engine.ListensOn(list[0])
		if err != nil {
			return err
		}
		places[key] = addrs
	}
	c.own.follow(cfg, places)
	made, err := c.makeGroups(cfg, uses, ids)
	if err != nil {
		return fmt.Errorf("kroxy-ev: while beginning to check hosts: %w", err)
	}
	groups := make([]*upstream.Group, len(uses))
	for i, use := range uses {
		groups[i] = made[use].Group
	}
	c.follow(cfg, uses, groups, ids)
	return nil
}

// follow checks the hosts of groups, which are made for these uses, as far as they are to be checked.
func (c *Checks) follow(cfg *config.Config, uses []groupUse, groups []*upstream.Group, ids []int) {
	_, places := hostKeys(cfg)
	hosts := make(map[int]checked)
	var targets []check.Target
	known := make(map[int][]int) // in targets, by ID
	for i, use := range uses {
		if use.group.HealthCheck == nil {
			continue
		}
		g, names := groups[i], hostNames(use.group)
		for at, host := range g.Hosts {
			id := ids[places[use.group][at]]
			hosts[id] = checked{g, at}
			t := check.Target{
				ID: id, Group: g.Name, Host: host, ProxyProtocol: g.ProxyProtocol,
				Protocol: g.Protocol, Self: g.Self, Authority: string(names[at].Authority), Check: *use.group.HealthCheck,
			}
			if !slices.ContainsFunc(known[id], func(i int) bool { return targets[i].Same(&t) }) {
				known[id] = append(known[id], len(targets))
				targets = append(targets, t)
			}
		}
	}
	c.hosts.Store(&hosts)
	switch {
	case c.checker != nil:
		c.checker.Swap(targets)
	case len(targets) > 0:
		c.checker = check.Start(check.Options{Log: c.log, Report: c.report, Known: c.known}, targets)
		c.inherited = false
	}
}

// known is what the counters say of a host.
func (c *Checks) known(id int) check.State {
	h := (*c.hosts.Load())[id]
	switch {
	case h.group.Balance.Hosts().FailsChecks(h.index):
		return check.Down
	case c.inherited:
		return check.Up
	}
	return check.Unknown
}

// report says in the counters what was found of a host.
func (c *Checks) report(id int, up bool, err error) {
	h, ok := (*c.hosts.Load())[id]
	if !ok { // it has just gone
		return
	}
	hosts := h.group.Balance.Hosts()
	if !up {
		hosts.Blame(h.index, balance.FailingChecks, checkCause(err))
	}
	change := hosts.SetChecked(h.index, up, balance.Now())
	upstream.LogChange(c.log, h.group, h.index, change, upstream.Report{})
}

// checkCause is err, by which a check has failed, in a word.
func checkCause(err error) balance.Cause {
	switch status, ok := check.Answered(err); {
	case status > 0:
		return balance.Cause{Kind: balance.BadStatus, Number: uint16(status)}
	case ok:
		return balance.Cause{Kind: balance.BadAnswer}
	}
	return upstream.CauseOf(err)
}

// Forget has lines that checks repeat written again, as in a new log. It may be called from any goroutine.
func (c *Checks) Forget() { c.limited.Forget() }

// Close ends all checks.
func (c *Checks) Close() {
	if c.checker != nil {
		c.checker.Close()
	}
	if c.limited != nil {
		c.limited.Close()
		c.resolver.Close()
	}
}

// CheckHosts has this process check the hosts of its configuration, and of those to come.
func (p *Proxy) CheckHosts() {
	p.checks = &Checks{groupMaker: p.groupMaker, log: p.traffic}
	p.followChecks()
}

// followChecks checks the hosts of the configuration in force, if that is this process's business.
func (p *Proxy) followChecks() {
	if p.checks != nil {
		p.checks.follow(p.now.cfg, usedGroups(p.now.cfg), p.now.groups, p.now.ids)
	}
}

// checksAtOnce is how many hosts of cfg may be being checked at a time.
func checksAtOnce(cfg *config.Config) int {
	n := 0
	for _, use := range usedGroups(cfg) {
		if use.group.HealthCheck != nil {
			n += len(use.group.Hosts)
		}
	}
	return min(n, check.MaxAtOnce)
}
