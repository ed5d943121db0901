package proxy

import (
	"errors"
	"fmt"

	"kroxy-ev/engine"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// reactor is one loop and what serves on it: a codec's server for each mode, and the places where clients come in.
type reactor struct {
	loop      *engine.Loop
	tls       *tlsconn.Handshaker
	connector *upstream.Connector
	http      *httpcodec.Server
	stream    *streamcodec.Server
	accepting accepting
	places    map[string]*place   // by config.Listen.Key
	former    map[*place]struct{} // that have clients, and no socket or server any more
	leaving   *int                // of the loop: how many listeners are still to come to their end, if it leaves
}

// accepting is what all listeners are made with.
type accepting struct {
	limit  *engine.Limit
	paused func(error)
}

// newReactor makes a reactor that counts in the given row, and has no places yet.
func (p *Proxy) newReactor(row int, s *Snapshot) (*reactor, error) {
	loop, err := engine.NewLoop(engine.Options{MaxPipes: s.budget.pipes, MaxSpent: s.budget.spent})
	if err != nil {
		return nil, err
	}
	r := &reactor{loop: loop, tls: tlsconn.NewHandshaker(loop), accepting: accepting{p.limit, p.paused.report}, former: make(map[*place]struct{})}
	r.connector = upstream.NewConnector(loop, row, r.tls, p.traffic)
	r.http = httpcodec.NewServer(loop, httpcodec.Options{Connector: r.connector, TLS: r.tls, Log: p.traffic})
	r.stream = streamcodec.NewServer(loop, streamcodec.Options{Connector: r.connector, TLS: r.tls, Log: p.traffic})
	return r, nil
}

// counts may be called from any goroutine.
func (r *reactor) counts() Counts {
	h, s := r.http.Stats(), r.stream.Stats()
	return Counts{
		Active: h.Active.Load() + s.Active.Load(),
		Total:  h.Exchanges.Load() + s.Sessions.Load(),
		Up:     h.BytesUp.Load() + s.BytesUp.Load(),
		Down:   h.BytesDown.Load() + s.BytesDown.Load(),
	}
}

// take goes over to s, on the loop, and to the listening sockets among fds, which are by the keys of places and owned from now on.
// Places that s does not have are left.
func (r *reactor) take(s *Snapshot, fds map[string]int) error {
	r.connector.Swap(s.pools)
	old := r.places
	r.places = make(map[string]*place, len(old))
	var err error
	for i := range s.entries {
		e := &s.entries[i]
		for i, l := range e.server.Listen {
			key := l.Key()
			fd, given := fds[key]
			delete(fds, key)
			pl := old[key]
			if pl != nil && pl.mode != e.server.Mode {
				if !given { // another codec serves the same socket
					fd, given = pl.socket()
				}
				pl = nil
			} else {
				delete(old, key)
			}
			if pl == nil {
				pl = r.newPlace(e)
			}
			pl.swap(e, i)
			if failed := pl.listen(fd, given); failed != nil {
				err = errors.Join(err, fmt.Errorf("kroxy-ev: while beginning to serve %s: %w", key, failed))
				continue
			}
			r.places[key] = pl
		}
	}
	for _, fd := range fds {
		engine.CloseFD(int32(fd))
	}
	for pl := range r.former {
		pl.follow(s)
	}
	for key, pl := range old {
		pl.leave(s, r.places[key] != nil)
	}
	return err
}

// drain stops accepting at once, and calls drained once no session is left; both on the loop.
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

// leave stops accepting, without a client noticing, and calls drained once no session is left; both on the loop. The sockets of the
// keys in shared are left to others at once, or nobody can find them any more.
func (r *reactor) leave(shared Keys, drained func()) {
	r.farewell() // once more: an earlier leave may have been taken back since
	left := new(int)
	*left = len(r.places)
	r.leaving = left
	ended := func() {
		if *left--; *left == 0 && r.leaving == left { // not if it was taken back since, even if r leaves again
			r.drain(drained)
		}
	}
	for key, pl := range r.places {
		if shared[key] {
			pl.listener.Close()
			ended()
		} else {
			pl.listener.Retire(ended)
		}
	}
}

// farewell has clients told, from now on, that nothing follows what they are sent, where there is a way to say so. It may be called
// from any goroutine.
func (r *reactor) farewell() { r.http.Farewell() }

// stay takes leave back, on the loop; accepting begins with the next take.
func (r *reactor) stay() {
	r.leaving = nil
	r.http.Resume()
	r.stream.Resume()
}

// abort ends accepting and every session, on the loop.
func (r *reactor) abort() {
	for _, pl := range r.places {
		pl.listener.Close()
	}
	r.http.Abort()
	r.stream.Abort()
}
