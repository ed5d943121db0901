package upstream

import (
	"net/netip"
	"slices"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
)

// maxProbes bounds the probes of one loop at a time: each may need a socket.
const maxProbes = 8

// impatience is how long, in ms, a client must have waited for an address that does not answer before its leaving has the host
// probed: else clients that wait less long than connect_timeout would keep a dead host from being found out.
const impatience = 1000

// probe is a connection that no client waits for, made to find out whether a host can be reached, and closed then.
type probe struct {
	connector *Connector
	group     *Group
	conn      engine.Conn
	lease     balance.Lease
	trace     Trace // nobody reads it
	attempt   *Attempt
	open      metrics.Place // where the connection is counted as open; zero if it does not stand
}

// Lease chooses a host of g as balance.Group.Acquire does. A host that is passed over because it is down is probed when it
// is time for that; nobody waits for it.
func (k *Connector) Lease(g *Group, lease *balance.Lease, key []byte, tried *balance.Tried) bool {
	var ok bool
	*lease, ok = g.Balance.Acquire(k.row, key, tried, k.loop.Monotonic())
	k.news(g, tried)
	if host, due := tried.Due(); due {
		k.probe(g, host)
	}
	return ok
}

// leaseHost leases that host of g for a client who is to stay with it, if it serves such.
func (k *Connector) leaseHost(g *Group, lease *balance.Lease, host int, tried *balance.Tried) (ok bool) {
	*lease, ok = g.Balance.AcquireHost(k.row, host, tried, k.loop.Monotonic())
	k.news(g, tried)
	return ok
}

// probe begins to probe a host, unless this loop does so already or has enough to probe, or somebody else does.
func (k *Connector) probe(g *Group, host int) {
	if len(k.probes) >= maxProbes || slices.ContainsFunc(k.probes, func(p *probe) bool { return p.group == g && p.lease.Host() == host }) {
		return
	}
	// Somewhat more than it may take, so that its outcome is known before others may probe.
	lease, ok := g.Balance.Probe(k.row, host, k.loop.Monotonic(), g.ResolveTimeout+g.HostTimeout+time.Second)
	if !ok {
		return
	}
	p := &probe{connector: k, group: g, lease: lease}
	k.probes = append(k.probes, p)
	a := k.attempt(g, &p.conn, &p.lease, &p.trace, nil, p)
	a.alone = true
	p.attempt = a
	a.pursue()
}

// Connected implements Owner.
func (p *probe) Connected(err error) {
	p.attempt = nil
	if err == nil {
		p.open = p.group.Hosts[p.lease.Host()].Place
	}
	p.end()
}

// Ends implements Owner: a probe is for no client.
func (p *probe) Ends() (client, local netip.AddrPort) { return netip.AddrPort{}, netip.AddrPort{} }

// end closes the connection, or gives it up.
func (p *probe) end() {
	if p.attempt != nil {
		p.attempt.Cancel()
	}
	p.conn.Close()
	p.connector.Closed(p.open)
	p.connector.Release(p.group, &p.lease, Report{})
	p.connector.probes = slices.DeleteFunc(p.connector.probes, func(q *probe) bool { return q == p })
}

// Ready implements engine.Handler; a probe that is connected is over.
func (p *probe) Ready(*engine.Conn) {}

// Expired implements engine.Handler; a probe has no timers of its own.
func (p *probe) Expired(*engine.Timer) {}

// Close closes idle connections and gives up the probes that are on their way. Attempts must have ended, and Claims been released.
func (k *Connector) Close() {
	k.giveUp()
	for len(k.sessions) > 0 { // that are about to leave
		k.sessions[0].session.Abort(errUnused)
	}
	for len(k.probes) > 0 {
		k.probes[0].end()
	}
}
