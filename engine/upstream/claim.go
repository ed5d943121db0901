package upstream

import (
	"time"

	"kroxy-ev/balance"
)

// Claim is what one request has of a group: at first an attempt to reach a host, then a connection to one. The zero value
// holds nothing. It stays where it is while it holds something.
type Claim struct {
	// Group is the group whose hosts are tried, since Acquire.
	Group *Group
	// Conn is the connection; nil unless it stands. Lease is on its host.
	Conn  *Conn
	Lease balance.Lease
	// Trace says what was tried. It stays when the claim is released.
	Trace Trace

	connector *Connector
	tried     balance.Tried
	attempt   *Attempt // nil unless one is under way
}

// Acquire gets c, which holds nothing, a connection to a host of g: the idle one that was used last, or a new one. A host that
// cannot be reached is passed over, until all were tried. Key is what balancers by name choose by; it must stay as it is
// until the owner's Connected is called, which may be before Acquire returns. The owner has bytes to send at once.
//
// Connected is told ErrNoHost itself if no host was tried.
func (k *Connector) Acquire(g *Group, c *Claim, key []byte, owner Owner) {
	c.connector, c.Group, c.Trace.Began = k, g, k.loop.Now()
	c.tried.Clear()
	if !k.Lease(g, &c.Lease, key, &c.tried) {
		owner.Connected(ErrNoHost)
		return
	}
	p := k.pool(g)
	if c.reuse(p, owner) {
		owner.Connected(nil)
		return
	}
	c.dial(p, key, true, owner)
}

// Renew replaces c's connection, which has turned out to be closed by its host, by a new one: to the same host, or, if that
// cannot be reached, to one that was not tried yet. Key and owner are as for Acquire.
func (k *Connector) Renew(c *Claim, key []byte, owner Owner) {
	p := c.Conn.pool
	c.close()
	c.dial(p, key, false, owner)
}

// reuse takes an idle connection to the leased host out of p. It reports false if there is none.
func (c *Claim) reuse(p *pool, owner Owner) bool {
	conn := p.take(c.Lease.Host())
	if conn == nil {
		return false
	}
	conn.SetHandler(owner)
	c.Conn = conn
	c.Trace.reused(&c.Group.Hosts[conn.index], conn.addr)
	return true
}

// dial has a new connection made, to the leased host first. Reuse says that an idle one to a host that is tried later will do.
func (c *Claim) dial(p *pool, key []byte, reuse bool, owner Owner) {
	made := p.fresh()
	a := p.connector.attempt(c.Group, &made.Conn, &c.Lease, &c.Trace, owner)
	a.claim, a.made, a.tried, a.reuse, a.key, a.prompt = c, made, &c.tried, reuse, key, true
	c.attempt = a
	a.pursue()
}

// Keep gives the connection, which may serve again, to the pool; the lease stays. The host keeps the connection idle for that
// long; zero if it has not said.
func (c *Claim) Keep(idle time.Duration) {
	conn := c.Conn
	c.Conn = nil
	conn.keep(idle)
}

// Release gives everything up: the attempt, the connection, which is closed if it is open still, and the lease, with that outcome.
func (c *Claim) Release(o balance.Outcome) {
	if c.attempt != nil {
		c.attempt.Cancel()
	}
	c.close()
	if c.Lease.Held() {
		c.Lease.Release(o, c.connector.loop.Monotonic())
	}
}

// close closes the connection, if there is one.
func (c *Claim) close() {
	if conn := c.Conn; conn != nil {
		c.Conn = nil
		conn.pool.discard(conn)
	}
}
