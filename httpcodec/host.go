package httpcodec

import (
	"slices"

	"kroxy-ev/engine"
	"kroxy-ev/engine/upstream"
)

// host is a connection to a host: busy with an exchange, or idle in the pool.
type host struct {
	pool  *pool
	conn  engine.Conn
	timer engine.Timer
	x     *exchange // nil while idle
	index int       // of the host in its group
	used  bool      // it has served a request: it may have gone stale
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
	max     int       // for each host
	room    int       // for how many more over all hosts
	timeout int64     // ms; 0 is no bound
}

func newPool(v *Server, s *Settings) *pool {
	return &pool{
		server:  v,
		hosts:   s.Group.Hosts,
		idle:    make([][]*host, len(s.Group.Hosts)),
		max:     s.UpstreamKeepalive,
		room:    s.UpstreamIdle,
		timeout: s.UpstreamKeepaliveTimeout.Milliseconds(),
	}
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
	p.room++
	return h
}

// put takes back a connection that may serve again.
func (p *pool) put(h *host) {
	h.x, h.used = nil, true
	if len(p.idle[h.index]) >= p.max || p.room <= 0 {
		p.discard(h)
		return
	}
	p.room--
	p.idle[h.index] = append(p.idle[h.index], h)
	if p.timeout > 0 {
		loop := p.server.loop
		loop.Arm(&h.timer, loop.Now()+p.timeout)
	}
}

// drop removes an idle connection.
func (p *pool) drop(h *host) {
	i := slices.Index(p.idle[h.index], h)
	p.idle[h.index] = slices.Delete(p.idle[h.index], i, i+1)
	p.room++
	p.discard(h)
}

// discard closes a connection that is not in the pool.
func (p *pool) discard(h *host) {
	p.server.loop.Disarm(&h.timer)
	h.conn.Close()
	h.pool, h.x, h.used = nil, nil, false
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
	p.max = 0
}

// close closes all that are idle.
func (p *pool) close() {
	for i, list := range p.idle {
		for _, h := range list {
			p.discard(h)
			p.room++
		}
		p.idle[i] = nil
	}
}
