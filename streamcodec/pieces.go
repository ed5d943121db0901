package streamcodec

import "math"

// A peer with Nagle's algorithm on that says one thing in two writes holds the second back until the first was acknowledged, which
// the kernel leaves to the answer, and that does not come before all was said: a stall of 40 ms, in which nobody waits for
// anything but a timer. A session does not know what is said in it, but it sees such a stall: from then on it acknowledges the first
// piece of what that peer says at once, as long as there are others behind it. Sessions without a stall pay nothing.

const (
	stallMin  = 30  // ms: the shortest of a delayed acknowledgement, less what clocks and timers are off by
	stallMax  = 250 // ms: the longest, and a round trip
	patience  = 16  // how many turns in one piece it takes until a peer is no longer expected to speak in several
	handshake = 22  // the first byte of a client that speaks TLS past this proxy (RFC 8446 section 5.1)
)

// turns follows one direction: a turn is what the source says until it gets an answer.
type turns struct {
	answers int32 // bytes that had gone the other way when the turn began, modulo 2^31; -1 before the first
	first   bool  // only one piece of the turn has come
	expects uint8 // for how many turns still more than one piece is expected
	hurry   bool  // the piece that has come is to be acknowledged at once
}

// said takes note of a piece that has come, in milliseconds since the one before; answers is how many bytes have gone the other
// way.
func (t *turns) said(since, answers int64) {
	switch answers := int32(answers & math.MaxInt32); {
	case answers != t.answers:
		t.answers, t.first = answers, true
		if t.expects > 0 {
			t.expects--
			t.hurry = true
		}
	case t.first:
		t.first = false
		if t.expects > 0 || since >= stallMin && since <= stallMax {
			t.expects = patience
		}
	}
}

// began takes note of a session's first piece, of which b is the first byte. A client that speaks TLS ends a handshake without
// being answered.
func (t *turns) began(b byte) {
	t.answers = 0
	if b == handshake {
		t.expects = 1
	}
}
