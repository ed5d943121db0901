package proxy

import (
	"errors"
	"slices"
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/opening"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// listener is one listening socket on one loop, with the codec's entry that serves its clients. Its methods must be called on the loop's
// goroutine.
type listener struct {
	reactor  *reactor
	accepts  *engine.Listener // nil before listen
	mode     config.Mode
	name     string       // name of the server
	logs     []*sharedLog // the logs that access writes to; empty if there are none
	access   *accesslog.Buffer
	port     uint16
	speaks   httpcodec.Protocols // in http mode
	opening  *opening.Rules
	orphaned bool               // no server serves its clients any more
	http     *httpcodec.Entry   // in http mode; nil before swap
	stream   *streamcodec.Entry // in stream mode; nil before swap
}

// newListener makes a listener in the mode of e.
func (r *reactor) newListener(e *entry) *listener { return &listener{reactor: r, mode: e.server.Mode} }

// swap makes e serve the clients; l is e's listener i.
func (l *listener) swap(e *entry, i int) {
	at := &e.server.Listen[i]
	l.port, l.speaks, l.opening = at.Port, clientProtocols(at), e.opening[i]
	l.take(e)
}

// take makes e serve the clients.
func (l *listener) take(e *entry) {
	l.name = e.server.Name
	l.logTo(e)
	if l.mode == config.ModeHTTP {
		o := httpcodec.EntryOptions{Settings: e.http, Access: l.access, Opening: l.opening, Port: l.port, Protocols: l.speaks}
		if l.http == nil {
			l.http = l.reactor.http.NewEntry(o)
		} else {
			l.http.Swap(o)
		}
		return
	}
	o := streamcodec.EntryOptions{Settings: e.stream, Access: l.access, Opening: l.opening, Port: l.port}
	if l.stream == nil {
		l.stream = l.reactor.stream.NewEntry(o)
	} else {
		l.stream.Swap(o)
	}
}

// logTo directs access log lines to e's logs.
func (l *listener) logTo(e *entry) {
	if len(l.logs) > 0 && slices.Equal(l.logs, e.logs) {
		l.access.SetFormat(e.format)
		return
	}
	l.access.Release()
	l.access, l.logs = nil, e.logs
	for i, log := range e.logs {
		if b := log.NewBuffer(e.format); i == 0 {
			l.access = b
		} else {
			l.access.Tee(b)
		}
	}
}

// listen takes ownership of fd and accepts from it, if opened is true, and retires the previous socket. Otherwise the listener keeps its
// socket.
func (l *listener) listen(fd int, opened bool) error {
	old := l.accepts
	if !opened {
		if old == nil {
			return errNoSocket
		}
		return nil
	}
	a := l.reactor.accepting
	var err error
	if l.mode == config.ModeHTTP {
		l.accepts, err = l.reactor.http.Serve(fd, l.http, a.limit, a.paused)
	} else {
		l.accepts, err = l.reactor.stream.Serve(fd, l.stream, a.limit, a.paused)
	}
	if err != nil {
		l.accepts = old
		return err
	}
	if old != nil {
		old.Retire(nil)
	}
	return nil
}

var errNoSocket = errors.New("there is no socket for it")

// socket duplicates the listening socket, and reports success.
func (l *listener) socket() (fd int, ok bool) {
	fd, err := l.accepts.Dup()
	return fd, err == nil
}

// leave stops accepting, because s, which is in force, has no such listener. If another listener serves the socket (served), l stops at once,
// else when all handshakes that have begun are over.
func (l *listener) leave(s *Snapshot, served bool) {
	l.reactor.orphans[l] = struct{}{}
	l.follow(s)
	if served {
		l.accepts.Close()
	}
	l.accepts.Retire(func() { l.whenEmpty(l.gone) })
}

// follow applies the settings of their server in s to the clients of a listener without a socket. If s has no such server, the clients are
// orphaned: they get a last response, or keep their session.
func (l *listener) follow(s *Snapshot) {
	if e := s.successor(l); e != nil {
		l.take(e)
		return
	}
	if l.orphaned {
		return
	}
	l.orphaned = true
	for _, log := range l.logs {
		log.hold() // the snapshot will be discarded
	}
	if l.http != nil {
		l.http.Leave()
	}
}

// whenEmpty calls gone once all clients have gone.
func (l *listener) whenEmpty(gone func()) {
	if l.mode == config.ModeHTTP {
		l.http.WhenEmpty(gone)
	} else {
		l.stream.WhenEmpty(gone)
	}
}

// gone is called when the last client has gone.
func (l *listener) gone() {
	delete(l.reactor.orphans, l)
	l.access.Release()
	for _, log := range l.logs {
		if l.orphaned {
			log.releaseBeside()
		}
	}
}

// successor returns the entry that serves the clients of a listener without a socket: that of the server with the same name. A server without
// a name, which is identified by its index, has none.
func (s *Snapshot) successor(l *listener) *entry {
	if l.orphaned || strings.HasSuffix(l.name, "]") {
		return nil
	}
	for i := range s.entries {
		if e := &s.entries[i]; e.server.Mode == l.mode && e.server.Name == l.name {
			return e
		}
	}
	return nil
}
