package engine

// Internals that the black-box tests need.

// RunAgain exports runAgain, for a loop that does not run.
func (l *Loop) RunAgain() { l.runAgain() }

// ZoneIndex exports zoneIndex.
var ZoneIndex = zoneIndex

// Handshake exports handshake.
type Handshake = handshake

// Handshakes calls handshakes for the port that fd listens on.
func Handshakes(fd int) (map[Handshake]struct{}, error) {
	family, port, err := listensOn(int32(fd))
	if err != nil {
		return nil, err
	}
	return handshakes(family, port)
}

// ReadHandshakes exports readHandshakes.
var ReadHandshakes = readHandshakes

// RetireWith is Retire with a replaceable look, and with times in ms.
func (l *Listener) RetireWith(done func(), look func() (map[Handshake]struct{}, error), quiet, timeout int64) {
	l.retire(done, func(byte, int) (map[handshake]struct{}, error) { return look() })
	l.retiring.quiet, l.retiring.deadline = quiet, l.loop.now+timeout
}

// RetireTickBlind makes one tick of a retirement that cannot list handshakes. It reports whether another tick follows.
func (l *Listener) RetireTickBlind() bool {
	r := l.retiring
	r.state = retireUnknown
	r.Expired(&r.timer)
	return r.timer.linked()
}

// EpollFD returns the descriptor of the loop's epoll set.
func (l *Loop) EpollFD() int { return l.epfd }

// FD returns the descriptor of an open Conn.
func (c *Conn) FD() int { return int(c.fd) }

// SpentKeep exports spentKeep.
const SpentKeep = spentKeep
