package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// acceptBatch is how many connections a listener takes before other connections get their turn.
	acceptBatch = 64
	// retryAccept is how long accepting pauses when descriptors or places have run out, in ms.
	retryAccept = 100
)

// ListenerOptions configures a Listener.
type ListenerOptions struct {
	// Limit bounds the connections accepted and not yet released; nil means no bound.
	Limit *Limit
	// Accept gets each new connection and must end by calling l.Release when the connection is over. It owns fd.
	Accept func(l *Listener, fd int32, peer netip.AddrPort)
	// Paused is told why accepting stops; it goes on by itself. Calls are as many as pauses are: the callee limits what
	// it says of them. Nil is allowed.
	Paused func(reason error)
}

// ErrLimit is the reason for a pause when the Limit is reached.
var ErrLimit = errors.New("engine: the limit on connections is reached")

// Listener accepts connections on one loop. When descriptors, memory or places run out it leaves the epoll set, so that
// a waiting client costs no CPU, and tries again when a connection ends, even one of another listener of the loop, or a little later.
type Listener struct {
	conn   Conn
	loop   *Loop
	opts   ListenerOptions
	timer  Timer
	paused bool
	wants  bool // it is in the loop's list of those that want a place
	// retiring is not nil from Retire on, until the listener is closed.
	retiring *retirement
}

// NewListener has loop accept from fd, a non-blocking listening socket, which the Listener owns from now on, also when
// an error is returned. A socket that was retired is in use again. Several loops may accept from duplicates
// of one socket: each client wakes all of them, since one that is woken alone (EPOLLEXCLUSIVE, epoll_ctl(2)) may have no place for it.
func NewListener(loop *Loop, fd int, o ListenerOptions) (*Listener, error) {
	dropNothing(int32(fd))
	l := &Listener{loop: loop, opts: o}
	l.timer.Handler = l
	if err := loop.watch(&l.conn, int32(fd), l, false); err != nil {
		return nil, err
	}
	return l, nil
}

// Dup returns another descriptor of the listener's socket, which the caller owns.
func (l *Listener) Dup() (int, error) {
	fd, err := unix.FcntlInt(uintptr(l.conn.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("engine: while duplicating a listener: %w", os.NewSyscallError("fcntl", err))
	}
	return fd, nil
}

// Open reports whether the listener has not been closed.
func (l *Listener) Open() bool { return l.conn.Open() }

// Ready implements Handler: it accepts what is waiting.
func (l *Listener) Ready(*Conn) {
	for range acceptBatch {
		if !l.acceptOne() {
			return
		}
	}
}

// acceptOne accepts a connection. It reports whether there may be more.
func (l *Listener) acceptOne() bool {
	if !l.opts.Limit.acquire() {
		l.pause(ErrLimit)
		return false
	}
	fd, peer, errno := accept4(l.conn.fd)
	switch errno {
	case 0:
		l.want(false)
		if l.retiring != nil {
			l.retiring.accepted(fd)
		}
		l.opts.Accept(l, fd, peer)
		return !l.paused && l.conn.Open()
	case unix.EAGAIN:
		l.opts.Limit.release()
		return false
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		l.opts.Limit.release()
		if !queued(l.conn.fd) {
			return false // the kernel wants a descriptor before it looks whether somebody is there
		}
		if errno == unix.EMFILE && l.loop.giveUp() {
			return true
		}
		l.pause(errno)
		return false
	}
	// Errors of the connection that was waiting (accept(2)): the next one may be well.
	l.opts.Limit.release()
	return true
}

// Crowded reports whether places get scarce: more than three quarters of the connections that Limit allows are there.
func (l *Listener) Crowded() bool { return l.opts.Limit.crowded() }

// Share takes a place for one more request of a connection from Accept, which has its own for the first. It reports false if Limit has none,
// and the request must wait or be refused; else Unshare is to be called when the request is over.
func (l *Listener) Share() bool { return l.opts.Limit.share() }

// Unshare gives a place of Share back.
func (l *Listener) Unshare() {
	l.opts.Limit.unshare()
	l.offer()
}

// Release says that a connection from Accept is over.
func (l *Listener) Release() {
	l.opts.Limit.release()
	l.offer()
}

// offer has a free place taken by a client of whichever listener of the loop has wanted one for longest: one whose own clients come and go
// would leave none to the others.
func (l *Listener) offer() {
	for _, o := range l.loop.wanting {
		waiting := len(l.loop.wanting) > 1 && queued(o.conn.fd)
		if o.paused {
			o.resume()
		}
		if waiting {
			break
		}
	}
}

// want has the listener in the loop's list of those that want a place, or not.
func (l *Listener) want(yes bool) {
	switch {
	case l.wants == yes:
		return
	case yes:
		l.loop.wanting = append(l.loop.wanting, l)
	default:
		l.loop.wanting = slices.DeleteFunc(l.loop.wanting, func(o *Listener) bool { return o == l })
	}
	l.wants = yes
}

// pause leaves the epoll set for a while.
func (l *Listener) pause(reason error) {
	if l.paused {
		return
	}
	l.paused = true
	l.want(true)
	_ = l.loop.poller.Delete(int(l.conn.fd))
	l.loop.Arm(&l.timer, l.loop.now+retryAccept)
	if l.opts.Paused != nil {
		l.opts.Paused(reason)
	}
}

// resume comes back into the epoll set.
func (l *Listener) resume() {
	if !l.conn.Open() {
		return
	}
	l.paused = false
	l.loop.Disarm(&l.timer)
	if err := l.loop.watchAgain(&l.conn, false); err != nil {
		l.pause(err)
	}
}

// Expired implements Handler: the pause is over.
func (l *Listener) Expired(*Timer) { l.resume() }

// Close accepts what the kernel has already completed, so that no client that got through is reset, and stops listening.
// Clients whose handshakes are not complete are reset, unless another process has the socket too: see Retire.
func (l *Listener) Close() {
	if !l.conn.Open() {
		return
	}
	l.loop.Disarm(&l.timer)
	for !l.paused && l.acceptOne() {
	}
	l.loop.Disarm(&l.timer)
	l.want(false)
	// Another process may have the socket too, and then closing a descriptor of it does not end its events (epoll(7)).
	_ = l.loop.poller.Delete(int(l.conn.fd))
	l.conn.Close()
	if r := l.retiring; r != nil {
		l.retiring = nil
		r.end()
	}
}
