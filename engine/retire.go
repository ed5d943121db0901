package engine

import "golang.org/x/sys/unix"

const (
	// retireTick is how often a listener that is being retired is looked after, in ms.
	retireTick = 50
	// retirePatience bounds a retirement, in ms. A handshake whose answer was lost is completed after 1, 3 or 7 s, if ever.
	retirePatience = 10000
	// retireQuiet is for how long, in ms, no client must have come before a listener is closed if it cannot be known
	// which handshakes are under way: two answers are lost, and the third takes a second there and back.
	retireQuiet = 4000
)

// retirement is the end of a listener.
type retirement struct {
	listener *Listener
	done     func()
	timer    Timer
	state    retireState
	deadline int64 // in ms on the loop's clock, as is:
	last     int64 // when the last client came, or the retirement began
	quiet    int64 // retireQuiet

	// look tells which handshakes are under way. It may take long, so it is called on a goroutine, and its answer is
	// fetched at a tick: the loop may be gone by then.
	look    lookFunc
	answers chan sight
	// waiting are the handshakes that every look has found.
	waiting map[handshake]struct{}
}

// retireState says what the next tick is for.
type retireState uint8

const (
	retireBegun   retireState = iota // to look
	retireLooking                    // to fetch the answer
	retireBlind                      // to see whether it has been quiet for long enough, since looking failed
	retireSettled                    // to close: what was complete when it was looked is in the queue by now
)

// lookFunc is handshakes, or what a test has in its place.
type lookFunc func(family byte, port int) (map[handshake]struct{}, error)

// sight is the answer of a look.
type sight struct {
	found map[handshake]struct{}
	err   error
}

// Retire ends the listener without a client noticing: it goes on accepting until every handshake has come to its end that
// its socket has begun, and closes then. That is after some 150 ms if none hangs, and after 10 s if one does. The kernel is
// told to drop packets that would begin further ones, and a client whose packet is dropped tries again after a second:
// if the port has other sockets, steer new clients to them before (see Steer). The file of a unix socket is to be removed before:
// clients of the others that have the socket are not kept from it.
//
// It is the socket that is retired, for all processes that have it, until somebody makes a Listener of it again. Done is
// called: once, on the loop, when the listener is closed, also by Close. Done may be nil. If the listener is
// closed already it is called at once; if it is being retired already this call does nothing.
func (l *Listener) Retire(done func()) { l.retire(done, handshakes) }

// retire is Retire with a way of looking for handshakes.
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
	// If it cannot be done, clients go on coming, and the last of them may be reset. A unix socket pays no attention.
	_ = dropSYN(l.conn.fd)
	now := l.loop.now
	r := &retirement{
		listener: l, done: done, look: look, answers: make(chan sight, 1),
		deadline: now + retirePatience, last: now, quiet: retireQuiet,
	}
	r.timer.Handler = r
	l.retiring = r
	// Not at once: a packet that was past the filter has to have become a handshake.
	l.loop.Arm(&r.timer, now+retireTick)
}

// Ready implements Handler; a retirement has no connection.
func (r *retirement) Ready(*Conn) {}

// Expired implements Handler: a tick.
func (r *retirement) Expired(*Timer) {
	l := r.listener
	switch {
	case r.over() || l.loop.now >= r.deadline:
		l.Close()
	case l.retiring == r: // not if a client that was just accepted had the listener closed
		l.loop.Arm(&r.timer, l.loop.now+retireTick)
	}
}

// over reports whether everybody has come who could.
func (r *retirement) over() bool {
	switch r.state {
	case retireBegun:
		r.begin()
	case retireLooking:
		select {
		case s := <-r.answers:
			r.saw(s)
		default:
		}
	case retireBlind:
		return r.drained() && r.listener.loop.now-r.last >= r.quiet
	case retireSettled:
		return r.drained()
	}
	return false
}

// drained accepts what is in the queue. It reports whether nothing is left in it: the listener may have had to pause.
func (r *retirement) drained() bool {
	l := r.listener
	for !l.paused && l.acceptOne() {
	}
	return !l.paused || !queued(l.conn.fd)
}

// begin begins a look.
func (r *retirement) begin() {
	family, port, err := listensOn(r.listener.conn.fd)
	if err != nil {
		r.saw(sight{err: err})
		return
	}
	if family == unix.AF_UNIX { // a connection is complete as soon as it is begun
		r.state = retireSettled
		return
	}
	r.state = retireLooking
	look, answers := r.look, r.answers
	go func() {
		found, err := look(family, port)
		answers <- sight{found, err}
	}()
}

// saw goes on from what a look found. Only handshakes that the first look found matter: those that came later are of other
// sockets on the port.
func (r *retirement) saw(s sight) {
	if s.err != nil {
		r.state = retireBlind
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

// accepted is told of each client.
func (r *retirement) accepted(fd int32) {
	r.last = r.listener.loop.now
	dropNothing(fd)
}

// end is told that the listener is closed.
func (r *retirement) end() {
	r.listener.loop.Disarm(&r.timer)
	r.done()
}
