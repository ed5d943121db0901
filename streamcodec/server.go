package streamcodec

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/route"
	"kroxy-ev/logformat"
)

// Options configures a Server.
type Options struct {
	// Connector makes the connections to hosts. It runs on the same loop.
	Connector *upstream.Connector
	// TLS performs handshakes with clients on the same loop. It may be nil if no entry needs it.
	TLS *tlsconn.Handshaker
	// Metrics is the loop's row of counters. If it is nil the server counts into a row of its own that nobody reads.
	Metrics *metrics.Row
	// Log receives messages for the operator, such as how sessions failed.
	Log *slog.Logger
}

// Stats counts what a Server has done. Only its loop writes it; any goroutine may read it.
type Stats struct {
	Sessions  atomic.Int64 // sessions begun
	Active    atomic.Int64 // sessions active now
	BytesUp   atomic.Int64 // delivered to hosts by sessions that have ended
	BytesDown atomic.Int64 // delivered to clients by sessions that have ended
	Spliced   atomic.Int64 // of both, without being copied through this process
}

// Server is stream mode on one loop, for all servers of the configuration. Except for Stats, its methods must be called on the
// loop's goroutine.
type Server struct {
	loop       *engine.Loop
	connector  *upstream.Connector
	watch      *upstream.Watch // nil until there are listeners
	opener     *opening.Opener
	metrics    *metrics.Row
	routing    route.Request
	log        *slog.Logger
	listeners  engine.Listeners
	active     *Session // list of all sessions
	spokeFirst int      // how many clients in a row have spoken first; see Session.greet
	free       engine.FreeList[Session]
	record     logformat.Record
	ids        RequestIDs
	id         RequestID // of record
	key        []byte    // by which a host is chosen
	stats      Stats
	drained    func()
}

// NewServer makes a server on loop. It accepts no clients until Serve is called.
func NewServer(loop *engine.Loop, o Options) *Server {
	m := o.Metrics
	if m == nil {
		m = metrics.NewRow()
	}
	v := &Server{loop: loop, connector: o.Connector, opener: opening.NewOpener(loop, o.TLS, m), metrics: m, log: o.Log}
	v.connector.Others(func() int { return int(v.stats.Active.Load()) })
	return v
}

// Serve accepts clients of e from fd, a non-blocking listening socket. The server owns fd from now on, even if Serve returns an
// error. Limit bounds the number of clients; paused is called when accepting has to stop for a while, see
// engine.ListenerOptions. A server may have several listeners, and each may be closed before Shutdown.
func (v *Server) Serve(fd int, e *Entry, limit *engine.Limit, paused func(error)) (*engine.Listener, error) {
	if v.watch == nil {
		v.watch = v.connector.Watch()
	}
	return v.listeners.Open(v.loop, fd, engine.ListenerOptions{Limit: limit, Accept: e.accept, Paused: paused})
}

// Stats returns the server's counters. Any goroutine may call it.
func (v *Server) Stats() *Stats { return &v.stats }

// waiting yields the sessions whose hosts have not sent anything yet.
func (v *Server) waiting(yield func(upstream.Waiting) bool) {
	for s := v.active; s != nil; s = s.next {
		if s.lease.Held() && s.down.Bytes == 0 && !s.down.Holding() && !yield(upstream.Waiting{Group: s.group, Host: s.lease.Host(), Client: s.peer.Client.Addr()}) {
			return
		}
	}
}

// session returns an unused Session.
func (v *Server) session() *Session {
	s := v.free.Get()
	if s == nil {
		s = &Session{server: v}
		s.timer.Handler = s
	}
	return s
}

// add adds s to the active sessions.
func (v *Server) add(s *Session) {
	if s.next = v.active; s.next != nil {
		s.next.prev = s
	}
	v.active = s
	v.stats.Sessions.Add(1)
	v.stats.Active.Add(1)
}

