package httpcodec

import "kroxy-ev/engine/upstream"

// A peer with Nagle's algorithm on that sends a message in several writes holds the next piece back until the one before was
// acknowledged, which the kernel leaves to the answer, and that does not come before the message is whole: a stall of 40 ms. A
// piece is acknowledged at once, at the cost of a system call, where a message is likely to come in pieces: while its head is
// not whole, and when only the head and little of the body have come. Other pieces are acknowledged at once only on connections
// on which a stall was seen.

const (
	// longRead bytes and more come in full segments, which are acknowledged by themselves.
	longRead = 16 << 10
	// smallRead is more than a head, or the first piece of a body that a peer writes by itself.
	smallRead = 4 << 10

	stallMin = 30  // ms: the shortest of a delayed acknowledgement, less what clocks and timers are off by
	stallMax = 250 // ms: the longest, and a round trip
	patience = 16  // how many pieces are acknowledged at once behind a stall
)

// pieces follows the messages that come over one connection.
type pieces struct {
	last    int64 // when the last piece came of a message that was not whole with it; ms on the loop's clock
	n       uint8 // how many of those have come of this message, 2 at most
	expects uint8 // how many more are acknowledged at once
	acked   bool  // the last one was
	slow    bool  // the peer makes pauses of its own, which look like stalls
}

// begin notes that the next piece is of another message.
func (p *pieces) begin() { p.n = 0 }

// came notes a piece of so many bytes behind which more of the message is expected, and reports whether to acknowledge it at
// once. The first of a message is the one with the end of its head.
func (p *pieces) came(now int64, size int) bool {
	p.look(now)
	if p.n < 2 {
		p.n++
		p.acked = size < smallRead
	} else {
		p.acked = false
	}
	if !p.acked && p.expects > 0 && size < longRead {
		p.expects--
		p.acked = true
	}
	return p.acked
}

// look finds out whether the peer has stalled before the piece that comes now, which may be the last of its message.
func (p *pieces) look(now int64) {
	since := now - p.last
	p.last = now
	switch {
	case p.n == 0 || since < stallMin:
	case p.acked && p.expects > 0: // it has not waited for an acknowledgement
		p.expects /= 2
		p.slow = p.expects <= 1
	case !p.acked && !p.slow && since <= stallMax:
		p.expects = patience
	}
}

// cameFromClient notes so many bytes of a body that is not whole. None is right behind the head that has come, or nothing new.
func (x *exchange) cameFromClient(moved int) {
	c := x.client
	first := c.pieces.n == 0
	if first {
		moved = x.head + int(min(x.request.Size, longRead))
	}
	if moved > 0 && c.pieces.came(x.server.loop.Now(), moved) {
		c.conn.QuickAck()
	}
}

// piecesOf follows the messages that come over a connection to a host, from expectResponse on.
func piecesOf(c *upstream.Conn) *pieces { return c.Codec.(*pieces) }

// expectResponse notes that the next piece is of another response.
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

// cameFromHost notes so many bytes of a response that is not whole.
func (x *exchange) cameFromHost(moved int) {
	c := x.host.Conn
	switch {
	case moved == 0:
	case !x.replied && moved < longRead, x.replied && piecesOf(c).came(x.server.loop.Now(), moved):
		c.QuickAck()
	}
}
