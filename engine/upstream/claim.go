package upstream

import (
	"net/netip"
	"time"

	"kroxy-ev/balance"
)

// Claim is one request's hold on a group: first an attempt to reach a host, then a connection to the host. The zero value
// holds nothing. A claim must not be moved while it holds something.
type Claim struct {
	// Group is the group whose hosts are tried; set by Acquire.
	Group *Group
	// Conn is the connection; nil until it is established. Lease is the lease on its host.
	Conn  *Conn
	Lease balance.Lease
	// Trace records what was tried. It remains after the claim is released.
	Trace Trace
	// Observer is told of each address that could not be reached; may be nil. Set it before Acquire.
	Observer Observer

	connector *Connector // set by Acquire
	tried     balance.Tried
	attempt   *Attempt // the attempt in progress, or nil
	came      int64    // when Acquire was called, ms on the loop's clock
	returned  bool     // it has lost a stream, or the promise of one, and needs another one at the same host
	retries   int      // how often Retry has gone on to another host
	spent     bool     // the claim holds a retry of the group's budget
}

// Observer is told of each address of a host that could not be connected to; since is when the attempt at that address began, in ms on the
// loop's clock. If addr is invalid, the host's name could not be resolved, or the host is a unix socket.
type Observer interface {
	Unreached(h *Host, addr netip.AddrPort, since int64, err error)
}

// Acquire gets c, which must hold nothing, a connection to a host of g: the most recently used idle one, or a new one. It skips hosts that
// cannot be reached until all were tried. If every host is full, c waits in the group's queue. Key is the key for balancers that choose by
// one. The owner must have bytes to send at once. Its Connected may be called before Acquire returns.
//
// If no host was tried, Connected gets ErrNoHost itself, not wrapped.
func (k *Connector) Acquire(g *Group, c *Claim, key []byte, owner Owner) {
	k.begin(g, c)
	if k.isQueued(g) && !g.Balance.ByName() {
		k.attemptFor(c, true, key, owner).join()
		return
	}
	if !k.Lease(g, &c.Lease, key, &c.tried) {
		if c.tried.Full() {
			k.attemptFor(c, true, key, owner).join()
		} else {
			owner.Connected(ErrNoHost)
		}
		return
	}
	k.connect(c, key, owner)
}

// AcquireHost is like Acquire, but for a client that should stay with the host of that index. That host is chosen as long as it serves
// clients that stay with it, even if it takes no new ones; if it is full and the group has a queue, c waits for it. Otherwise another host
// is chosen; c.Lease tells which.
func (k *Connector) AcquireHost(g *Group, c *Claim, host int, key []byte, owner Owner) {
	k.begin(g, c)
	yields := k.mustYield(g)
	if !yields && k.leaseHost(g, &c.Lease, host, &c.tried) {
		k.connect(c, key, owner)
		return
	}
	a := k.attemptFor(c, true, key, owner)
	a.prefer = host
	if yields {
		a.join()
	} else {
		a.nextHost()
	}
}

// begin prepares c, which holds nothing.
func (k *Connector) begin(g *Group, c *Claim) {
	now := k.loop.Now()
	c.connector, c.Group, c.Trace.Began, c.came, c.returned, c.retries = k, g, now, now, false, 0
	c.tried.Clear()
}

// connect gets a connection to the host that c has leased.
func (k *Connector) connect(c *Claim, key []byte, owner Owner) {
	if c.reuse(k.pool(c.Group), false, owner) {
		owner.Connected(nil)
		return
	}
	k.attemptFor(c, true, key, owner).startConnecting()
}

// Renew replaces c's connection, which the host turned out to have closed, with a new one to the same host, or, if that
// cannot be reached, to a host that was not tried yet. A stream may be replaced by another stream of the same connection. Key and owner
// are as for Acquire.
func (k *Connector) Renew(c *Claim, key []byte, owner Owner) {
	shared := c.Conn.Shared()
	c.returned = shared
	c.close()
	k.attemptFor(c, shared, key, owner).useOrConnect()
}

// Retry releases c's host, which has failed the request, with report r, and gets c a connection to a host that was not tried yet. It resets
// the old connection, because the host may have received part of the request. Key and owner are as for Acquire, except that the owner is
// called only after Retry has returned: a retry waits for a short random time, so that not all clients of a failed host reach the next one
// at once.
//
// Retry returns false and changes nothing if the request has used up its retries, if the retry budget is used up, or if no other host is
// available.
func (k *Connector) Retry(c *Claim, r Report, key []byte, owner Owner) bool {
	if c.retries >= c.Group.Retries || c.Group.Balance.Left(key, &c.tried) == 0 || !c.spend() {
		return false
	}
	if !c.advance(r, key, owner) {
		if c.retries == 0 {
			c.refund()
		}
		return false
	}
	c.retries++
	return true
}

