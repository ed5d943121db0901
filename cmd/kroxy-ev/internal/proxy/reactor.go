package proxy

import (
	"errors"
	"fmt"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/trace"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// reactor is one loop and everything that serves on it: the server of each codec, and the listeners.
type reactor struct {
	loop      *engine.Loop
	tls       *tlsconn.Handshaker
	connector *upstream.Connector
	http      *httpcodec.Server
	stream    *streamcodec.Server
	recorder  *trace.Recorder // of spans; nil until tracing is enabled
	accepting accepting
	listeners map[string]*listener   // by config.Listen.Key
	orphans   map[*listener]struct{} // listeners that have clients but no socket any more
	leaving   *int                   // number of listeners that have not retired yet; nil unless the reactor is leaving. Used only on the loop
}

// accepting is what all listeners share.
type accepting struct {
	limit  *engine.Limit
	paused func(error)
}

// newReactor makes a reactor that counts leases in the given row of the counters, and everything else in m. It has no listeners yet.
func (p *Proxy) newReactor(row int, m *metrics.Row, s *Snapshot) (*reactor, error) {
	loop, err := engine.NewLoop(engine.Options{MaxPipes: s.budget.pipes, MaxSpent: s.budget.spent, Ran: ran(m)})
	if err != nil {
		return nil, err
	}
	r := &reactor{loop: loop, tls: tlsconn.NewHandshaker(loop), orphans: make(map[*listener]struct{})}
	r.accepting = accepting{p.limit, func(reason error) {
		countPause(m, reason)
		p.paused.report(reason)
	}}
	r.connector = upstream.NewConnector(loop, row, m, r.tls, p.traffic)
	r.http = httpcodec.NewServer(loop, httpcodec.Options{Connector: r.connector, TLS: r.tls, Metrics: m, Log: p.traffic})
	r.stream = streamcodec.NewServer(loop, streamcodec.Options{Connector: r.connector, TLS: r.tls, Metrics: m, Log: p.traffic})
	return r, nil
}

// counts returns the reactor's figures. Any goroutine may call it.
func (r *reactor) counts() Counts {
	h, s := r.http.Stats(), r.stream.Stats()
	return Counts{
		Active: h.Active.Load() + s.Active.Load(),
		Total:  h.Exchanges.Load() + s.Sessions.Load(),
		Up:     h.BytesUp.Load() + s.BytesUp.Load(),
		Down:   h.BytesDown.Load() + s.BytesDown.Load(),
	}
}

// take switches to s, on the loop. The new listening sockets fds, by the keys of listeners, then belong to r. Listeners that s does not have
// leave.
func (r *reactor) take(s *Snapshot, fds map[string]int) error {
	r.connector.Swap(s.pools)
	r.trace(s)
	old := r.listeners
	r.listeners = make(map[string]*listener, len(old))
	var err error
	for i := range s.entries {
		e := &s.entries[i]
		for i, l := range e.server.Listen {
			key := l.Key()
			fd, opened := fds[key]
			delete(fds, key)
			one := old[key]
			if one != nil && one.mode != e.server.Mode {
				if !opened { // another codec takes over the same socket
					fd, opened = one.socket()
				}
				one = nil
			} else {
				delete(old, key)
			}
			if one == nil {
				one = r.newListener(e)
			}
			one.swap(e, i)
			if failed := one.listen(fd, opened); failed != nil {
				err = errors.Join(err, fmt.Errorf("kroxy-ev: starting to serve %s: %w", key, failed))
				continue
			}
			r.listeners[key] = one
		}
	}
	for _, fd := range fds {
		engine.CloseFD(int32(fd))
	}
	for one := range r.orphans {
		one.follow(s)
	}
	for key, one := range old {
		one.leave(s, r.listeners[key] != nil)
	}
	return err
}

// drain stops accepting at once, and calls drained when no session is left; both happen on the loop.
func (r *reactor) drain(drained func()) {
	left := 2
	one := func() {
		if left--; left == 0 {
			drained()
		}
	}
	r.http.Shutdown(one)
	r.stream.Shutdown(one)
}

// leave stops accepting when all handshakes that have begun are over, and calls drained when no session is left; both happen on the loop.
// Sockets whose keys are in shared are closed at once: either others accept from them, or clients cannot reach them any more.
func (r *reactor) leave(shared Keys, drained func()) {
	r.announceClose() // again, because stay may have revoked an earlier leave
	left := new(int)
	*left = 1 + len(r.listeners) // one for this call itself
	r.leaving = left
	ended := func() {
		if *left--; *left == 0 && r.leaving == left { // otherwise stay has revoked it, even if r leaves again
			r.drain(drained)
		}
	}
	for key, one := range r.listeners {
		if shared[key] {
			one.accepts.Close()
			ended()
		} else {
			one.accepts.Retire(ended)
		}
	}
	ended()
}

// announceClose makes responses announce from now on that their connection closes. Any goroutine may call it.
func (r *reactor) announceClose() { r.http.AnnounceClose() }

// stay revokes leave, on the loop; accepting resumes with the next take.
func (r *reactor) stay() {
	r.leaving = nil
	r.http.Resume()
	r.stream.Resume()
}

// abort stops accepting and ends every session, on the loop.
func (r *reactor) abort() {
	for _, one := range r.listeners {
		one.accepts.Close()
	}
	r.http.Abort()
	r.stream.Abort()
}
