package engine

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spentKeep is how long, in ms, a spent socket is kept for reuse.
	spentKeep = 1000
	// filesStayShort is how long, in ms, no socket is kept after descriptors have run out.
	filesStayShort = 10_000
)

// filesRanOut is when descriptors last ran out, in ms since filesCount; zero if that is long ago. Descriptors belong to the process, not
// to a loop: if one loop has none left for a client or a host, another loop must not keep spare ones.
var filesRanOut atomic.Int64

// filesCount is the reference time of filesRanOut; like all durations it uses the monotonic clock.
var filesCount = time.Now()

// FilesAreShort reports whether this process has recently run out of descriptors; then none should be kept for later. It may be called
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

// spentSocket is a socket whose connection has ended and that is still in the loop's epoll set.
type spentSocket struct {
	fd         int32
	watchesOut bool  // registered for writing too
	since      int64 // when its connection ended, in ms on the loop's clock
}

// spentSockets keeps sockets of connections to hosts that have ended in good order, for reuse by later connections. Making a
// socket, setting its options, registering and destroying it costs more than having the kernel disconnect it (connect(2) with
// AF_UNSPEC): 4% of a session that carries one request (docs/performance.md).
//
// A socket arrives here after the end of the host's stream was read and our FIN was sent. It is not touched until
// the host has acknowledged the FIN, because the kernel may have to retransmit it, and disconnecting would prevent
// that. After that nothing of the old connection is left: it is in CLOSED, or its TIME-WAIT no longer belongs to the socket
// (RFC 9293, section 3.6). tcp_disconnect in the kernel resets the rest: sequence numbers, congestion
// control, errors, ports. Options stay; all sockets here have the same. Events of the old connection are stale hints
// for the new one, like those of a descriptor that was opened anew.
//
// A socket that is not reused within spentKeep is closed. While descriptors are short none is kept.
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

// put keeps a socket whose connection has ended. If it returns false, the caller must close the socket.
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

// take returns an unconnected socket, if there is one. It checks only the oldest, whose FIN is the most likely to be acknowledged.
// If that FIN is not, the socket moves to the end of the list, so that a host that has vanished does not block all others.
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

// giveUp closes all spent sockets, because descriptors have run out, and stops all loops from keeping more. It reports whether
// there were any.
func (s *spentSockets) giveUp() bool {
	filesRanOut.Store(max(time.Since(filesCount).Milliseconds(), 1))
	had := len(s.v4)+len(s.v6) > 0
	s.close(Never)
	return had
}

// Ready implements Handler. It is never called: no connection has spentSockets as its handler.
func (s *spentSockets) Ready(*Conn) {}

// Expired implements Handler. It closes sockets that were not reused in time.
func (s *spentSockets) Expired(*Timer) {
	s.close(s.loop.now - spentKeep)
	if len(s.v4)+len(s.v6) > 0 {
		s.loop.Arm(&s.timer, s.loop.now+spentKeep)
	}
}

// close closes the sockets that have been kept since then or longer.
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
