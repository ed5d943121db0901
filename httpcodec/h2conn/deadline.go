package h2conn

import (
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// wait is something for which a connection waits.
type wait uint8

const (
	waitLinger wait = iota // for the peer to close its end
	waitFirst              // for the first request of a client that must leave
	waitLeave              // for the reply to the PING sent by Leave
	waitSend               // for the peer to take bytes
	waitHead               // for the preface, settings, or the rest of a head or a frame
	waitIdle               // for a request
)

func (w wait) String() string {
	return [...]string{"linger", "first", "leave", "send", "head", "idle"}[w]
}

// deadlines yields when each current wait times out.
func (c *Conn) deadlines(yield func(at int64, w wait) bool) {
	at := func(since int64, timeout time.Duration, w wait) bool {
		return timeout == 0 || yield(since+timeout.Milliseconds(), w)
	}
	switch c.state {
	case stateLingering:
		yield(c.since+lingerTime, waitLinger)
		return
	case stateLeaving:
		if !yield(c.since+leaveTime, waitLeave) {
			return
		}
	case stateOpen:
		if c.mustLeave && !yield(c.since+firstTime, waitFirst) {
			return
		}
	}
	if c.waitingOut() > 0 && !at(c.stalled, c.timeouts.Send, waitSend) {
		return
	}
	if !c.gotSettings && !at(c.began, c.timeouts.Head, waitHead) {
		return
	}
	if c.block.stream != 0 && !at(c.block.since, c.timeouts.Head, waitHead) {
		return
	}
	if len(c.in) > 0 && !at(max(c.heard, c.began), c.timeouts.Head, waitHead) {
		return
	}
	if c.open == 0 && c.role == server {
		if c.asked {
			at(c.idleSince, c.timeouts.Idle, waitIdle)
		} else {
			at(c.idleSince, c.timeouts.Head, waitIdle)
		}
	}
}

// arm sets the timer to the earliest deadline, unless the timer expires earlier already.
func (c *Conn) arm() {
	first := engine.Never
	for at := range c.deadlines {
		first = min(first, at)
	}
	if first < c.armed {
		c.armed = first
		c.loop.Arm(&c.timer, first)
	}
}

// Expired implements engine.Handler.
func (c *Conn) Expired(*engine.Timer) {
	c.armed = engine.Never
	if c.state == stateClosed {
		return
	}
	now := c.loop.Now()
	for at, w := range c.deadlines {
		if at <= now {
			c.expired(w)
			break
		}
	}
	c.settle()
}

// expired handles a wait that has timed out.
func (c *Conn) expired(w wait) {
	switch w {
	case waitLinger:
		c.fail(ErrSilent)
	case waitFirst:
		c.startLeaving()
	case waitLeave:
		c.sendLastGoAway()
	case waitSend:
		c.fail(ErrStalled)
	case waitHead:
		c.fail(ErrSilent)
	case waitIdle:
		c.since = c.loop.Now()
		c.state = stateLeft
		if c.gotSettings {
			c.control(8)
			c.out = http2.AppendGoAway(c.out, c.last, http2.NoError, "")
		}
	}
}
