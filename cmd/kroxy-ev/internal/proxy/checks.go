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

// Checks runs the active checks of hosts whose groups ask for them, and publishes the results in the counters, for all processes that share
// those. Its methods must be called from one goroutine, except Forget.
type Checks struct {
	groupMaker
	log       *slog.Logger
	limited   *loglimit.Handler // in front of log; nil if another owns it
	inherited bool              // the counters are a predecessor's; only until checks start
	checker   *check.Checker    // nil until there is something to check
	hosts     atomic.Pointer[map[int]checked]
}

// checked is a host that is checked.
type checked struct {
	group *upstream.Group
	index int
}

// NewChecks makes checks for a process that does not serve and has shared counters. If a predecessor made the counters (inherited), hosts
// that it did not find down start as up.
func NewChecks(counters *balance.Counters, inherited bool, log *slog.Logger) *Checks {
	limited := loglimit.New(log.Handler(), nil)
	return &Checks{
		groupMaker: groupMaker{counters: counters, resolver: resolve.New(resolve.Options{}), own: newOwnAddresses()},
		log:        slog.New(limited), limited: limited, inherited: inherited,
	}
}

// Follow checks the hosts of cfg from now on; they are counted under ids. Open are the sockets that cfg is served on: hosts that would
// connect to them are not checked.
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

// follow checks those hosts of groups that need checks; groups[i] was made for uses[i].
func (c *Checks) follow(cfg *config.Config, uses []groupUse, groups []*upstream.Group, ids []int) {
	_, places := hostKeys(cfg)
	hosts := make(map[int]checked)
	var targets []check.Target
	known := make(map[int][]int) // indexes in targets, by ID
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

// known returns what the counters say of a host.
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

// report publishes a host's result in the counters.
func (c *Checks) report(id int, up bool, err error) {
	h, ok := (*c.hosts.Load())[id]
	if !ok { // the host has just been removed
		return
	}
	hosts := h.group.Balance.Hosts()
	if !up {
		hosts.Blame(h.index, balance.FailingChecks, checkCause(err))
	}
	change := hosts.SetChecked(h.index, up, balance.Now())
	upstream.LogChange(c.log, h.group, h.index, change, upstream.Report{})
}

// checkCause converts the error of a failed check to a Cause.
func checkCause(err error) balance.Cause {
	switch status, ok := check.Answered(err); {
	case status > 0:
		return balance.Cause{Kind: balance.BadStatus, Number: uint16(status)}
	case ok:
		return balance.Cause{Kind: balance.BadAnswer}
	}
	return upstream.CauseOf(err)
}

// Forget allows suppressed repetitions of log lines again, because the log is a new one. It may be called from any goroutine.
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

// CheckHosts makes this process check the hosts of its configuration, and of later ones.
func (p *Proxy) CheckHosts() {
	p.checks = &Checks{groupMaker: p.groupMaker, log: p.traffic}
	p.followChecks()
}

// followChecks checks the hosts of the configuration in force, if this process runs the checks.
func (p *Proxy) followChecks() {
	if p.checks != nil {
		p.checks.follow(p.now.cfg, usedGroups(p.now.cfg), p.now.groups, p.now.ids)
	}
}

// checksAtOnce returns how many hosts of cfg may be checked at the same time.
func checksAtOnce(cfg *config.Config) int {
	n := 0
	for _, use := range usedGroups(cfg) {
		if use.group.HealthCheck != nil {
			n += len(use.group.Hosts)
		}
	}
	return min(n, check.MaxAtOnce)
}
