package httpcodec

import (
	"kroxy-ev/engine"
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
	// Nothing is expected of an idle connection: bytes are as bad as its end. A writable event alone is nothing.
	if h.conn.Readable() {
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
	_, err := h.conn.Read(h.pool.loop.Scratch())
	return again(err)
}

// Connected implements upstream.Owner.
func (h *host) Connected(err error) { h.x.connected(err) }

// pool keeps a loop's idle connections to the hosts of one group, the last used first.
type pool struct {
	loop    *engine.Loop
	idle    [][]*host             // by host
	max     int                   // for each host
	room    int                   // for how many more over all hosts
	timeout int64                 // ms; 0 is no bound
	free    engine.FreeList[host] // closed, for reuse
}

func newPool(l *engine.Loop, s *Settings, room int) *pool {
	return &pool{
		loop:    l,
		idle:    make([][]*host, len(s.Group.Hosts)),
		max:     s.UpstreamKeepalive,
		room:    room,
		timeout: s.UpstreamKeepaliveTimeout.Milliseconds(),
	}
}

// fresh returns a closed connection to be dialled.
func (p *pool) fresh() *host {
	h := p.free.Get()
	if h == nil {
		h = &host{pool: p}
		h.timer.Handler = h
	}
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
		p.loop.Arm(&h.timer, p.loop.Now()+p.timeout)
	}
}

// drop removes an idle connection.
func (p *pool) drop(h *host) {
	list := p.idle[h.index]
	for i, other := range list {
		if other == h {
			copy(list[i:], list[i+1:])
			list[len(list)-1] = nil
			p.idle[h.index] = list[:len(list)-1]
			p.room++
			break
		}
	}
	p.discard(h)
}

// discard closes a connection that is not in the pool.
func (p *pool) discard(h *host) {
	p.loop.Disarm(&h.timer)
	h.conn.Close()
	h.x, h.used = nil, false
	p.free.Put(h)
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
