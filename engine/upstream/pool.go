package upstream

import (
	"math"
	"slices"

	"kroxy-ev/engine"
	"kroxy-ev/engine/proxyproto"
)

// pool keeps a loop's idle connections to the hosts of one group and reuses the most recently used first. The Connector bounds their
// number over all groups.
type pool struct {
	connector *Connector
	group     *Group
	idle      [][]*Conn // by host
	kept      int       // over all hosts
	max       int       // for each host
	timeout   int64     // ms; 0 is no bound

	addrs  []hostAddrs // by host
	shares []sharing   // by host; nil if the group's protocol is HTTP/1.1

	demand      []demand     // by host; nil if max is fixed
	demandTimer engine.Timer // when the demand is next examined
}

func newPool(k *Connector, g *Group) *pool {
	p := &pool{
		connector: k, group: g,
		idle:  make([][]*Conn, len(g.Hosts)),
		addrs: newHostAddrs(g),
		max:   g.Keepalive, timeout: g.KeepaliveTimeout.Milliseconds(),
	}
	if g.Protocol != HTTP1 {
		p.shares = make([]sharing, len(g.Hosts))
		for i := range p.shares {
			p.shares[i].capacity = likelyStreams
		}
	}
	switch {
	case g.ProxyProtocol != proxyproto.None:
		p.max = 0
	case g.Keepalive == KeepaliveAuto:
		p.max, p.demand = math.MaxInt, make([]demand, len(g.Hosts))
		p.demandTimer.Handler = p
	}
	return p
}

// pool returns the pool of g. The pool of a group that is not in the current configuration keeps no connections.
func (k *Connector) pool(g *Group) *pool {
	p := k.pools[g]
	if p == nil {
		p = newPool(k, g)
		if k.groups.has(g) {
			k.pools[g] = p
		} else {
			p.max = 0
		}
	}
	return p
}

// Swap replaces the groups for which connections are kept. An idle connection stays if the new group of the same name has the same host and
// may keep as many; if several groups have that name, their order decides which replaces which. All other idle connections are closed, and
// connections in use are closed when they are returned.
func (k *Connector) Swap(to *Groups) {
	before := k.groups
	k.groups = to
	for g, p := range k.pools {
		if !to.has(g) {
			delete(k.pools, g)
			p.moveOn(before)
		}
	}
}

// Idle returns the number of idle connections to hosts that the loop keeps.
func (k *Connector) Idle() int { return k.kept }

// giveUp closes all idle connections, because descriptors have run out. It reports whether there was any.
func (k *Connector) giveUp() bool {
	had := k.kept > 0
	for _, p := range k.pools {
		p.close()
	}
	return had
}

// fresh returns a closed connection to be dialled.
func (p *pool) fresh() *Conn {
	c := p.connector.freeConns.Get()
	if c == nil {
		c = &Conn{}
		c.timer.Handler = c
	}
	c.pool = p
	return c
}

// stream opens a stream on a shared connection to the host of that index. It returns nil if no session has room for one.
func (p *pool) stream(index int, promised bool, h engine.Handler) *Conn {
	if p.shares == nil {
		return nil
	}
	if s := p.shares[index].pick(promised); s != nil {
		return s.open(h)
	}
	return nil
}

// take returns an idle connection to the host of that index, or nil.
func (p *pool) take(index int) *Conn {
	list := p.idle[index]
	n := len(list)
	if n == 0 {
		return nil
	}
	c := list[n-1]
	list[n-1] = nil
	p.idle[index] = list[:n-1]
	p.count(-1)
	c.idle = false
	p.begin(c)
	return c
}

// count adds n to the number of idle connections; n may be negative.
func (p *pool) count(n int) {
	p.kept += n
	p.connector.kept += n
}

// begin notes that c serves a request of its host, whose index is set.
func (p *pool) begin(c *Conn) {
	if p.demand != nil {
		c.busy = true
		p.connector.busy++
		p.demand[c.index].begin()
	}
}

// end notes that c no longer serves a request.
func (p *pool) end(c *Conn) {
	if c.busy {
		c.busy = false
		p.connector.busy--
		p.demand[c.index].end()
	}
}

// Others registers a function that returns how many connections are in use that were not made by Acquire; as many fewer may be idle.
// n is called on the loop. The results of all registered functions are added.
func (k *Connector) Others(n func() int) { k.others = append(k.others, n) }

// inUse returns the number of connections in use that count against idle ones.
func (k *Connector) inUse() int {
	n := k.busy
	for _, others := range k.others {
		n += others()
	}
	return n
}

