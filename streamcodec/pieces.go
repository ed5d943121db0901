package streamcodec

import "math"

// A peer with Nagle's algorithm enabled that writes a message in two pieces holds the second one back until the first has been
// acknowledged. The kernel delays the acknowledgement, hoping to send it with the response, which does not come before the
// message is complete: a stall of 40 ms in which everybody waits for a timer. A session does not know the protocol, but it
// notices such a stall. From then on it acknowledges the first piece of that peer's messages at once, as long as further pieces
// follow. Sessions without a stall pay nothing.

const (
	stallMin  = 30  // ms: the shortest delayed acknowledgement, minus the imprecision of clocks and timers
	stallMax  = 250 // ms: the longest, plus a round trip
	ackRun    = 16  // after how many turns of one piece a peer is no longer expected to send several
	handshake = 22  // the first byte of a client whose TLS passes through this proxy (RFC 8446 section 5.1)
)

// turns tracks one direction. A turn is what the source sends until it gets a response.
type turns struct {
	answers   int32 // bytes sent in the other direction when the turn began, modulo 2^31; -1 before the first turn
	first     bool  // only one piece of the turn has arrived
	quickAcks uint8 // for how many more turns several pieces are expected
	ackNow    bool  // the piece that has arrived is to be acknowledged at once
}

// received notes the arrival of a piece, since ms after the previous one. Answers is how many bytes have been sent in the other
// direction.
func (t *turns) received(since, answers int64) {
	switch answers := int32(answers & math.MaxInt32); {
	case answers != t.answers:
		t.answers, t.first = answers, true
		if t.quickAcks > 0 {
			t.quickAcks--
			t.ackNow = true
		}
	case t.first:
		t.first = false
		if t.quickAcks > 0 || since >= stallMin && since <= stallMax {
			t.quickAcks = ackRun
		}
	}
}

// begin notes a session's first piece, whose first byte is b. A TLS client completes the handshake with a message that gets no
// response.
func (t *turns) begin(b byte) {
	t.answers = 0
	if b == handshake {
		t.quickAcks = 1
	}
}