// Pass is Retry for a request that c's host has not begun to process. Neither Group.Retries nor the retry budget bounds it, as if the host had been
// unreachable.
func (k *Connector) Pass(c *Claim, r Report, key []byte, owner Owner) bool {
	return !c.Group.KeepHost && c.Group.Balance.Left(key, &c.tried) > 0 && c.advance(r, key, owner)
}

// advance gets c a connection to a host that was not tried yet. It returns false and changes nothing if no other host is available.
func (c *Claim) advance(r Report, key []byte, owner Owner) bool {
	k, g := c.connector, c.Group
	var next balance.Lease
	found := k.Lease(g, &next, key, &c.tried)
	a := k.attemptFor(c, true, key, owner)
	if !found && (!c.tried.Full() || a.enqueue() != nil) {
		a.recycle()
		return false
	}
	if c.Conn != nil {
		c.suspect(&r)
		c.Conn.Reset()
		c.close()
	}
	k.Release(g, &c.Lease, r)
	c.Trace.Began = k.loop.Now()
	if found {
		c.Lease = next
		a.backOff(c.retries)
	}
	return true
}

// spend takes a retry from the group's budget, in exchange for the one that c may already hold. It reports whether c holds one now.
func (c *Claim) spend() bool {
	c.refund()
	c.spent = c.Group.Balance.Retry(c.connector.row)
	return c.spent
}

// refund returns the retry that spend has taken.
func (c *Claim) refund() {
	if c.spent {
		c.spent = false
		c.Group.Balance.Retried(c.connector.row)
	}
}

// Queued reports whether the claim waits for a place at a host.
func (c *Claim) Queued() bool { return c.attempt != nil && c.attempt.Queued() }

// reuse takes a stream on a shared connection to the leased host, or an idle connection, from p. It returns false if there is none.
// Promised says that a stream was promised to the claim, see partPromised.
func (c *Claim) reuse(p *pool, promised bool, owner Owner) bool {
	host := c.Lease.Host()
	p.dropMoved(host)
	conn := p.stream(host, promised, owner)
	if conn == nil {
		if conn = p.take(host); conn == nil {
			return false
		}
		conn.SetHandler(owner)
	}
	c.Conn = conn
	if promised && c.Trace.Connected {
		return true // this claim's attempt made the connection, and has already noted it
	}
	c.Trace.reused(&c.Group.Hosts[host], conn.addr)
	if promised {
		c.Trace.connected(p.connector.loop.Now()) // the claim waited for the connection
	}
	return true
}

// attemptFor returns an attempt, not yet begun, to get c a connection. Reuse says whether an existing connection may be used.
func (k *Connector) attemptFor(c *Claim, reuse bool, key []byte, owner Owner) *Attempt {
	made := k.pool(c.Group).fresh()
	a := k.attempt(c.Group, &made.Conn, &c.Lease, &c.Trace, key, owner)
	a.claim, a.made, a.tried, a.reuse, a.prompt = c, made, &c.tried, reuse, true
	c.attempt = a
	return a
}

// Keep returns the connection, which can be reused, to the pool; the lease stays. idle is how long the host said that it keeps
// idle connections open; zero if it has not said.
func (c *Claim) Keep(idle time.Duration) {
	conn := c.Conn
	c.Conn = nil
	conn.keep(idle)
}

// Release cancels the attempt, closes the connection if it is still open, and releases the lease with report r. It calls no other
// claim's owner before it returns.
func (c *Claim) Release(r Report) {
	if c.attempt != nil {
		c.attempt.Cancel()
	}
	c.suspect(&r)
	c.close()
	c.refund()
	if c.Lease.Held() {
		c.connector.Release(c.Group, &c.Lease, r)
	}
}

// suspect marks a shared connection as possibly dead if the host has not answered, so that no other request uses it.
func (c *Claim) suspect(r *Report) {
	if conn := c.Conn; conn != nil && conn.shared != nil && r.Status == 0 {
		conn.shared.suspect(conn.opened)
	}
}

// close closes the connection, if there is one.
func (c *Claim) close() {
	if conn := c.Conn; conn != nil {
		c.Conn = nil
		conn.pool.discard(conn)
	}
}
