package streamcodec

import (
	"net/netip"

	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/upstream"
)

// Entry is how a Server serves the clients of one listener. A reload changes it; the change applies to sessions that begin
// after it. Its methods must be called on the loop's goroutine.
type Entry struct {
	EntryOptions
	server   *Server
	splits   Splits[Route]
	sessions Members
}

// EntryOptions configures an Entry.
type EntryOptions struct {
	Settings *Settings
	// Access receives a record of each session that ends. It is nil if nothing is logged.
	Access *accesslog.Buffer
	// Opening is what precedes the stream on a client's connection, such as TLS. It is nil if nothing does.
	Opening *opening.Rules
	// Port is the listener's TCP port, or 0 if there is none.
	Port uint16
}

// NewEntry makes an entry to pass to Serve.
func (v *Server) NewEntry(o EntryOptions) *Entry { return &Entry{EntryOptions: o, server: v} }

// Swap replaces the options. They apply to sessions that begin from now on, and to the logging of sessions that end from now on.
func (e *Entry) Swap(o EntryOptions) { e.EntryOptions, e.splits = o, Splits[Route]{} }

// WhenEmpty calls gone once no session is left. The entry's listener must already be closed.
func (e *Entry) WhenEmpty(gone func()) { e.sessions.WhenEmpty(gone) }

// accept begins a session.
func (e *Entry) accept(l *engine.Listener, fd int32, peer netip.AddrPort) {
	v := e.server
	if l.Crowded() {
		v.watch.Crowded(int(v.stats.Active.Load()), v.waiting)
	}
	s := v.session()
	s.listener, s.entry, s.settings, s.peer = l, e, e.Settings, opening.Peer{Client: peer}
	server := v.metrics.Server(s.settings.Place)
	server.Accepted.Add(1)
	server.Active.Add(1)
	e.sessions.Add()
	v.add(s)
	s.start(fd)
}

// target chooses the group for the next session of r.
func (e *Entry) target(r *Route) *upstream.Group {
	if len(r.Targets) == 1 {
		return r.Targets[0].Group
	}
	return r.Targets[e.splits.Next(r, len(r.Targets), func(i int) int { return r.Targets[i].Weight })].Group
}
