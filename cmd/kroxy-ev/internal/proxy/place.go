package proxy

import (
	"errors"
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/opening"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// place is where clients come in on one loop: a listening socket, and what they get there. Its methods belong to the loop's
// goroutine.
type place struct {
	reactor  *reactor
	listener *engine.Listener // nil before listen
	mode     config.Mode
	name     string     // of the server
	log      *sharedLog // nil if there is none, as is:
	access   *accesslog.Buffer
	port     uint16
	opening  *opening.Rules
	forlorn  bool               // no server is its clients' any more
	http     *httpcodec.Entry   // in http mode; nil before swap
	stream   *streamcodec.Entry // in stream mode, likewise
}

// newPlace makes a place of e's mode.
func (r *reactor) newPlace(e *entry) *place { return &place{reactor: r, mode: e.server.Mode} }

// swap has clients get what e says, as those of its ith listener.
func (pl *place) swap(e *entry, i int) {
	pl.port, pl.opening = e.server.Listen[i].Port, e.opening[i]
	pl.take(e)
}

// take has clients get what e says.
func (pl *place) take(e *entry) {
	pl.name = e.server.Name
	pl.logTo(e)
	if pl.mode == config.ModeHTTP {
		o := httpcodec.EntryOptions{Settings: e.http, Access: pl.access, Opening: pl.opening, Port: pl.port}
		if pl.http == nil {
			pl.http = pl.reactor.http.NewEntry(o)
		} else {
			pl.http.Swap(o)
		}
		return
	}
	o := streamcodec.EntryOptions{Settings: e.stream, Access: pl.access, Opening: pl.opening, Port: pl.port}
	if pl.stream == nil {
		pl.stream = pl.reactor.stream.NewEntry(o)
	} else {
		pl.stream.Swap(o)
	}
}

// logTo has lines go to e's log.
func (pl *place) logTo(e *entry) {
	if e.access != nil && pl.access.Log() == e.access.Log {
		pl.access.SetFormat(e.format)
		return
	}
	pl.access.Release()
	if pl.access, pl.log = nil, e.access; e.access != nil {
		pl.access = e.access.NewBuffer(e.format)
	}
}

// listen accepts from fd, if one is given, which is owned from now on, and no more from the socket before it.
func (pl *place) listen(fd int, given bool) error {
	old := pl.listener
	if !given {
		if old == nil {
			return errNoSocket
		}
		return nil
	}
	a := pl.reactor.accepting
	var err error
	if pl.mode == config.ModeHTTP {
		pl.listener, err = pl.reactor.http.Serve(fd, pl.http, a.limit, a.paused)
	} else {
		pl.listener, err = pl.reactor.stream.Serve(fd, pl.stream, a.limit, a.paused)
	}
	if err != nil {
		pl.listener = old
		return err
	}
	if old != nil {
		old.Retire(nil)
	}
	return nil
}

var errNoSocket = errors.New("there is no socket for it")

// socket is another descriptor of the listening socket, if there can be one.
func (pl *place) socket() (fd int, ok bool) {
	fd, err := pl.listener.Dup()
	return fd, err == nil
}

// leave ends accepting, now that s is in force and has no such place. No client notices that comes meanwhile, unless somebody else
// serves the socket.
func (pl *place) leave(s *Snapshot, served bool) {
	pl.reactor.former[pl] = struct{}{}
	pl.follow(s)
	if served {
		pl.listener.Close()
	}
	pl.listener.Retire(func() { pl.whenEmpty(pl.gone) })
}

// follow gives the clients of a place without a socket what their server gives by s. If there is none any more, they have their last
// response, or stay for as long as their session lasts.
func (pl *place) follow(s *Snapshot) {
	if e := s.successor(pl); e != nil {
		pl.take(e)
		return
	}
	if pl.forlorn {
		return
	}
	pl.forlorn = true
	if pl.log != nil {
		pl.log.hold() // the snapshot's days are over
	}
	if pl.http != nil {
		pl.http.Leave()
	}
}

// whenEmpty calls gone once all clients have gone.
func (pl *place) whenEmpty(gone func()) {
	if pl.mode == config.ModeHTTP {
		pl.http.WhenEmpty(gone)
	} else {
		pl.stream.WhenEmpty(gone)
	}
}

// gone is called when the last client has gone.
func (pl *place) gone() {
	delete(pl.reactor.former, pl)
	pl.access.Release()
	if pl.forlorn && pl.log != nil {
		pl.log.releaseBeside()
	}
}

// successor is the entry that serves the clients of a place whose socket is nobody's any more: that of the server with its name. One
// that is a number in a list is none.
func (s *Snapshot) successor(pl *place) *entry {
	if pl.forlorn || strings.HasSuffix(pl.name, "]") {
		return nil
	}
	for i := range s.entries {
		if e := &s.entries[i]; e.server.Mode == pl.mode && e.server.Name == pl.name {
			return e
		}
	}
	return nil
}
