package upstream

import (
	"net/netip"
	"slices"

	"kroxy-ev/engine"
)

// hostAddrs is what a pool knows of one host's addresses. The addresses of a name may change while connections to the old ones are kept
// alive, and with enough traffic those would stay for ever. So the name's addresses are checked now and then before a kept connection is reused.
type hostAddrs struct {
	next    int64        // when the addresses are next checked, in ms on the loop's clock; engine.Never for a host whose address never changes
	addrs   []netip.Addr // the name's last answer; nil if there was none
	version uint32       // incremented whenever the answer changes
}

// addrsEvery is how often a name's addresses are checked, in ms; its answers do not change more often.
const addrsEvery = 1000

// newHostAddrs returns the initial state for each of g's hosts.
func newHostAddrs(g *Group) []hostAddrs {
	list := make([]hostAddrs, len(g.Hosts))
	for i := range g.Hosts {
		if n := g.Hosts[i].Name; n == nil || n.Literal() {
			list[i].next = engine.Never
		}
	}
	return list
}

// dropMoved closes idle connections to addresses that the name of the host of that index no longer has. Connections in use are left
// alone.
func (p *pool) dropMoved(index int) {
	h, now := &p.addrs[index], p.connector.loop.Now()
	if now < h.next { // nearly always
		return
	}
	h.next = now + addrsEvery
	addrs := p.group.Hosts[index].Name.Addrs() // this also keeps the name in use
	if len(addrs) == 0 || len(h.addrs) > 0 && &addrs[0] == &h.addrs[0] {
		return
	}
	h.addrs = addrs
	h.version++
	p.idle[index] = slices.DeleteFunc(p.idle[index], func(c *Conn) bool {
		if p.isCurrent(c) {
			return false
		}
		p.count(-1)
		p.discard(c)
		return true
	})
	if p.shares != nil {
		p.shares[index].leaveMoved(addrs)
	}
}

// isCurrent reports whether c is connected to an address that its host still has, as far as known.
func (p *pool) isCurrent(c *Conn) bool {
	h := &p.addrs[c.index]
	if c.addrs == h.version {
		return true
	}
	if addr := c.addr.Addr(); !slices.Contains(h.addrs, addr) && !slices.Contains(p.group.Hosts[c.index].Name.Addrs(), addr) {
		return false
	}
	c.addrs = h.version
	return true
}

// leaveMoved makes sessions leave that are connected to none of these addresses.
func (sh *sharing) leaveMoved(addrs []netip.Addr) {
	for i := len(sh.sessions) - 1; i >= 0; i-- { // leave removes the session from the list
		if s := sh.sessions[i]; !slices.Contains(addrs, s.addr.Addr()) {
			s.leave()
		}
	}
	sh.serve()
}
