package proxy

import (
	"kroxy-ev/balance"
	"kroxy-ev/config"
)

// hostSpec returns the balancing properties of h; key is the host's key.
func hostSpec(h config.Host, key string) balance.Spec {
	s := balance.Spec{ID: key, Name: h.Matches(), Weight: h.Weight, Tier: h.Tier, MaxConns: h.MaxConns, Drain: h.Drain}
	if h.Backup {
		s.Tier += balance.BackupTier
	}
	return s
}

// balancing returns the balancing options of g, whose hosts have these specs.
func balancing(g *config.Group, specs []balance.Spec) balance.Options {
	o := balance.Options{
		Algorithm: g.Algorithm, Hosts: specs, Passive: balance.Passive{Off: !g.PassiveCheck.Enabled}, Checked: g.HealthCheck != nil,
		SlowStart: g.SlowStart, Queue: g.Queue.Size, RetryBudget: g.Retry.Budget,
	}
	if c := g.PassiveCheck; c.Requests {
		o.Passive = balance.Passive{Failures: c.Failures, Window: c.Window, Eject: c.Eject, MaxEject: c.MaxEject}
	}
	return o
}

// publish publishes to all processes the balancing state of s, which is in force now.
func (s *Snapshot) publish() {
	for _, g := range s.groups {
		g.Balance.Enforce()
	}
}
