package upstream

import (
	"net/netip"
	"slices"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
)

// maxProbes bounds the simultaneous probes of one loop: each may need a socket.
const maxProbes = 8

// probeAfter is how long, in ms, a client must have waited for an address before its leaving causes a probe of the host. Without such probes,
// clients that give up before connect_timeout would keep a dead host from being detected.
const probeAfter = 1000

// probe is a connection that no client waits for. It finds out whether a host can be reached, and is then closed.
type probe struct {
	connector *Connector
	group     *Group
	conn      engine.Conn
	lease     balance.Lease
	trace     Trace // not read
	attempt   *Attempt
	open      metrics.Place // where the connection is counted as open; zero if it is not established
}

// Lease chooses a host of g as balance.Group.Acquire does. If a down host that was passed over is due for a probe, Lease begins one,
// which nobody waits for.
func (k *Connector) Lease(g *Group, lease *balance.Lease, key []byte, tried *balance.Tried) bool {
	var ok bool
	*lease, ok = g.Balance.Acquire(k.row, key, tried, k.loop.Monotonic())
	k.logFindings(g, tried)
	if host, due := tried.Due(); due {
		k.probe(g, host)
	}
	return ok
}

// leaseHost leases that host of g for a client that should stay with it, if the host serves such clients.
func (k *Connector) leaseHost(g *Group, lease *balance.Lease, host int, tried *balance.Tried) (ok bool) {
	*lease, ok = g.Balance.AcquireHost(k.row, host, tried, k.loop.Monotonic())
	k.logFindings(g, tried)
	return ok
}

// probe begins to probe a host, unless this loop is already probing it or has maxProbes, or another loop is probing it.
func (k *Connector) probe(g *Group, host int) {
	if len(k.probes) >= maxProbes || slices.ContainsFunc(k.probes, func(p *probe) bool { return p.group == g && p.lease.Host() == host }) {
		return
	}
	// The lease lasts somewhat longer than the probe may take, so that the outcome is known before others may probe.
	lease, ok := g.Balance.Probe(k.row, host, k.loop.Monotonic(), g.ResolveTimeout+g.HostTimeout+time.Second)
	if !ok {
		return
	}
	p := &probe{connector: k, group: g, lease: lease}
	k.probes = append(k.probes, p)
	a := k.attempt(g, &p.conn, &p.lease, &p.trace, nil, p)
	a.alone = true
	p.attempt = a
	a.startConnecting()
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

// end closes or cancels the probe's connection and releases its lease.
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

// Close closes idle connections and cancels probes. All attempts must have ended, and all Claims must have been released.
func (k *Connector) Close() {
	k.giveUp()
	for len(k.sessions) > 0 { // those that are leaving
		k.sessions[0].session.Abort(errUnused)
	}
	for len(k.probes) > 0 {
		k.probes[0].end()
	}
}
