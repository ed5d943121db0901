package httpcodec

import "kroxy-ev/engine/upstream"

// A peer with Nagle's algorithm enabled that writes a message in several pieces holds each piece back until the previous one has
// been acknowledged. The kernel delays the acknowledgement, hoping to send it with the response, which does not come before the
// message is complete: a stall of 40 ms. An immediate acknowledgement avoids the stall but costs a system call. So pieces are
// acknowledged at once only where a message is likely to come in pieces: while its head is incomplete, and when only the head and
// little of the body have arrived. Other pieces are acknowledged at once only on connections on which a stall was seen.

const (
	// longRead bytes and more arrive in full segments, which the kernel acknowledges without delay.
	longRead = 16 << 10
	// smallRead is larger than a head, or than the first piece of a body that a peer writes separately.
	smallRead = 4 << 10

	stallMin = 30  // ms: the shortest delayed acknowledgement, minus the imprecision of clocks and timers
	stallMax = 250 // ms: the longest, plus a round trip
	ackRun   = 16  // how many pieces are acknowledged at once after a stall
)

// pieces tracks how the messages on one connection arrive.
type pieces struct {
	last      int64 // when the last piece arrived that did not complete its message, in ms on the loop's clock
	n         uint8 // how many such pieces this message has had, counted up to 2
	quickAcks uint8 // how many more pieces are acknowledged at once
	acked     bool  // the last piece was acknowledged at once
	slow      bool  // the peer makes pauses of its own, which look like stalls
}

// begin notes that the next piece belongs to another message.
func (p *pieces) begin() { p.n = 0 }

// received notes a piece of size bytes that does not complete its message, and reports whether to acknowledge it at once. The
// first piece of a message is the one that completes its head.
func (p *pieces) received(now int64, size int) bool {
	p.checkStall(now)
	if p.n < 2 {
		p.n++
		p.acked = size < smallRead
	} else {
		p.acked = false
	}
	if !p.acked && p.quickAcks > 0 && size < longRead {
		p.quickAcks--
		p.acked = true
	}
	return p.acked
}

// checkStall finds out whether the peer has stalled before the current piece, which may be the last of its message.
func (p *pieces) checkStall(now int64) {
	since := now - p.last
	p.last = now
	switch {
	case p.n == 0 || since < stallMin:
	case p.acked && p.quickAcks > 0: // the pause was not due to a missing acknowledgement
		p.quickAcks /= 2
		p.slow = p.quickAcks <= 1
	case !p.acked && !p.slow && since <= stallMax:
		p.quickAcks = ackRun
	}
}

// receivedFromClient notes that so many more bytes of an incomplete body have arrived. Zero means that only the head has just
// arrived, or nothing new.
func (x *exchange) receivedFromClient(moved int) {
	c := x.client
	first := c.pieces.n == 0
	if first {
		moved = x.head + int(min(x.request.Size, longRead))
	}
	if moved > 0 && c.pieces.received(x.server.loop.Now(), moved) {
		c.conn.QuickAck()
	}
}

// piecesOf returns the state of a connection to a host. It is valid after expectResponse.
func piecesOf(c *upstream.Conn) *pieces { return c.Codec.(*pieces) }

// expectResponse notes that the next piece belongs to another response.
func expectResponse(c *upstream.Conn) {
	switch p, ok := c.Codec.(*pieces); {
	case !ok:
		c.Codec = &pieces{}
	case !c.Used:
		*p = pieces{}
	default:
		p.begin()
	}
}

// receivedFromHost notes that so many more bytes of an incomplete response have arrived.
func (x *exchange) receivedFromHost(moved int) {
	c := x.host.Conn
	switch {
	case moved == 0:
	case !x.replied && moved < longRead, x.replied && piecesOf(c).received(x.server.loop.Now(), moved):
		c.QuickAck()
	}
}
