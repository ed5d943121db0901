package streamcodec

import (
	"net/netip"

	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/upstream"
)

// Entry is what the clients of one listener get on a Server's loop. A reload changes it, for sessions that begin from then on. Its
// methods belong to the loop's goroutine.
type Entry struct {
	EntryOptions
	server   *Server
	splits   Splits[Route]
	sessions Members
}

// EntryOptions are what an Entry gives.
type EntryOptions struct {
	Settings *Settings
	// Access gets a record of each session that ends; nil for none.
	Access *accesslog.Buffer
	// Opening is what comes before a client's first byte for the codec; nil for nothing.
	Opening *opening.Rules
	// Port is the TCP port that is listened on; 0 if there is none.
	Port uint16
}

// NewEntry makes an entry, for Serve.
func (v *Server) NewEntry(o EntryOptions) *Entry { return &Entry{EntryOptions: o, server: v} }

// Swap has sessions that begin from now on get what o says, and sessions that end from now on be recorded as it says.
func (e *Entry) Swap(o EntryOptions) { e.EntryOptions, e.splits = o, Splits[Route]{} }

// WhenEmpty calls gone once no session is left. The entry's listener must be closed.
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

// target chooses the group that the next session of r goes to.
func (e *Entry) target(r *Route) *upstream.Group {
	if len(r.Targets) == 1 {
		return r.Targets[0].Group
	}
	return r.Targets[e.splits.Next(r, len(r.Targets), func(i int) int { return r.Targets[i].Weight })].Group
}
