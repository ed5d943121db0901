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
	// Connector makes the connections to hosts, on the same loop, and is told of what becomes of tunnels.
	Connector *upstream.Connector
	// TLS makes handshakes with clients, on the same loop; it may be nil where no entry asks for them.
	TLS *tlsconn.Handshaker
	// Metrics is where the loop counts; nil if nobody wants to know.
	Metrics *metrics.Row
	// Log gets what people should know: how sessions ended, if that was not well.
	Log *slog.Logger
}

// Stats counts what a Server has done. Its loop writes it and others may read it.
type Stats struct {
	Sessions  atomic.Int64 // begun
	Active    atomic.Int64 // now
	BytesUp   atomic.Int64 // delivered to hosts by sessions that have ended
	BytesDown atomic.Int64 // delivered to clients likewise
	Spliced   atomic.Int64 // of both, without being copied into this process
}

// Server is stream mode on one loop, for all servers of the configuration. Its methods belong to the loop's goroutine, except Stats.
type Server struct {
	loop      *engine.Loop
	connector *upstream.Connector
	watch     *upstream.Watch // nil before there are listeners
	opener    *opening.Opener
	metrics   *metrics.Row
	routing   route.Request
	log       *slog.Logger
	listeners engine.Listeners
	active    *Session // list of all
	eager     int      // how many clients in a row have spoken first, see Session.greet
	free      engine.FreeList[Session]
	record    logformat.Record
	ids       RequestIDs
	id        RequestID // of record
	key       []byte    // that a host is chosen by
	stats     Stats
	drained   func()
}

// NewServer makes a server on loop, which accepts nothing until Serve.
func NewServer(loop *engine.Loop, o Options) *Server {
	m := o.Metrics
	if m == nil {
		m = metrics.NewRow()
	}
	v := &Server{loop: loop, connector: o.Connector, opener: opening.NewOpener(loop, o.TLS, m), metrics: m, log: o.Log}
	v.connector.Others(func() int { return int(v.stats.Active.Load()) })
	return v
}

// Serve accepts clients of e from fd, a non-blocking listening socket that the server owns from now on, also when an error is
// returned. Limit bounds the clients; paused is told when accepting has to stop for a while, see engine.ListenerOptions.
// There may be several listeners; each may be closed before Shutdown.
func (v *Server) Serve(fd int, e *Entry, limit *engine.Limit, paused func(error)) (*engine.Listener, error) {
	if v.watch == nil {
		v.watch = v.connector.Watch()
	}
	return v.listeners.Open(v.loop, fd, engine.ListenerOptions{Limit: limit, Accept: e.accept, Paused: paused})
}

// Stats may be read by any goroutine.
func (v *Server) Stats() *Stats { return &v.stats }

// waiting yields the sessions whose clients have had nothing from their hosts yet.
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

// add takes s in among the active sessions.
func (v *Server) add(s *Session) {
	if s.next = v.active; s.next != nil {
		s.next.prev = s
	}
	v.active = s
	v.stats.Sessions.Add(1)
	v.stats.Active.Add(1)
}

// ended accounts for a session that has just finished, and takes it back.
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
	if s.entry != nil && s.entry.Access != nil && v.isWorthALine(s, end) {
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

// isWorthALine reports whether the access log is to have a line of a session that ends so.
func (v *Server) isWorthALine(s *Session, end logformat.End) bool {
	only := s.settings.Server.Unrouted.LogIf
	if s.route != nil {
		only = s.route.LogIf
	}
	return only == nil || only.Takes(0, v.lasted(s), end, rand.Uint64())
}

// lasted is how long a session has lasted.
func (v *Server) lasted(s *Session) time.Duration {
	return time.Duration(v.loop.Began() - s.began)
}

// logAccess has a session's line written.
func (v *Server) logAccess(s *Session, end logformat.End) {
	access := s.entry.Access
	v.record = logformat.Record{
		BytesUpstream:   s.up.Bytes,
		BytesDownstream: s.down.Bytes,
		Duration:        v.lasted(s),
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

// fill gives r what is known of the session as soon as it goes after a host.
func (s *Session) fill(r *logformat.Record) {
	r.Client, r.TLS, r.Protocol, r.Server = s.peer.Client, s.peer.TLS(), "TCP", s.settings.Server.Name
	if s.route != nil {
		r.Route = s.route.Name
	}
	if s.group != nil {
		r.Group = s.group.Name
	}
}

// logEnd says in the error log how a session ended, if that is worth a line.
func (v *Server) logEnd(s *Session, r Reason, err error) {
	level := slog.LevelDebug
	switch r {
	case Unreachable, LeadsBack, MayLeadBack, Internal:
		level = slog.LevelError
	case Overloaded:
		level = slog.LevelWarn
	case NoHeader, NotSecured:
		if !opening.Silent(err) { // such as a check whether this port is open
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

// Shutdown stops accepting, after the clients that the kernel has already let in, and calls drained, on the loop, once
// no session is left.
func (v *Server) Shutdown(drained func()) {
	v.listeners.Close()
	if v.active == nil {
		drained()
		return
	}
	v.drained = drained
}

// Resume takes Shutdown back; Serve is to follow. If drained was called already it is not taken back.
func (v *Server) Resume() { v.drained = nil }

// Abort ends every session at once.
func (v *Server) Abort() {
	for v.active != nil {
		v.active.finish(Shutdown, nil)
	}
}
