package upstream

import (
	"net/netip"
	"slices"

	"kroxy-ev/engine"
)

// hostAddrs is what a pool knows of one host's addresses. The addresses of a name may change while connections to the old ones are kept
// alive, and with enough traffic those would stay for ever. So the name's addresses are checked now and then before a kept connection is reused.
//
// Many names have more addresses than fit into one answer, and each answer contains different ones. Connections to an address that is missing
// from an answer are kept for a while, and longer if the name is known to rotate its addresses: a missing address has come back.
type hostAddrs struct {
	next    int64                // when the addresses are next checked, in ms on the loop's clock; engine.Never for a host whose address never changes
	addrs   []netip.Addr         // the name's last answer; nil if there was none
	version uint32               // incremented whenever the answer changes
	left    map[netip.Addr]int64 // addresses of earlier answers, and when each was last seen; nil if the answer has never changed
	rotates int64                // until when the name counts as rotating
	holding bool                 // a connection to an address that is not in the last answer is kept
}

const (
	// addrsEvery is how often a name's addresses are checked, in ms; its answers do not change more often.
	addrsEvery = 1000
	// holdMoved is how long, in ms, connections to an address are kept after it has disappeared from the name's answers; holdRotating is the same
	// for a rotating name.
	holdMoved, holdRotating = 5_000, 600_000
	// leftMemory is how long, in ms, a missing address is remembered, and how long a name counts as rotating. mostLeft bounds the number of
	// remembered addresses.
	leftMemory, mostLeft = 1_800_000, 1024
)

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

// answered records an answer that differs from the last one.
func (h *hostAddrs) answered(addrs []netip.Addr, now int64) {
	if h.addrs != nil && h.left == nil {
		h.left = make(map[netip.Addr]int64)
	}
	for _, a := range addrs {
		if at, ok := h.left[a]; ok && now-at < leftMemory {
			h.rotates = now + leftMemory
		}
		delete(h.left, a)
	}
	for a, at := range h.left {
		if now-at >= leftMemory {
			delete(h.left, a)
		}
	}
	for _, a := range h.addrs {
		if !slices.Contains(addrs, a) && len(h.left) < mostLeft {
			h.left[a] = now
		}
	}
	h.addrs = addrs
	h.version++
}

// holds reports whether connections to an address that is not in the last answer are kept.
func (h *hostAddrs) holds(a netip.Addr, now int64) bool {
	most := int64(holdMoved)
	if now < h.rotates {
		most = holdRotating
	}
	at, ok := h.left[a]
	return ok && now-at < most
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
	switch changed := len(addrs) > 0 && (len(h.addrs) == 0 || &addrs[0] != &h.addrs[0]); {
	case changed:
		h.answered(addrs, now)
	case !h.holding:
		return
	}
	h.holding = false
	p.idle[index] = slices.DeleteFunc(p.idle[index], func(c *Conn) bool {
		if p.isCurrent(c) {
			return false
		}
		p.count(-1)
		p.discard(c)
		return true
	})
	if p.shares != nil {
		p.shares[index].leaveMoved(func(a netip.Addr) bool { return p.hasAddr(index, a) })
	}
}

// isCurrent reports whether c is connected to an address that its host still has, as far as known, or had recently.
func (p *pool) isCurrent(c *Conn) bool {
	h := &p.addrs[c.index]
	if c.addrs == h.version {
		return true
	}
	if !p.hasAddr(c.index, c.addr.Addr()) {
		return false
	}
	if !h.holding {
		c.addrs = h.version
	}
	return true
}

// hasAddr reports whether the host of that index has an address, as far as known, or had it recently.
func (p *pool) hasAddr(index int, a netip.Addr) bool {
	h := &p.addrs[index]
	if slices.Contains(h.addrs, a) || slices.Contains(p.group.Hosts[index].Name.Addrs(), a) {
		return true
	}
	if h.holds(a, p.connector.loop.Now()) {
		h.holding = true
		return true
	}
	return false
}

// leaveMoved makes sessions leave that are connected to addresses that their host no longer has.
func (sh *sharing) leaveMoved(has func(netip.Addr) bool) {
	for i := len(sh.sessions) - 1; i >= 0; i-- { // leave removes the session from the list
		if s := sh.sessions[i]; !has(s.addr.Addr()) {
			s.leave()
		}
	}
	sh.serve()
}
