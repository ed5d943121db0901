package upstream

import (
	"math"
	"slices"

	"kroxy-ev/engine"
	"kroxy-ev/engine/proxyproto"
)

// pool keeps a loop's idle connections to the hosts of one group, the last used first. How many there may be over all groups
// is the Connector's to say.
type pool struct {
	connector *Connector
	group     *Group
	idle      [][]*Conn // by host
	kept      int       // over all hosts
	max       int       // for each host
	timeout   int64     // ms; 0 is no bound

	addrs  []hostAddrs // by host
	shares []sharing   // by host; nil where nothing is shared

	demand []demand // by host; nil where max is fixed
	looks  engine.Timer
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
		p.looks.Handler = p
	}
	return p
}

// pool is where the connections to g's hosts come from and go to. That of a group that is not among the present ones keeps none.
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

// Swap has connections to hosts of these groups kept from now on. Those that are idle stay, as far as a group of the same name
// has the same host and is allowed as many: if several have that name, the one in the same place among these; the others are closed, and so are those in use when they come back.
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

// Idle is how many connections to hosts the loop keeps for later.
func (k *Connector) Idle() int { return k.kept }

// giveUp closes all that are idle, because descriptors have run out. It reports whether there was one.
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

// stream opens a stream of a connection that others use, too, to the host of that index. It returns nil if none takes one more.
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

// count notes that there are so many idle connections more.
func (p *pool) count(n int) {
	p.kept += n
	p.connector.kept += n
}

// begin notes that c serves a request of its host, which is known now.
func (p *pool) begin(c *Conn) {
	if p.demand != nil {
		c.busy = true
		p.connector.busy++
		p.demand[c.index].begin()
	}
}

// end notes that c serves no request any more.
func (p *pool) end(c *Conn) {
	if c.busy {
		c.busy = false
		p.connector.busy--
		p.demand[c.index].end()
	}
}

// Others has connections that did not come of Acquire counted, which are in use: fewer may be idle then. N is called on the loop. Each
// caller's are counted.
func (k *Connector) Others(n func() int) { k.others = append(k.others, n) }

// inUse is how many connections are in use, as far as they count against idle ones.
func (k *Connector) inUse() int {
	n := k.busy
	for _, others := range k.others {
		n += others()
	}
	return n
}

// resting is how many connections to the host of that index are idle.
func (p *pool) resting(index int) int {
	n := len(p.idle[index])
	if p.shares != nil {
		n += p.shares[index].idle
	}
	return n
}

// keep notes that there is one idle connection more.
func (p *pool) keep() {
	loop := p.connector.loop
	if p.count(1); p.kept == 1 && p.demand != nil {
		loop.Arm(&p.looks, loop.Now()+lookEvery)
	}
}

// full reports whether no more idle connections to the host of that index may be kept. A host that is drained is about to go.
func (p *pool) full(index int) bool {
	k := p.connector
	most := k.groups.idle
	if p.demand != nil {
		most = max(most, k.groups.share-k.inUse())
	}
	return p.resting(index) >= p.max || p.group.Balance.Hosts().Draining(index) || k.kept >= most || engine.FilesAreShort()
}

// put adds a connection that may serve again.
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

// Expired implements engine.Handler: it is time to look which connections are in surplus.
func (p *pool) Expired(*engine.Timer) {
	if engine.FilesAreShort() {
		p.close()
		return
	}
	for i := range p.demand {
		surplus := p.demand[i].look(p.resting(i))
		n := min(surplus, len(p.idle[i]))
		for _, c := range p.idle[i][:n] { // those that were used longest ago
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
		loop.Arm(&p.looks, loop.Now()+lookEvery)
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

// discard closes a connection that is not in the pool, if it is open still.
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

// moveOn gives the idle connections, and those that several requests share, to the pools of the present groups, as far as these have their
// hosts, and closes the others.
// The pool's own group is one of before.
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
	k.loop.Disarm(&p.looks)
}

// close closes all that are idle.
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
	p.connector.loop.Disarm(&p.looks)
}
