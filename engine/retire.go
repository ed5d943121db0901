package engine

import "golang.org/x/sys/unix"

const (
	// retireTick is the interval at which a retiring listener is checked, in ms.
	retireTick = 50
	// retireTimeout bounds a retirement, in ms. A handshake whose SYN-ACK was lost completes after 1, 3 or 7 s, if ever.
	retireTimeout = 10000
	// retireQuiet is how long, in ms, no client may have come before a listener is closed if the handshakes in progress are
	// unknown. It allows for two lost SYN-ACKs and a third that takes a second for the round trip.
	retireQuiet = 4000
)

// retirement is the state of a listener that is being retired.
type retirement struct {
	listener *Listener
	done     func()
	timer    Timer
	state    retireState
	deadline int64 // in ms on the loop's clock, like last
	last     int64 // when the last client came, or the retirement began
	quiet    int64 // retireQuiet

	// look lists the handshakes in progress. It may take long, so it runs on its own goroutine, and a tick collects its
	// result: the loop may be gone by then, so the goroutine must not use it.
	look    lookFunc
	answers chan lookResult
	// waiting holds the handshakes that every look has found.
	waiting map[handshake]struct{}
}

// retireState says what the next tick does.
type retireState uint8

const (
	retireBegun   retireState = iota // call look
	retireLooking                    // collect the result of look
	retireUnknown                    // look failed: check whether no client has come for long enough
	retireSettled                    // close: all handshakes that were complete at the last look are in the backlog by now
)

// lookFunc is the type of handshakes, which tests replace.
type lookFunc func(family byte, port int) (map[handshake]struct{}, error)

// lookResult is the result of a look.
type lookResult struct {
	found map[handshake]struct{}
	err   error
}

// Retire closes the listener without a client noticing. The listener keeps accepting until every handshake that its socket has
// begun is complete or has failed, and then closes. That takes some 150 ms if no handshake hangs, otherwise up to 10 s. The kernel
// is told to drop SYNs, so that no further handshakes begin; a client whose SYN is dropped sends another after a second. If
// other sockets share the port, steer new clients to them first (see Steer). Remove the file of a unix socket first: the kernel
// filters none of its clients.
//
// Retire affects the socket itself, for all processes that have it, until a Listener is made of it again. done, which may be nil,
// is called once, on the loop, when the listener is closed, even if Close closes it. If the listener is already closed, done is
// called at once; if the listener is already retiring, Retire does nothing.
func (l *Listener) Retire(done func()) { l.retire(done, handshakes) }

// retire is Retire with a replaceable look.
func (l *Listener) retire(done func(), look lookFunc) {
	if done == nil {
		done = func() {}
	}
	if !l.conn.Open() {
		done()
		return
	}
	if l.retiring != nil {
		return
	}
	// If this fails, new clients keep coming, and the last of them may be reset. It has no effect on a unix socket.
	_ = dropSYN(l.conn.fd)
	now := l.loop.now
	r := &retirement{
		listener: l, done: done, look: look, answers: make(chan lookResult, 1),
		deadline: now + retireTimeout, last: now, quiet: retireQuiet,
	}
	r.timer.Handler = r
	l.retiring = r
	// Not at once: a SYN that has already passed the filter must become a handshake first.
	l.loop.Arm(&r.timer, now+retireTick)
}

// Ready implements Handler; a retirement has no connection.
func (r *retirement) Ready(*Conn) {}

// Expired implements Handler for a tick.
func (r *retirement) Expired(*Timer) {
	l := r.listener
	switch {
	case r.over() || l.loop.now >= r.deadline:
		l.Close()
	case l.retiring == r: // not if the handler of a client just accepted has closed the listener
		l.loop.Arm(&r.timer, l.loop.now+retireTick)
	}
}

// over reports whether all clients that began a handshake have been accepted.
func (r *retirement) over() bool {
	switch r.state {
	case retireBegun:
		r.begin()
	case retireLooking:
		select {
		case s := <-r.answers:
			r.handle(s)
		default:
		}
	case retireUnknown:
		return r.drained() && r.listener.loop.now-r.last >= r.quiet
	case retireSettled:
		return r.drained()
	}
	return false
}

// drained accepts the backlog. It reports whether nothing is left in it; the listener may have had to pause.
func (r *retirement) drained() bool {
	l := r.listener
	for !l.paused && l.acceptOne() {
	}
	return !l.paused || !queued(l.conn.fd)
}

// begin starts a look.
func (r *retirement) begin() {
	family, port, err := listensOn(r.listener.conn.fd)
	if err != nil {
		r.handle(lookResult{err: err})
		return
	}
	if family == unix.AF_UNIX { // a connection to a unix socket has no handshake
		r.state = retireSettled
		return
	}
	r.state = retireLooking
	look, answers := r.look, r.answers
	go func() {
		found, err := look(family, port)
		answers <- lookResult{found, err}
	}()
}

// handle handles the result of a look. Only handshakes that the first look found matter: later ones belong to other
// sockets on the port.
func (r *retirement) handle(s lookResult) {
	if s.err != nil {
		r.state = retireUnknown
		return
	}
	if r.waiting == nil {
		r.waiting = s.found
	}
	for h := range r.waiting {
		if _, ok := s.found[h]; !ok {
			delete(r.waiting, h)
		}
	}
	if len(r.waiting) == 0 {
		r.state = retireSettled
		return
	}
	r.begin()
}

// accepted is called for each client that is accepted.
func (r *retirement) accepted(fd int32) {
	r.last = r.listener.loop.now
	detachFilter(fd)
}

// end is called when the listener is closed.
func (r *retirement) end() {
	r.listener.loop.Disarm(&r.timer)
	r.done()
}