// idleConns returns the number of idle connections to the host of that index.
func (p *pool) idleConns(index int) int {
	n := len(p.idle[index])
	if p.shares != nil {
		n += p.shares[index].idle
	}
	return n
}

// keep counts one more idle connection.
func (p *pool) keep() {
	loop := p.connector.loop
	if p.count(1); p.kept == 1 && p.demand != nil {
		loop.Arm(&p.demandTimer, loop.Now()+demandEvery)
	}
}

// full reports whether no more idle connections to the host of that index may be kept. A draining host keeps none.
func (p *pool) full(index int) bool {
	k := p.connector
	most := k.groups.idle
	if p.demand != nil {
		most = max(most, k.groups.share-k.inUse())
	}
	return p.idleConns(index) >= p.max || p.group.Balance.Hosts().Draining(index) || k.kept >= most || engine.FilesAreShort()
}

// put adds a connection that may be reused.
func (p *pool) put(c *Conn) {
	p.end(c)
	if p.full(c.index) || !p.isCurrent(c) {
		p.discard(c)
		return
	}
	c.SetHandler(c)
	c.Used, c.idle = true, true
	p.keep()
	loop := p.connector.loop
	p.idle[c.index] = append(p.idle[c.index], c)
	at := engine.Never
	if p.timeout > 0 {
		at = loop.Now() + p.timeout
	}
	if c.until > 0 {
		at = min(at, c.until)
	}
	if at != engine.Never {
		loop.Arm(&c.timer, at)
	}
}

// Expired implements engine.Handler: it is time to close surplus connections.
func (p *pool) Expired(*engine.Timer) {
	if engine.FilesAreShort() {
		p.close()
		return
	}
	for i := range p.demand {
		surplus := p.demand[i].look(p.idleConns(i))
		n := min(surplus, len(p.idle[i]))
		for _, c := range p.idle[i][:n] { // the least recently used
			p.discard(c)
		}
		p.idle[i] = slices.Delete(p.idle[i], 0, n)
		p.count(-n)
		if p.shares != nil {
			p.shares[i].closeIdle(surplus-n, false)
		}
	}
	if p.kept > 0 {
		loop := p.connector.loop
		loop.Arm(&p.demandTimer, loop.Now()+demandEvery)
	}
}

// Ready implements engine.Handler; no connection has the pool as its handler.
func (p *pool) Ready(*engine.Conn) {}

// drop closes an idle connection.
func (p *pool) drop(c *Conn) {
	i := slices.Index(p.idle[c.index], c)
	p.idle[c.index] = slices.Delete(p.idle[c.index], i, i+1)
	p.count(-1)
	p.discard(c)
}

// discard closes a connection that is not in the pool, if it is still open, and recycles the struct.
func (p *pool) discard(c *Conn) {
	if s := c.shared; s != nil {
		c.Close()
		c.pool, c.shared, c.Used = nil, nil, false
		p.connector.freeConns.Put(c)
		s.ended()
		return
	}
	p.end(c)
	p.connector.loop.Disarm(&c.timer)
	c.Close()
	p.connector.Closed(c.place)
	c.place = 0
	c.pool, c.addrs, c.Used, c.idle = nil, 0, false, false
	p.connector.freeConns.Put(c)
}

// moveOn moves the idle connections and the shared sessions to the pools of the current groups where these have the same hosts, and
// closes the others. The pool's own group belongs to before.
func (p *pool) moveOn(before *Groups) {
	k := p.connector
	p.max = 0
	for i := range p.idle {
		if len(p.idle[i]) == 0 && p.shares == nil {
			continue
		}
		list := p.idle[i]
		p.idle[i] = nil
		p.count(-len(list))
		to, index := k.groups.successor(before, p.group, i)
		if to != nil {
			if q := k.pool(to); q.addrs[index].addrs == nil && q.addrs[index].next != engine.Never {
				q.addrs[index] = p.addrs[i]
			}
		}
		for _, c := range list {
			if to == nil {
				p.discard(c)
				continue
			}
			k.loop.Disarm(&c.timer)
			c.pool, c.index, c.addrs = k.pool(to), index, 0
			c.pool.put(c)
		}
		if p.shares != nil {
			var q *pool
			if to != nil {
				q = k.pool(to)
			}
			p.shares[i].moveTo(q, index)
		}
	}
	k.loop.Disarm(&p.demandTimer)
}

// close closes all idle connections.
func (p *pool) close() {
	for i, list := range p.idle {
		for _, c := range list {
			p.discard(c)
		}
		p.count(-len(list))
		p.idle[i] = nil
		if p.shares != nil {
			p.shares[i].closeIdle(p.shares[i].idle, true)
		}
	}
	p.connector.loop.Disarm(&p.demandTimer)
}