// ended accounts for a session that has just finished, and recycles it.
func (v *Server) ended(s *Session, r Reason, err error) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		v.active = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	v.stats.Active.Add(-1)
	v.stats.BytesUp.Add(s.up.Bytes)
	v.stats.BytesDown.Add(s.down.Bytes)
	v.stats.Spliced.Add(s.up.Spliced + s.down.Spliced)
	end := r.end(err)
	if s.entry != nil {
		s.count(end)
	}
	if s.entry != nil && s.entry.Access != nil && v.isLogged(s, end) {
		v.logAccess(s, end)
	}
	v.logEnd(s, r, err)
	if s.after != nil {
		s.after(end, s.up.Bytes, s.down.Bytes)
	}

	if s.listener != nil {
		s.listener.Release()
	}
	e := s.entry
	s.next, s.prev, s.entry, s.settings, s.route, s.group, s.after, s.listener, s.peer, s.state = nil, nil, nil, nil, nil, nil, nil, nil, opening.Peer{}, stateIdle
	s.trace = upstream.Trace{}
	v.free.Put(s)
	if e != nil {
		e.sessions.Remove()
	}
	if v.active == nil && v.drained != nil {
		v.drained()
		v.drained = nil
	}
}

// isLogged reports whether the access log should have a line about the session.
func (v *Server) isLogged(s *Session, end logformat.End) bool {
	only := s.settings.Server.Unrouted.LogIf
	if s.route != nil {
		only = s.route.LogIf
	}
	return only == nil || only.Takes(0, v.duration(s), end, rand.Uint64())
}

// duration returns how long a session has lasted.
func (v *Server) duration(s *Session) time.Duration {
	return time.Duration(v.loop.Began() - s.began)
}

// logAccess writes a session's line to the access log.
func (v *Server) logAccess(s *Session, end logformat.End) {
	access := s.entry.Access
	v.record = logformat.Record{
		BytesUpstream:   s.up.Bytes,
		BytesDownstream: s.down.Bytes,
		Duration:        v.duration(s),
		End:             end,
		Upstream:        s.trace.ForLog(),
	}
	s.fill(&v.record)
	if access.Needs(logformat.NeedRequestID) {
		v.ids.Next(&v.id)
		v.record.RequestID = v.id[:]
	}
	if access.Record(&v.record) {
		v.metrics.Process().Lines.Add(1)
	}
}

// fill sets the fields of r that are known as soon as the session looks for a host.
func (s *Session) fill(r *logformat.Record) {
	r.Client, r.TLS, r.Protocol, r.Server = s.peer.Client, s.peer.TLS(), "TCP", s.settings.Server.Name
	if s.route != nil {
		r.Route = s.route.Name
	}
	if s.group != nil {
		r.Group = s.group.Name
	}
}

// logEnd writes to the error log how a session ended, if that is worth a line.
func (v *Server) logEnd(s *Session, r Reason, err error) {
	level := slog.LevelDebug
	switch r {
	case Unreachable, LeadsBack, MayLeadBack, Internal:
		level = slog.LevelError
	case Overloaded:
		level = slog.LevelWarn
	case NoHeader, NotSecured:
		if !opening.Silent(err) { // such as a check whether the port is open
			level = slog.LevelInfo
		}
	case NoSuchName, NoRoute:
		level = slog.LevelInfo
	}
	if !v.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []any{"reason", r.String(), "client", s.peer.Client.Addr(), "state", s.state.String(), "sent_upstream", s.up.Bytes, "sent_downstream", s.down.Bytes}
	if (r == NoSuchName || r == NoRoute) && s.peer.TLS() != nil {
		attrs = append(attrs, "name", logformat.Bounded(s.peer.Name()))
	}
	if s.trace.Host != nil {
		attrs = append(attrs, "host", s.trace.Host.Label)
	}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	v.log.Log(context.Background(), level, "stream: session closed", attrs...)
}

// Shutdown stops accepting (clients that the kernel has already accepted are still taken in), and calls drained on the loop
// once no session is left.
func (v *Server) Shutdown(drained func()) {
	v.listeners.Close()
	if v.active == nil {
		drained()
		return
	}
	v.drained = drained
}

// Resume undoes Shutdown; the caller then calls Serve. It does not undo a call of drained that has already happened.
func (v *Server) Resume() { v.drained = nil }

// Abort ends every session at once.
func (v *Server) Abort() {
	for v.active != nil {
		v.active.finish(Shutdown, nil)
	}
}
