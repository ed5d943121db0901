package h2conn

import "kroxy-ev/httpcodec/http2"

// Frames are collected and sent after the batch of events in which they were made. So what several streams send at the same time
// costs one system call and one TLS record.

const (
	// framePayload is the longest payload of DATA that is sent. With its frame header it fills a TLS record.
	framePayload = http2.MaxFrame - http2.HeaderLen
	// outLimit is how many bytes may wait for the socket before streams have to wait. It is three frames, the amount that TLS
	// encrypts at once.
	outLimit = 3 * http2.MaxFrame
	// maxOut is the limit including control frames, for a peer that sends but does not read.
	maxOut = 128 << 10
)

// waitingOut returns how many bytes wait for the socket.
func (c *Conn) waitingOut() int { return len(c.out) - c.sent }

// reserve makes room for n more bytes in out.
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

// control makes room for a control frame with an n-byte payload, and schedules its sending.
func (c *Conn) control(n int) {
	if c.waitingOut() > maxOut {
		c.fail(errUnread)
	}
	c.reserve(http2.HeaderLen + n)
	c.settleLater()
}

var errUnread = &http2.Error{Code: http2.EnhanceYourCalm, Reason: "the peer does not read the responses to its frames"}

// roomOut returns how many bytes streams may send now. If out is full it tries to send it first.
func (c *Conn) roomOut() int {
	if room := outLimit - c.waitingOut(); room > 0 {
		return room
	}
	if c.broken != nil || !c.flush() {
		return 0
	}
	return outLimit
}

// flush writes what waits to the socket, and reports whether the socket took all of it. An error is recorded as the connection's
// failure.
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

// wake resumes the streams that wait for the connection. It reports whether there were any.
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
