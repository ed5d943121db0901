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
	// Connector makes the connections to hosts. It runs on the same loop.
	Connector *upstream.Connector
	// TLS performs handshakes with clients on the same loop. It may be nil if no entry needs it.
	TLS *tlsconn.Handshaker
	// Metrics is the loop's row of counters. If it is nil the server counts into a row of its own that nobody reads.
	Metrics *metrics.Row
	// Log receives messages for the operator.
	Log *slog.Logger
}

// Stats counts what a Server has done. Only its loop writes it; any goroutine may read it.
type Stats struct {
	Clients   atomic.Int64 // connections accepted
	Active    atomic.Int64 // connections open now
	Exchanges atomic.Int64 // ended
	BytesUp   atomic.Int64 // sent to hosts by exchanges that have ended
	BytesDown atomic.Int64 // sent to clients by exchanges that have ended
}

// Server is HTTP mode on one loop, for all servers of the configuration. Except for Stats and AnnounceClose, its methods must be
// called on the loop's goroutine.
type Server struct {
	loop      *engine.Loop
	connector *upstream.Connector
	watch     *upstream.Watch
	opener    *opening.Opener
	metrics   *metrics.Row
	log       *slog.Logger
	listeners engine.Listeners
	tunnels   *streamcodec.Server

	active        *h1client // list of all client connections
	streams       *stream   // list of all clients' HTTP/2 streams
	freeClients   engine.FreeList[h1client]
	freeStreams   engine.FreeList[stream]
	muxer         *h2conn.Muxer
	freeExchanges engine.FreeList[exchange]
	out           []byte // output buffer; empty between calls
	routing       route.Request
	rewrite       http1.Rewrite
	reply         Reply
	addr          []byte // of a client, as text
	date          dateCache
	record        logformat.Record
	ids           streamcodec.RequestIDs
	iso           []byte          // for $time_iso8601 in a template
	tracing       *trace.Recorder // nil if no spans are recorded
	traceparent   []byte          // sent to a host
	location      []byte          // of a redirect
	target        []byte          // of a rewrite
	key           []byte          // by which a host is chosen
	stats         Stats
	leaving       atomic.Bool // every response is its client's last
	draining      bool
	drained       func()
}

// NewServer makes a server on loop. It accepts no clients until Serve is called.
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

// Serve accepts clients of e from fd, a non-blocking listening socket. The server owns fd from now on, even if Serve returns an
// error. Limit bounds the number of clients; paused is called when accepting has to stop for a while, see engine.ListenerOptions.
// A server may have several listeners, and each may be closed before Shutdown.
func (v *Server) Serve(fd int, e *Entry, limit *engine.Limit, paused func(error)) (*engine.Listener, error) {
	return v.listeners.Open(v.loop, fd, engine.ListenerOptions{Limit: limit, Accept: e.accept, Paused: paused})
}

// Stats returns the server's counters. Any goroutine may call it.
func (v *Server) Stats() *Stats { return &v.stats }

// client returns an unused client and adds it to the active ones.
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

// waiting yields the clients whose hosts have not answered yet.
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
func (v *Server) begin(c *client, d downstream) {
	x := v.freeExchanges.Get()
	if x == nil {
		x = &exchange{server: v}
	}
	x.client, x.downstream, c.x = c, d, x
	x.reset()
}

// recycle takes back an exchange that is over.
func (v *Server) recycle(x *exchange) {
	x.client.x, x.client, x.downstream = nil, nil, nil
	v.freeExchanges.Put(x)
}

// closed takes back a client whose connection is closed, or whose tunnel has ended.
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
	e.clients.Remove()
	v.checkDrained()
}

func (v *Server) checkDrained() {
	if v.active == nil && v.drained != nil {
		v.drained()
		v.drained = nil
	}
}

// AnnounceClose makes every response whose head is written from now on the last of its connection, and tells the client so. It is the
// first step of a shutdown. Any goroutine may call it.
func (v *Server) AnnounceClose() { v.leaving.Store(true) }

// Shutdown stops accepting (clients that the kernel has already accepted are still taken in), closes idle clients, lets exchanges
// finish, and calls drained on the loop once no client is left.
func (v *Server) Shutdown(drained func()) {
	v.listeners.Close()
	v.AnnounceClose()
	v.draining, v.drained = true, drained
	for c := v.active; c != nil; {
		next := c.next
		c.closeIfIdle()
		c = next
	}
	v.checkDrained()
}

// Resume undoes AnnounceClose and Shutdown; the caller then calls Serve. It does not undo a call of drained that has already happened.
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
