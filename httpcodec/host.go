package httpcodec

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/upstream"
)

// host is a connection to a host: busy with an exchange, or idle in the pool.
type host struct {
	pool   *pool
	conn   engine.Conn
	timer  engine.Timer
	x      *exchange      // nil while idle
	addr   netip.AddrPort // that it was made to
	index  int            // of the host in its group
	until  int64          // when the host will close it if it stays idle, ms on the loop's clock; 0 if it has not said
	used   bool           // it has served a request: it may have gone stale
	busy   bool           // counted in the demand
	pieces pieces
}

// Ready implements engine.Handler.
func (h *host) Ready(*engine.Conn) {
	if h.x != nil {
		h.x.hostReady()
		return
	}
	// Nothing is expected of an idle connection: bytes are as bad as its end. A writable event alone is nothing, and so are
	// records of TLS without content.
	if !h.quiet() {
		h.pool.drop(h)
	}
}

// Expired implements engine.Handler: the connection has been idle for long enough.
func (h *host) Expired(*engine.Timer) {
	if h.x == nil {
		h.pool.drop(h)
	}
}

// quiet reports whether the host has sent nothing more, not even the end of its stream.
func (h *host) quiet() bool {
	if !h.conn.Readable() {
		return true
	}
	_, err := h.conn.Read(h.pool.server.loop.Scratch())
	return again(err)
}

// Connected implements upstream.Owner.
func (h *host) Connected(err error) { h.x.connected(err) }

// pool keeps a loop's idle connections to the hosts of one group, the last used first.
type pool struct {
	server  *Server
	hosts   []upstream.Host
	idle    [][]*host // by host
	kept    int       // over all hosts
	max     int       // for each host
	most    int       // over all hosts
	share   int       // over all hosts, less those in use, if that is more than most; see Settings.UpstreamShare
	timeout int64     // ms; 0 is no bound

	demand []demand // by host; nil where max is fixed
	busy   int      // connections in use, over all hosts, where demand is counted
	looks  engine.Timer
}

func newPool(v *Server, s *Settings) *pool {
	p := &pool{
		server:  v,
		hosts:   s.Group.Hosts,
		idle:    make([][]*host, len(s.Group.Hosts)),
		max:     s.UpstreamKeepalive,
		most:    s.UpstreamIdle,
		timeout: s.UpstreamKeepaliveTimeout.Milliseconds(),
	}
	if s.UpstreamKeepalive == KeepaliveAuto {
		p.max, p.share, p.demand = math.MaxInt, s.UpstreamShare, make([]demand, len(s.Group.Hosts))
		p.looks.Handler = p
	}
	return p
}

// fresh returns a closed connection to be dialled.
func (p *pool) fresh() *host {
	h := p.server.freeHosts.Get()
	if h == nil {
		h = &host{}
		h.timer.Handler = h
	}
	h.pool = p
	return h
}

// take returns an idle connection to the host of that index, or nil.
func (p *pool) take(index int) *host {
	list := p.idle[index]
	n := len(list)
	if n == 0 {
		return nil
	}
	h := list[n-1]
	list[n-1] = nil
	p.idle[index] = list[:n-1]
	p.kept--
	p.begin(h)
	return h
}

// begin notes that h serves a request of its host, which is known now.
func (p *pool) begin(h *host) {
	if p.demand != nil {
		h.busy = true
		p.busy++
		p.demand[h.index].begin()
	}
}

// end notes that h serves no request any more.
func (p *pool) end(h *host) {
	if h.busy {
		h.busy = false
		p.busy--
		p.demand[h.index].end()
	}
}

// keep takes back a connection that may serve again, and that the host keeps idle for that long; 0 if it has not said.
func (p *pool) keep(h *host, idle time.Duration) {
	h.until = 0
	if idle > 0 {
		h.until = p.server.loop.Now() + idle.Milliseconds()
	}
	p.put(h)
}

// put adds a connection that may serve again.
func (p *pool) put(h *host) {
	h.x, h.used = nil, true
	p.end(h)
	if len(p.idle[h.index]) >= p.max || p.kept >= max(p.most, p.share-p.busy) || engine.FilesAreShort() {
		p.discard(h)
		return
	}
	loop := p.server.loop
	if p.kept++; p.kept == 1 && p.demand != nil {
		loop.Arm(&p.looks, loop.Now()+lookEvery)
	}
	p.idle[h.index] = append(p.idle[h.index], h)
	at := engine.Never
	if p.timeout > 0 {
		at = loop.Now() + p.timeout
	}
	if h.until > 0 {
		at = min(at, h.until)
	}
	if at != engine.Never {
		loop.Arm(&h.timer, at)
	}
}

// Expired implements engine.Handler: it is time to look which connections are in surplus.
func (p *pool) Expired(*engine.Timer) {
	if engine.FilesAreShort() {
		p.giveUp()
		return
	}
	for i := range p.demand {
		n := p.demand[i].look(len(p.idle[i]))
		for _, h := range p.idle[i][:n] { // those that were used longest ago
			p.discard(h)
		}
		p.idle[i] = slices.Delete(p.idle[i], 0, n)
		p.kept -= n
	}
	if p.kept > 0 {
		loop := p.server.loop
		loop.Arm(&p.looks, loop.Now()+lookEvery)
	}
}

// Ready implements engine.Handler; no connection has the pool as its handler.
func (p *pool) Ready(*engine.Conn) {}

// giveUp closes all that are idle, because descriptors have run out. It reports whether there was one.
func (p *pool) giveUp() bool {
	had := p.kept > 0
	p.close()
	return had
}

// drop removes an idle connection.
func (p *pool) drop(h *host) {
	i := slices.Index(p.idle[h.index], h)
	p.idle[h.index] = slices.Delete(p.idle[h.index], i, i+1)
	p.kept--
	p.discard(h)
}

// discard closes a connection that is not in the pool.
func (p *pool) discard(h *host) {
	p.end(h)
	p.server.loop.Disarm(&h.timer)
	h.conn.Close()
	h.pool, h.x, h.used, h.pieces = nil, nil, false, pieces{}
	p.server.freeHosts.Put(h)
}

// moveTo gives the idle connections to another pool, as far as it has their hosts and is allowed as many, and closes the
// others. Connections that are busy are closed when they come back.
func (p *pool) moveTo(to *pool) {
	heirs := make(map[string]int, len(to.hosts))
	for i := range to.hosts {
		heirs[to.hosts[i].Label] = i
	}
	for i, list := range p.idle {
		heir, stays := heirs[p.hosts[i].Label]
		stays = stays && to.hosts[heir].TLS.Same(p.hosts[i].TLS)
		for _, h := range list {
			if !stays {
				p.discard(h)
				continue
			}
			p.server.loop.Disarm(&h.timer)
			h.pool, h.index = to, heir
			to.put(h)
		}
		p.idle[i] = nil
	}
	p.kept, p.max = 0, 0
	p.server.loop.Disarm(&p.looks)
}

// close closes all that are idle.
func (p *pool) close() {
	for i, list := range p.idle {
		for _, h := range list {
			p.discard(h)
		}
		p.idle[i] = nil
	}
	p.kept = 0
	p.server.loop.Disarm(&p.looks)
}
