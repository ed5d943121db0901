package main

import (
	"errors"

	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// server is a codec's server on one loop, as far as a reactor needs it.
type server interface {
	Serve(fd int, limit *engine.Limit, paused func(error)) (*engine.Listener, error)
	Shutdown(drained func())
	Resume()
	Abort()
}

// reactor is one loop and what serves on it.
type reactor struct {
	loop      *engine.Loop
	tls       *tlsconn.Handshaker
	connector *upstream.Connector
	server    server
	listeners map[string]*engine.Listener // of the current configuration, by their keys (config.Listen.Key)
	leaving   *int                        // of the loop: how many listeners are still to come to their end, if it leaves
	access    *accesslog.Buffer           // nil if there is none
	swap      func(s *snapshot)           // on the loop
	counts    func() counts               // may be called from any goroutine, as is
	farewell  func()                      // has clients told, from now on, that nothing follows what they are sent
}

// newReactor makes a reactor that counts in the given row.
func (p *proxy) newReactor(row int, s *snapshot) (*reactor, error) {
	loop, err := engine.NewLoop(engine.Options{MaxPipes: s.budget.pipes, MaxSpent: s.budget.spent})
	if err != nil {
		return nil, err
	}
	r := &reactor{loop: loop, tls: tlsconn.NewHandshaker(loop), listeners: make(map[string]*engine.Listener)}
	r.logTo(s)
	r.connector = upstream.NewConnector(loop, row, r.tls, p.traffic)
	r.connector.Swap(s.groups)
	if onlyMode(s.cfg) == config.ModeHTTP {
		v := httpcodec.NewServer(loop, httpcodec.Options{Settings: s.http, Connector: r.connector, TLS: r.tls, Access: r.access, Log: p.traffic})
		r.server, r.swap = v, func(s *snapshot) { v.Swap(s.http, r.access) }
		r.farewell = v.Farewell
		r.counts = func() counts {
			s := v.Stats()
			return counts{active: s.Active.Load(), total: s.Exchanges.Load(), up: s.BytesUp.Load(), down: s.BytesDown.Load()}
		}
		return r, nil
	}
	v := streamcodec.NewServer(loop, streamcodec.Options{Settings: s.stream, Connector: r.connector, TLS: r.tls, Access: r.access, Log: p.traffic})
	r.server, r.swap = v, func(s *snapshot) { v.Swap(s.stream, r.access) }
	r.farewell = func() {} // there is no way to say so
	r.counts = func() counts {
		s := v.Stats()
		return counts{active: s.Active.Load(), total: s.Sessions.Load(), up: s.BytesUp.Load(), down: s.BytesDown.Load()}
	}
	return r, nil
}

// logTo has the reactor's lines go to s's log.
func (r *reactor) logTo(s *snapshot) {
	switch {
	case s.access == nil:
		r.access = nil
	case r.access.Log() == s.access:
		r.access.SetFormat(s.format)
	default:
		r.access = s.access.NewBuffer(s.format)
	}
}

// listen has the reactor accept from fd, which it owns from now on, for the listener of that key.
func (r *reactor) listen(key string, fd int, limit *engine.Limit, paused func(error)) error {
	l, err := r.server.Serve(fd, limit, paused)
	if err == nil {
		r.listeners[key] = l
	}
	return err
}

// take goes over to s, on the loop, and to the sockets in opened, which are owned from now on. Listeners that s does not have come to
// their end.
func (r *reactor) take(s *snapshot, opened map[string]int, limit *engine.Limit, paused func(error)) error {
	r.logTo(s)
	r.connector.Swap(s.groups)
	r.swap(s)
	var errs []error
	for key, fd := range opened {
		old := r.listeners[key]
		if err := r.listen(key, fd, limit, paused); err != nil {
			errs = append(errs, err)
		} else if old != nil {
			old.Retire(nil)
		}
	}
	for key, l := range r.listeners {
		if !s.keys[key] {
			delete(r.listeners, key)
			l.Retire(nil)
		}
	}
	return errors.Join(errs...)
}

// leave stops accepting, without a client noticing, and calls drained once no session is left; both on the loop. The sockets of the
// keys in shared are left to others at once, or nobody can find them any more.
func (r *reactor) leave(shared keys, drained func()) {
	r.farewell() // once more: an earlier leave may have been taken back since
	left := new(int)
	*left = len(r.listeners)
	r.leaving = left
	ended := func() {
		if *left--; *left == 0 && r.leaving == left { // not if it was taken back since, be it that r leaves again
			r.server.Shutdown(drained)
		}
	}
	for key, l := range r.listeners {
		if shared[key] {
			l.Close()
			ended()
		} else {
			l.Retire(ended)
		}
	}
}

// stay takes leave back, on the loop; accepting begins with the next take.
func (r *reactor) stay() {
	r.leaving = nil
	r.server.Resume()
}
