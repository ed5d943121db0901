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

// listener is one listening socket on one loop, with the codec's entry that serves its clients. Its methods belong to the loop's
// goroutine.
type listener struct {
	reactor  *reactor
	accepts  *engine.Listener // nil before listen
	mode     config.Mode
	name     string       // of the server
	logs     []*sharedLog // whose buffers access is; nil if there is none
	access   *accesslog.Buffer
	port     uint16
	speaks   httpcodec.Protocols // in http mode
	opening  *opening.Rules
	orphaned bool               // no server serves its clients any more
	http     *httpcodec.Entry   // in http mode; nil before swap
	stream   *streamcodec.Entry // in stream mode, likewise
}

// newListener makes a listener in the mode of e.
func (r *reactor) newListener(e *entry) *listener { return &listener{reactor: r, mode: e.server.Mode} }

// swap makes e serve the clients, as its ith listener.
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

// logTo makes lines go to e's logs.
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

// listen accepts from fd, if one was opened, and owns it; it retires the socket before it. Without one it goes on as it is.
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

// leave stops accepting, since s, which is in force, has no such listener. If another listener serves the socket it stops at once, else
// when every handshake that has begun is over.
func (l *listener) leave(s *Snapshot, served bool) {
	l.reactor.orphans[l] = struct{}{}
	l.follow(s)
	if served {
		l.accepts.Close()
	}
	l.accepts.Retire(func() { l.whenEmpty(l.gone) })
}

// follow makes the clients of a listener without a socket get what their server has in s. If s has no such server they are orphaned: they
// get their last response, or keep their session.
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

// successor returns the entry that serves the clients of a listener without a socket: that of the server with the same name. A server
// without a name, which is called by its index, has none.
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
