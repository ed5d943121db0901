package engine

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spentKeep is for how long, in ms, a spent socket waits for another use.
	spentKeep = 1000
	// filesStayShort is for how long, in ms, no socket is kept after descriptors have run out.
	filesStayShort = 10_000
)

// filesRanOut is when descriptors last ran out, in ms since filesCount, or zero if that is long ago. They are the process's, not a
// loop's: where one has none left for a client or a host, those that another keeps are the ones missing.
var filesRanOut atomic.Int64

// filesCount is what filesRanOut counts from: no clock that somebody may set.
var filesCount = time.Now()

// FilesAreShort reports whether descriptors of this process have lately run out: then none is to be kept for later. It may be called
// from any goroutine.
func FilesAreShort() bool {
	at := filesRanOut.Load()
	if at == 0 {
		return false
	}
	if time.Since(filesCount).Milliseconds()-at < filesStayShort {
		return true
	}
	filesRanOut.CompareAndSwap(at, 0)
	return false
}

// spentSocket is a socket whose connection is over and which is still in the loop's epoll set.
type spentSocket struct {
	fd         int32
	watchesOut bool  // it is registered for writing too
	since      int64 // when its connection ended, in ms on the loop's clock
}

// spentSockets keeps the sockets of connections to hosts that have ended in good order, for those to come. To make a
// socket, set it up, register it and destroy it costs more than to have the kernel disconnect it (connect(2) with
// AF_UNSPEC), by 4% of a session that carries one request (docs/performance.md).
//
// A socket comes here after the end of the host's stream was read and our FIN has been sent, and it is not touched before
// the host has confirmed that FIN: until then the kernel may have to send it again, which disconnecting would put an
// end to. After that nothing of the old connection is left (it is in CLOSED, or its TIME-WAIT is not with the socket any
// more: RFC 9293, section 3.6), and tcp_disconnect in the kernel sets the rest back: sequence numbers, congestion
// control, errors, ports. Options stay, and all sockets here have the same. Events of the old connection are stale hints
// of the new one, like those of a descriptor that was opened anew.
//
// A socket that is not wanted within spentKeep is closed. While descriptors are short none is kept.
type spentSockets struct {
	loop   *Loop
	max    int // of each family
	v4, v6 []spentSocket
	timer  Timer
}

func (s *spentSockets) of(family uint8) *[]spentSocket {
	if family == unix.AF_INET {
		return &s.v4
	}
	return &s.v6
}

// put takes a socket whose connection has ended, or reports false: then it is the caller's to close.
func (s *spentSockets) put(family uint8, spent spentSocket) bool {
	list := s.of(family)
	if len(*list) >= s.max || FilesAreShort() {
		return false
	}
	*list = append(*list, spent)
	if !s.timer.linked() {
		s.loop.Arm(&s.timer, spent.since+spentKeep)
	}
	return true
}

// take gives an unconnected socket out, if there is one. The oldest is looked at, the likeliest to have its FIN confirmed;
// one that has not goes behind the others, so that a host that has vanished does not keep all others from being used.
func (s *spentSockets) take(family uint8) (spentSocket, bool) {
	list := *s.of(family)
	if len(list) == 0 {
		return spentSocket{}, false
	}
	oldest, last := list[0], len(list)-1
	copy(list, list[1:])
	if n, errno := sendQueue(oldest.fd); errno != 0 || n > 0 {
		list[last] = oldest
		return spentSocket{}, false
	}
	*s.of(family) = list[:last]
	if errno := disconnect(oldest.fd); errno != 0 {
		CloseFD(oldest.fd)
		return spentSocket{}, false
	}
	return oldest, true
}

// giveUp closes all sockets, because descriptors have run out, and keeps all loops from keeping more. It reports whether
// there was one.
func (s *spentSockets) giveUp() bool {
	filesRanOut.Store(max(time.Since(filesCount).Milliseconds(), 1))
	had := len(s.v4)+len(s.v6) > 0
	s.close(Never)
	return had
}

// Ready implements Handler. No connection has it as its handler.
func (s *spentSockets) Ready(*Conn) {}

// Expired implements Handler: it closes what nobody wanted.
func (s *spentSockets) Expired(*Timer) {
	s.close(s.loop.now - spentKeep)
	if len(s.v4)+len(s.v6) > 0 {
		s.loop.Arm(&s.timer, s.loop.now+spentKeep)
	}
}

// close closes the sockets that have been here since then or longer.
func (s *spentSockets) close(since int64) {
	for _, list := range []*[]spentSocket{&s.v4, &s.v6} {
		kept := (*list)[:0]
		for _, spent := range *list {
			if spent.since <= since {
				CloseFD(spent.fd)
			} else {
				kept = append(kept, spent)
			}
		}
		*list = kept
	}
}
