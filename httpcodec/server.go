package httpcodec

import (
	"log/slog"
	"sync/atomic"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/trace"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/h2conn"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/route"
	"kroxy-ev/logformat"
	"kroxy-ev/streamcodec"
)

// Options configures a Server.
type Options struct {
	// Connector makes the connections to hosts, on the same loop.
	Connector *upstream.Connector
	// TLS makes handshakes with clients, on the same loop; it may be nil where no entry asks for them.
	TLS *tlsconn.Handshaker
	// Metrics is where the loop counts; nil if nobody wants to know.
	Metrics *metrics.Row
	// Log gets what people should know.
	Log *slog.Logger
}

// Stats counts what a Server has done. Its loop writes it and others may read it.
type Stats struct {
	Clients   atomic.Int64 // connections accepted
	Active    atomic.Int64 // connections now
	Exchanges atomic.Int64 // ended
	BytesUp   atomic.Int64 // sent to hosts by exchanges that have ended
	BytesDown atomic.Int64 // sent to clients likewise
}

// Server is http mode on one loop, for all servers of the configuration. Its methods belong to the loop's goroutine, except Stats.
type Server struct {
	loop      *engine.Loop
	connector *upstream.Connector
	watch     *upstream.Watch
	opener    *opening.Opener
	metrics   *metrics.Row
	log       *slog.Logger
	listeners engine.Listeners
	tunnels   *streamcodec.Server

	active        *h1client // list of all connections
	streams       *stream   // list of all, of HTTP/2
	freeClients   engine.FreeList[h1client]
	freeStreams   engine.FreeList[stream]
	muxer         *h2conn.Muxer
	freeExchanges engine.FreeList[exchange]
	out           []byte // what is being written; empty between calls
	routing       route.Request
	rewrite       http1.Rewrite
	reply         Reply
	addr          []byte // of a client, as text
	date          dateCache
	record        logformat.Record
	ids           streamcodec.RequestIDs
	iso           []byte          // the time in a template
	tracing       *trace.Recorder // nil if no spans are recorded
	traceparent   []byte          // for a host
	location      []byte          // of a redirect
	target        []byte          // of a rewrite
	key           []byte          // that a host is chosen by
	stats         Stats
	leaving       atomic.Bool // responses say that they are the last
	draining      bool
	drained       func()
}

// NewServer makes a server on loop, which accepts nothing until Serve.
func NewServer(loop *engine.Loop, o Options) *Server {
	m := o.Metrics
	if m == nil {
		m = metrics.NewRow()
	}
	muxer := h2conn.NewMuxer(loop)
	o.Connector.Multiplex(&sessions{muxer, o.Log})
	return &Server{
		loop: loop, connector: o.Connector, watch: o.Connector.Watch(), opener: opening.NewOpener(loop, o.TLS, m), metrics: m, log: o.Log, muxer: muxer,
		tunnels: streamcodec.NewServer(loop, streamcodec.Options{Connector: o.Connector, Metrics: m, Log: o.Log}),
	}
}

// Serve accepts clients of e from fd, a non-blocking listening socket that the server owns from now on, also when an error is
// returned. Limit bounds the clients; paused is told when accepting has to stop for a while, see engine.ListenerOptions.
// There may be several listeners; each may be closed before Shutdown.
func (v *Server) Serve(fd int, e *Entry, limit *engine.Limit, paused func(error)) (*engine.Listener, error) {
	return v.listeners.Open(v.loop, fd, engine.ListenerOptions{Limit: limit, Accept: e.accept, Paused: paused})
}

// Stats may be read by any goroutine.
func (v *Server) Stats() *Stats { return &v.stats }

// client returns an unused client, which is among the active ones from now on.
func (v *Server) client() *h1client {
	c := v.freeClients.Get()
	if c == nil {
		c = &h1client{client: client{server: v}}
		c.timer.Handler = c
	}
	if c.next = v.active; c.next != nil {
		c.next.prev = c
	}
	v.active = c
	v.stats.Clients.Add(1)
	v.stats.Active.Add(1)
	return c
}

// waiting yields the clients whose hosts have answered nothing yet.
func (v *Server) waiting(yield func(upstream.Waiting) bool) {
	for c := v.active; c != nil; c = c.next {
		if c.x != nil && c.x.unanswered() && !yield(c.x.waiting()) {
			return
		}
	}
	for t := v.streams; t != nil; t = t.next {
		if t.x.unanswered() && !yield(t.x.waiting()) {
			return
		}
	}
}

// begin gives c an exchange.
func (v *Server) begin(c *client, ends downstream) {
	x := v.freeExchanges.Get()
	if x == nil {
		x = &exchange{server: v}
	}
	x.client, x.ends, c.x = c, ends, x
	x.reset()
}

// recycle takes back an exchange that is over.
func (v *Server) recycle(x *exchange) {
	x.client.x, x.client, x.ends = nil, nil, nil
	v.freeExchanges.Put(x)
}

// closed takes back a client whose connection is closed, or was handed over to a tunnel which has ended.
func (v *Server) closed(c *h1client) {
	v.loop.Disarm(&c.timer)
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		v.active = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.listener.Release()
	v.metrics.Server(c.place).Active.Add(-1)
	e := c.entry
	c.next, c.prev, c.entry, c.settings, c.listener, c.h2 = nil, nil, nil, nil, nil, nil
	c.peer, c.served, c.state, c.pieces = opening.Peer{}, false, clientOpen, pieces{}
	v.stats.Active.Add(-1)
	v.freeClients.Put(c)
	e.clients.Part()
	v.checkDrained()
}

func (v *Server) checkDrained() {
	if v.active == nil && v.drained != nil {
		v.drained()
		v.drained = nil
	}
}

// Farewell has every response whose head is written from now on end its client's connection, and say so. It is the first step of
// a shutdown, and may be called by any goroutine.
func (v *Server) Farewell() { v.leaving.Store(true) }

// Shutdown stops accepting, after the clients that the kernel has already let in, closes idle clients, lets exchanges
// finish, and calls drained, on the loop, once no client is left.
func (v *Server) Shutdown(drained func()) {
	v.listeners.Close()
	v.Farewell()
	v.draining, v.drained = true, drained
	for c := v.active; c != nil; {
		next := c.next
		c.hurry()
		c = next
	}
	v.checkDrained()
}

// Resume takes Farewell and Shutdown back; Serve is to follow. If drained was called already it is not taken back.
func (v *Server) Resume() {
	v.leaving.Store(false)
	v.draining, v.drained = false, nil
}

// Abort ends every exchange and tunnel at once.
func (v *Server) Abort() {
	v.tunnels.Abort()
	for v.streams != nil {
		v.streams.x.abort(causeShutdown, nil)
	}
	for v.active != nil {
		switch c := v.active; {
		case c.x != nil:
			c.x.abort(causeShutdown, nil)
		case c.state == clientFlushing:
			c.reset()
		case c.state == clientMultiplexed:
			c.h2.conn.Abort(h2conn.ErrAborted)
		default:
			c.close()
		}
	}
}
