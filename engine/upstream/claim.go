package upstream

import (
	"net/netip"
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
	// Observer is told of hosts that could not be reached; nil for nobody. It is set before Acquire.
	Observer Observer

	connector *Connector // since Acquire
	tried     balance.Tried
	attempt   *Attempt // nil unless one is under way
	retries   int      // how often Retry went on to another host
	spent     bool     // a retry is held of what the group's budget allows
}

// Observer is told of each address of a host that could not be connected to since that time, in ms on the loop's clock. Without a valid
// address it is the host's name that could not be resolved, or the path of a unix socket.
type Observer interface {
	Unreached(h *Host, addr netip.AddrPort, since int64, err error)
}

// Acquire gets c, which holds nothing, a connection to a host of g: the idle one that was used last, or a new one. A host that
// cannot be reached is passed over, until all were tried. Who finds each host full waits in the group's queue. Key is what balancers
// choose by that want one. The owner has bytes to send at once. Its Connected may be called before Acquire returns.
//
// Connected is told ErrNoHost itself if no host was tried.
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

// AcquireHost is Acquire for a client who is to stay with a host of g, of that index: while it serves its own clients it is chosen, also if
// it takes no others, and if it is full there is a queue to wait in. Else another is: see c.Lease.
func (k *Connector) AcquireHost(g *Group, c *Claim, host int, key []byte, owner Owner) {
	k.begin(g, c)
	leaves := k.leaves(g)
	if !leaves && k.leaseHost(g, &c.Lease, host, &c.tried) {
		k.connect(c, key, owner)
		return
	}
	a := k.attemptFor(c, true, key, owner)
	a.prefer = host
	if leaves {
		a.join()
	} else {
		a.nextHost()
	}
}

// begin prepares c, which holds nothing.
func (k *Connector) begin(g *Group, c *Claim) {
	c.connector, c.Group, c.Trace.Began, c.retries = k, g, k.loop.Now(), 0
	c.tried.Clear()
}

// connect goes after a connection to the host that c has leased.
func (k *Connector) connect(c *Claim, key []byte, owner Owner) {
	if c.reuse(k.pool(c.Group), false, owner) {
		owner.Connected(nil)
		return
	}
	k.attemptFor(c, true, key, owner).pursue()
}

// Renew replaces c's connection, which has turned out to be closed by its host, by a new one: to the same host, or, if that
// cannot be reached, to one that was not tried yet. In place of a stream it may be another one of the same connection. Key and owner are as
// for Acquire.
func (k *Connector) Renew(c *Claim, key []byte, owner Owner) {
	shared := c.Conn.Shared()
	c.close()
	k.attemptFor(c, shared, key, owner).follow()
}

// Retry gives c's host, which has failed the request, up with that report, and gets c a connection to one that was not tried yet. Its
// connection is reset: the host may have got only a part of the request. Key and owner are as for Acquire, but that the owner is told after
// Retry has returned: a retry waits a little, for a time that nobody knows, lest all whose host has failed come to the next one at once.
//
// It reports false, and has changed nothing, if the request was tried as often as it may be, if there are too many retries already for as
// many requests, or if no other host is to be had.
func (k *Connector) Retry(c *Claim, r Report, key []byte, owner Owner) bool {
	g := c.Group
	if c.retries >= g.Retries || g.Balance.Left(key, &c.tried) == 0 || !c.spend() {
		return false
	}
	var next balance.Lease
	found := k.Lease(g, &next, key, &c.tried)
	a := k.attemptFor(c, true, key, owner)
	if !found && (!c.tried.Full() || a.enqueue() != nil) {
		a.recycle()
		if c.retries == 0 {
			c.refund()
		}
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
	c.retries++
	return true
}

// spend takes a retry of what the group's budget allows, in place of the one that c may have. It reports whether c has one.
func (c *Claim) spend() bool {
	c.refund()
	c.spent = c.Group.Balance.Retry(c.connector.row)
	return c.spent
}

// refund gives back what spend has taken.
func (c *Claim) refund() {
	if c.spent {
		c.spent = false
		c.Group.Balance.Retried(c.connector.row)
	}
}

// Queued reports whether the claim waits for a place at a host.
func (c *Claim) Queued() bool { return c.attempt != nil && c.attempt.Queued() }

// reuse takes a stream of a connection to the leased host that others use, too, or an idle connection, out of p. It reports false if there
// is none. Promised says that the stream was promised.
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
		return true // it is who has made the connection, which was noted
	}
	c.Trace.reused(&c.Group.Hosts[host], conn.addr)
	if promised {
		c.Trace.connected(p.connector.loop.Now()) // it has waited for it
	}
	return true
}

// attemptFor makes an attempt to get c a connection, which has not begun. Reuse says that an idle one to a host that is tried later will do.
func (k *Connector) attemptFor(c *Claim, reuse bool, key []byte, owner Owner) *Attempt {
	made := k.pool(c.Group).fresh()
	a := k.attempt(c.Group, &made.Conn, &c.Lease, &c.Trace, key, owner)
	a.claim, a.made, a.tried, a.reuse, a.prompt = c, made, &c.tried, reuse, true
	c.attempt = a
	return a
}

// Keep gives the connection, which may serve again, to the pool; the lease stays. The host keeps the connection idle for that
// long; zero if it has not said.
func (c *Claim) Keep(idle time.Duration) {
	conn := c.Conn
	c.Conn = nil
	conn.keep(idle)
}

// Release gives everything up: the attempt, the connection, which is closed if it is open still, and the lease, with that report. Nobody
// else's owner is called before it returns.
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

// suspect has others make no use of a connection that may be dead: the host has not answered.
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
