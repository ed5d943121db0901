package h2conn

import "kroxy-ev/httpcodec/http2"

// Frames are gathered, and sent behind the batch of events in which they were made: what the streams of a connection say at once costs one system
// call, and one record of TLS.

const (
	// framePayload is the longest payload of DATA that is sent: with its header it fills a record of TLS.
	framePayload = http2.MaxFrame - http2.HeaderLen
	// outLimit is how many bytes may wait for the socket before streams have to. Three frames: what TLS encrypts at once.
	outLimit = 3 * http2.MaxFrame
	// maxOut is how many may, with what is not of streams: answers to a peer that sends and does not read.
	maxOut = 128 << 10
)

// waitingOut is how many bytes wait for the socket.
func (c *Conn) waitingOut() int { return len(c.out) - c.sent }

// reserve makes room for n bytes more behind out.
func (c *Conn) reserve(n int) {
	if c.waitingOut() == 0 {
		c.stalled = c.loop.Now()
	}
	if cap(c.out)-len(c.out) >= n {
		return
	}
	rest := c.out[c.sent:]
	bigger := c.loop.Buffer(max(len(rest)+n, min(4*len(rest), outLimit+http2.MaxFrame)))
	bigger = bigger[:copy(bigger, rest)]
	if c.out != nil {
		c.loop.FreeBuffer(c.out)
	}
	c.out, c.sent = bigger, 0
}

// control makes room for a frame that is not of a stream's message, and has it sent later.
func (c *Conn) control(n int) {
	if c.waitingOut() > maxOut {
		c.fail(errUnread)
	}
	c.reserve(http2.HeaderLen + n)
	c.later()
}

var errUnread = &http2.Error{Code: http2.EnhanceYourCalm, Reason: "the peer reads nothing of what it is answered"}

// roomOut is how many bytes streams may send now. It sends what waits if there is no other way to have room.
func (c *Conn) roomOut() int {
	if room := outLimit - c.waitingOut(); room > 0 {
		return room
	}
	if c.broken != nil || !c.flush() {
		return 0
	}
	return outLimit
}

// flush has the socket take what waits. It reports whether all was taken. What does not come to its end because the connection has failed is no
// business of the caller's.
func (c *Conn) flush() bool {
	if c.waitingOut() == 0 {
		c.freeOut()
		return true
	}
	if !c.socket.Writable() {
		return false
	}
	n, err := c.socket.Write(c.out[c.sent:])
	c.sent += n
	if c.waitingOut() == 0 {
		c.freeOut()
		return true
	}
	if !again(err) {
		c.fail(err)
	} else if n > 0 {
		c.stalled = c.loop.Now()
	}
	return false
}

func (c *Conn) freeOut() {
	if c.out != nil {
		c.loop.FreeBuffer(c.out)
		c.out, c.sent = nil, 0
	}
}

// wake has streams go on that wait for the connection. It reports whether there were any.
func (c *Conn) wake() bool {
	woken := false
	for last := c.waiting.last; last != nil && c.waiting.first != nil; {
		s := c.waiting.first
		if c.sendWindow <= 0 || c.waitingOut() >= outLimit {
			break
		}
		c.waiting.drop(s)
		end := s == last
		woken = true
		s.conn.HasRoom(true)
		s.conn.Notify()
		if end {
			break
		}
	}
	return woken
}
