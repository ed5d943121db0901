package httpcodec

import (
	"net/netip"

	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/streamcodec"
)

// Entry is how a Server serves the clients of one listener. A reload changes it; the change applies to requests whose heads are
// read after it. Its methods must be called on the loop's goroutine.
type Entry struct {
	EntryOptions
	server  *Server
	splits  streamcodec.Splits[Route]
	clients streamcodec.Members
	leaving bool // every client is closed after its next response
}

// EntryOptions configures an Entry.
type EntryOptions struct {
	Settings *Settings
	// Access receives a record of each exchange that ends. It is nil if nothing is logged.
	Access *accesslog.Buffer
	// Opening is what precedes HTTP on a client's connection, such as TLS. It is nil if nothing does.
	Opening *opening.Rules
	// Port is the listener's TCP port, or 0 if there is none.
	Port uint16
	// Protocols are the versions that clients may speak.
	Protocols Protocols
}

// NewEntry makes an entry to pass to Serve.
func (v *Server) NewEntry(o EntryOptions) *Entry { return &Entry{EntryOptions: o, server: v} }

// Swap replaces the options. They apply to requests that are read from now on, also on existing connections, and to the logging
// of exchanges that end from now on.
func (e *Entry) Swap(o EntryOptions) { e.EntryOptions, e.splits = o, streamcodec.Splits[Route]{} }

// Leave tells clients that their next response is the last, and closes idle ones. It cannot be undone.
func (e *Entry) Leave() {
	e.leaving = true
	for c := e.server.active; c != nil; {
		next := c.next
		if c.entry == e {
			c.closeIfIdle()
		}
		c = next
	}
}

// WhenEmpty calls gone once no client is left. The entry's listener must already be closed.
func (e *Entry) WhenEmpty(gone func()) { e.clients.WhenEmpty(gone) }

// accept takes in a new client connection, and at once reads what the client has already sent.
func (e *Entry) accept(l *engine.Listener, fd int32, peer netip.AddrPort) {
	v := e.server
	if l.Crowded() {
		v.watch.Crowded(int(v.stats.Active.Load()), v.waiting)
	}
	c := v.client()
	c.entry, c.settings, c.listener, c.peer, c.place = e, e.Settings, l, opening.Peer{Client: peer}, e.Settings.Place
	e.clients.Add()
	m := v.metrics.Server(c.place)
	m.Accepted.Add(1)
	m.Active.Add(1)
	if err := v.loop.Attach(&c.conn, fd, c); err != nil {
		engine.CloseFD(fd)
		m.Refused.Count(metrics.RefusedInternal)
		v.log.Error("http: a client was dropped", "client", peer.Addr(), "error", err)
		v.closed(c)
		return
	}
	if e.Opening == nil {
		c.serve()
		return
	}
	c.state = clientOpening
	if o := v.opener.Open(&c.conn, e.Opening, &c.peer, c); o != nil {
		c.opening = o
	}
}

// target chooses the target of the next request of r.
func (e *Entry) target(r *Route) *Target {
	if len(r.Targets) == 1 {
		return &r.Targets[0]
	}
	return &r.Targets[e.splits.Next(r, len(r.Targets), func(i int) int { return r.Targets[i].Weight })]
}
