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
	// acceptBatch is how many connections a listener accepts before other connections are served.
	acceptBatch = 64
	// retryAccept is how long, in ms, accepting pauses when descriptors or the Limit have run out.
	retryAccept = 100
)

// ListenerOptions configures a Listener.
type ListenerOptions struct {
	// Limit bounds the connections that are accepted and not yet released; nil means no bound.
	Limit *Limit
	// Accept gets each new connection and owns fd. It must see to it that l.Release is called when the connection is over.
	Accept func(l *Listener, fd int32, peer netip.AddrPort)
	// Paused is called whenever accepting pauses; accepting resumes by itself. It may be called often, so it must limit what it logs.
	// It may be nil.
	Paused func(reason error)
}

// ErrLimit is the reason for a pause when the Limit is reached.
var ErrLimit = errors.New("engine: the limit on connections is reached")

// Listener accepts connections on one loop. When descriptors, memory or places of the Limit run out, it leaves the epoll set, so that
// a waiting client costs no CPU. It tries again when a connection of any listener of the loop ends, and after retryAccept.
type Listener struct {
	conn   Conn
	loop   *Loop
	opts   ListenerOptions
	timer  Timer
	paused bool
	wants  bool // it is in loop.wanting
	// retiring is set by Retire, until the listener is closed.
	retiring *retirement
}

// NewListener makes loop accept from fd, a non-blocking listening socket. The Listener owns fd, even if an error is returned.
// A retired socket is put to use again. Several loops may accept from duplicates of one socket. Each client then wakes all of
// them: with EPOLLEXCLUSIVE (epoll_ctl(2)) it might wake only a loop that has no place for it.
func NewListener(loop *Loop, fd int, o ListenerOptions) (*Listener, error) {
	detachFilter(int32(fd))
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

// Ready implements Handler. It accepts waiting connections.
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
			return false // accept4 fails without a free descriptor even if no client waits
		}
		if errno == unix.EMFILE && l.loop.giveUp() {
			return true
		}
		l.pause(errno)
		return false
	}
	// The error is one of the waiting connection (accept(2)); the next connection may be fine.
	l.opts.Limit.release()
	return true
}

// Crowded reports whether places are scarce: more than three quarters of the connections that Limit allows are in use.
func (l *Listener) Crowded() bool { return l.opts.Limit.crowded() }

// Share takes a place of Limit for a further request on a connection from Accept; the connection itself has a place for its first one. If it
// returns false, Limit has no place, and the request must wait or be refused. Otherwise Unshare must be called when the request is over.
func (l *Listener) Share() bool { return l.opts.Limit.share() }

// Unshare gives back a place from Share.
func (l *Listener) Unshare() {
	l.opts.Limit.unshare()
	l.offer()
}

// Release must be called when a connection from Accept is over.
func (l *Listener) Release() {
	l.opts.Limit.release()
	l.offer()
}

// offer offers a free place to the listener of the loop that has waited for one the longest. Otherwise a listener whose clients come and
// go would leave no places to the others.
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

// want adds the listener to the loop's list of listeners that want a place, or removes it.
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

// pause takes the listener out of the epoll set for a while.
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

// resume puts the listener back into the epoll set.
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

// Close accepts the connections that the kernel has already completed, so that none of them is reset, and stops listening.
// Clients whose handshakes are incomplete are reset, unless another process has the socket too: see Retire.
func (l *Listener) Close() {
	if !l.conn.Open() {
		return
	}
	l.loop.Disarm(&l.timer)
	for !l.paused && l.acceptOne() {
	}
	l.loop.Disarm(&l.timer)
	l.want(false)
	// If another process has the socket too, closing this descriptor does not end its events (epoll(7)).
	_ = l.loop.poller.Delete(int(l.conn.fd))
	l.conn.Close()
	if r := l.retiring; r != nil {
		l.retiring = nil
		r.end()
	}
}
