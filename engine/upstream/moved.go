package upstream

import (
	"net/netip"
	"slices"

	"kroxy-ev/engine"
)

// hostAddrs is what a pool knows of the addresses of one host. The addresses of a name may change while connections to the old ones are kept, and
// with enough traffic these would be kept for ever. So the name is looked at, now and then, when a connection is to be used again.
type hostAddrs struct {
	next    int64        // when the name is looked at again, ms on the loop's clock; engine.Never for a host whose address never changes
	addrs   []netip.Addr // the name's last answer; nil if there was none
	version uint32       // counts answers that differ
}

// addrsEvery is how often a name is looked at, in ms: its answers do not change more often.
const addrsEvery = 1000

// newHostAddrs returns what is known of g's hosts at first.
func newHostAddrs(g *Group) []hostAddrs {
	list := make([]hostAddrs, len(g.Hosts))
	for i := range g.Hosts {
		if n := g.Hosts[i].Name; n == nil || n.Literal() {
			list[i].next = engine.Never
		}
	}
	return list
}

// dropMoved closes idle connections to the host of that index whose addresses its name no longer has, so that none is used again. Those in use are
// left alone.
func (p *pool) dropMoved(index int) {
	h, now := &p.addrs[index], p.connector.loop.Now()
	if now < h.next { // nearly always
		return
	}
	h.next = now + addrsEvery
	addrs := p.group.Hosts[index].Name.Addrs() // which keeps the name in use as well
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

// isCurrent reports whether c is to an address that its host has, as far as that is known.
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

// leaveMoved has sessions leave that are to none of these addresses.
func (sh *sharing) leaveMoved(addrs []netip.Addr) {
	for i := len(sh.sessions) - 1; i >= 0; i-- { // each leaves the list
		if s := sh.sessions[i]; !slices.Contains(addrs, s.addr.Addr()) {
			s.leave()
		}
	}
	sh.serve()
}
