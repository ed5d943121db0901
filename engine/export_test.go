package engine

// What the black-box tests cannot do without.

// RunAgain serves the again list of a loop that does not run.
func (l *Loop) RunAgain() { l.runAgain() }

// ZoneIndex is zoneIndex.
var ZoneIndex = zoneIndex

// Handshake is handshake.
type Handshake = handshake

// Handshakes is handshakes, for the port that fd listens on.
func Handshakes(fd int) (map[Handshake]struct{}, error) {
	family, port, err := listensOn(int32(fd))
	if err != nil {
		return nil, err
	}
	return handshakes(family, port)
}

// ReadHandshakes is readHandshakes.
var ReadHandshakes = readHandshakes

// RetireWith is Retire with a way of looking for handshakes, and times in ms.
func (l *Listener) RetireWith(done func(), look func() (map[Handshake]struct{}, error), quiet, patience int64) {
	l.retire(done, func(byte, int) (map[handshake]struct{}, error) { return look() })
	l.retiring.quiet, l.retiring.deadline = quiet, l.loop.now+patience
}

// RetireTickBlind is a tick of a retirement that cannot see handshakes. It reports whether another is to come.
func (l *Listener) RetireTickBlind() bool {
	r := l.retiring
	r.state = retireUnknown
	r.Expired(&r.timer)
	return r.timer.linked()
}

// EpollFD is the descriptor of the loop's epoll set.
func (l *Loop) EpollFD() int { return l.epfd }

// FD is the descriptor of an open Conn.
func (c *Conn) FD() int { return int(c.fd) }

// SpentKeep is spentKeep.
const SpentKeep = spentKeep
