package httpcodec

import (
	"net/netip"

	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/streamcodec"
)

// Entry is what the clients of one listener get on a Server's loop. A reload changes it, for requests whose heads are read from then
// on. Its methods belong to the loop's goroutine.
type Entry struct {
	EntryOptions
	server  *Server
	splits  streamcodec.Splits[Route]
	clients streamcodec.Members
	leaving bool // no client stays after its next response
}

// EntryOptions are what an Entry gives.
type EntryOptions struct {
	Settings *Settings
	// Access gets a record of each exchange that ends; nil for none.
	Access *accesslog.Buffer
	// Opening is what comes before a client's first byte for the codec; nil for nothing.
	Opening *opening.Rules
	// Port is the TCP port that is listened on; 0 if there is none.
	Port uint16
	// Protocols are what the clients may speak.
	Protocols Protocols
}

// NewEntry makes an entry, for Serve.
func (v *Server) NewEntry(o EntryOptions) *Entry { return &Entry{EntryOptions: o, server: v} }

// Swap has requests that are read from now on go by o, those of clients that are connected already too, and exchanges that end from
// now on be recorded as it says.
func (e *Entry) Swap(o EntryOptions) { e.EntryOptions, e.splits = o, streamcodec.Splits[Route]{} }

// Leave has clients told that nothing follows their next response, and closes those that are idle. It is not taken back.
func (e *Entry) Leave() {
	e.leaving = true
	for c := e.server.active; c != nil; {
		next := c.next
		if c.entry == e {
			c.hurry()
		}
		c = next
	}
}

// WhenEmpty calls gone once no client is left. The entry's listener must be closed.
func (e *Entry) WhenEmpty(gone func()) { e.clients.WhenEmpty(gone) }

// accept takes a new client connection in. What it has sent already is read at once.
func (e *Entry) accept(l *engine.Listener, fd int32, peer netip.AddrPort) {
	v := e.server
	if l.Crowded() {
		v.watch.Crowded(int(v.stats.Active.Load()), v.waiting)
	}
	c := v.client()
	c.entry, c.settings, c.listener, c.peer, c.place = e, e.Settings, l, opening.Peer{Client: peer}, e.Settings.Place
	e.clients.Join()
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

// target chooses where the next request of r goes.
func (e *Entry) target(r *Route) *Target {
	if len(r.Targets) == 1 {
		return &r.Targets[0]
	}
	return &r.Targets[e.splits.Next(r, len(r.Targets), func(i int) int { return r.Targets[i].Weight })]
}
