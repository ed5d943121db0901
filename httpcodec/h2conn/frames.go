package h2conn

import (
	"encoding/binary"
	"fmt"

	"kroxy-ev/httpcodec/http2"
)

var (
	errIdle       = &http2.Error{Code: http2.ProtocolError, Reason: "a frame on an idle stream"}
	errClosed     = &http2.Error{Code: http2.StreamClosed, Reason: "a head on a closed stream"}
	errStreamOver = &http2.Error{Code: http2.StreamClosed, Stream: true, Reason: "a frame after the end of a stream"}
	errDataEarly  = &http2.Error{Code: http2.ProtocolError, Stream: true, Reason: "data before a head"}
	errTooMuch    = &http2.Error{Code: http2.ProtocolError, Stream: true, Reason: "more data than content-length says"}
	errTooLittle  = &http2.Error{Code: http2.ProtocolError, Stream: true, Reason: "less data than content-length says"}
)

// frame serves a frame. Err is an error of the frame's stream that was already found; it may be nil.
func (c *Conn) frame(f *http2.Frame, err *http2.Error) {
	if s := c.pending; s != nil && (f.Type != http2.Data || f.Stream != s.id) {
		c.deliverPending()
	}
	switch f.Type {
	case http2.Headers, http2.Continuation:
		c.headers(f, err)
		return
	}
	if err != nil {
		c.streamError(f.Stream, err)
		return
	}
	switch f.Type {
	case http2.Data:
		c.data(f)
	case http2.RSTStream:
		c.reset(f)
	case http2.WindowUpdate:
		c.windowUpdate(f)
	case http2.Settings:
		c.settings(f)
	case http2.Ping:
		c.ping(f)
	case http2.GoAway:
		c.goAway(f)
	default:
		c.count(http2.EventOther)
	}
}

// count counts an event that costs the peer nothing. Resets by a host are not counted: the requests sent to it bound them, and
// ending its connection would fail other requests.
func (c *Conn) count(e http2.Event) {
	if e == http2.EventReset && c.role == client {
		return
	}
	if err := c.flood.Count(e, c.loop.Now()); err != nil {
		c.fail(err)
	}
}

// isIdle reports whether the stream has not been opened yet.
func (c *Conn) isIdle(id uint32) bool {
	if id%2 == 1 == (c.role == server) {
		return id > c.last
	}
	return c.role == server || id >= c.next
}

// streamError resets a stream because of an error of the peer's, whether the stream is open or not.
func (c *Conn) streamError(id uint32, err *http2.Error) {
	s := c.find(id)
	if s == nil && c.isIdle(id) {
		c.fail(errIdle)
		return
	}
	c.writeReset(id, err.Code)
	c.count(http2.EventReset)
	if s == nil {
		c.owner.Refused(err)
		return
	}
	s.peerKnows = true
	s.fail(err, true)
}

// writeReset writes a RST_STREAM.
func (c *Conn) writeReset(id uint32, code http2.Code) {
	c.control(4)
	c.out = http2.AppendRST(c.out, id, code)
}

// data serves DATA, or a piece of it.
func (c *Conn) data(f *http2.Frame) {
	if f.Cost == 0 && !f.Last {
		return
	}
	if err := c.recvWindow.Spend(f.Cost, true); err != nil {
		c.fail(err)
		return
	}
	s := c.find(f.Stream)
	if s == nil {
		c.dataOfClosed(f)
		return
	}
	if len(f.Payload) > 0 {
		c.flood.Useful()
	} else if f.Last && !f.Has(http2.EndStream) { // at most padding
		c.count(http2.EventEmpty)
	}
	s.receive(f)
}

// dataOfClosed serves DATA of a stream that is not open.
func (c *Conn) dataOfClosed(f *http2.Frame) {
	c.consumed(f.Cost)
	was := c.findClosed(f.Stream)
	switch {
	case c.isIdle(f.Stream):
		c.fail(errIdle)
	case !f.Last:
	case was != nil && !was.reset:
		c.streamError(f.Stream, errStreamOver)
	case f.Length == 0:
		c.count(http2.EventEmpty)
	case was == nil: // otherwise it was sent before the peer saw the reset
		c.count(http2.EventOther)
	}
}

// consumed records that n bytes of DATA no longer occupy the connection's window.
func (c *Conn) consumed(n int) {
	if more := c.grant.Consumed(n); more > 0 && c.state < stateLingering {
		c.recvWindow += http2.Window(more)
		c.control(4)
		c.out = http2.AppendWindowUpdate(c.out, 0, more)
	}
}

// reset serves RST_STREAM.
func (c *Conn) reset(f *http2.Frame) {
	code := http2.Code(binary.BigEndian.Uint32(f.Payload))
	s := c.find(f.Stream)
	if s == nil && c.isIdle(f.Stream) {
		c.fail(errIdle)
		return
	}
	if s == nil {
		if was := c.findClosed(f.Stream); was != nil && !was.peerReset {
			was.peerReset = true // it was sent before the peer saw that the stream had ended
			return
		}
		c.count(http2.EventOther)
		return
	}
	if s.isPremature() {
		c.count(http2.EventReset)
	}
	if c.broken == nil {
		s.peerReset(code)
	}
}

// longStream is the age, in ms, from which a stream's reset by its client is not suspicious.
const longStream = 1000

// isPremature reports whether a reset by the client now wastes the work for a request that has only just begun (rapid reset). A
// client that has its whole response, as gRPC clients have that end their half by a reset, wastes nothing; and resets of long
// requests are necessarily few.
func (s *Stream) isPremature() bool {
	return s.framing != framingOver && s.c.loop.Now()-s.began < longStream
}

// windowUpdate serves WINDOW_UPDATE.
func (c *Conn) windowUpdate(f *http2.Frame) {
	n := int64(binary.BigEndian.Uint32(f.Payload) & (1<<31 - 1))
	if f.Stream == 0 {
		if err := c.sendWindow.Grow(n, true); err != nil {
			c.fail(err)
		} else if err := c.dripped(&c.drip, n); err != nil {
			c.fail(err)
		}
		return // settle wakes the streams that wait
	}
	s := c.find(f.Stream)
	if s == nil {
		if c.isIdle(f.Stream) {
			c.fail(errIdle)
		} else {
			c.count(http2.EventOther)
		}
		return
	}
	if err := s.sendWindow.Grow(n, false); err != nil {
		c.streamError(f.Stream, err)
		return
	}
	s.windowGrew(n)
}

// settings serves SETTINGS.
func (c *Conn) settings(f *http2.Frame) {
	c.count(http2.EventSettings)
	if f.Has(http2.Ack) || c.broken != nil {
		return
	}
	c.gotSettings = true
	delta, err := c.peer.Take(f.Payload)
	if err != nil {
		c.fail(err)
		return
	}
	c.control(0)
	c.out = http2.AppendSettingsAck(c.out)
	if delta != 0 {
		c.moveWindows(delta)
	}
	if c.role == client && c.broken == nil {
		c.owner.Changed()
	}
}

// moveWindows changes the windows of all streams (RFC 9113 section 6.9.2).
func (c *Conn) moveWindows(delta int64) {
	for i := range c.table {
		for s := c.table[i]; s != nil; s = s.chain {
			if err := s.sendWindow.Grow(delta, false); err != nil {
				c.fail(&http2.Error{Code: err.Code, Reason: err.Reason})
				return
			}
			s.grew = true
		}
	}
	// A stream that is resumed may end and change the lists.
	for i := range c.table {
		for s := c.table[i]; s != nil; {
			if !s.grew {
				s = s.chain
				continue
			}
			s.grew = false
			s.windowGrew(delta)
			s = c.table[i]
		}
	}
}

// ping serves PING.
func (c *Conn) ping(f *http2.Frame) {
	data := [8]byte(f.Payload)
	if f.Has(http2.Ack) {
		if data == drainPing && c.state == stateLeaving {
			c.sendLastGoAway()
		} else {
			c.count(http2.EventOther)
		}
		return
	}
	c.count(http2.EventPing)
	c.control(8)
	c.out = http2.AppendPing(c.out, true, data)
}

// goAway serves GOAWAY: no more streams are opened, and those above the last were not processed.
func (c *Conn) goAway(f *http2.Frame) {
	c.count(http2.EventOther)
	if c.role == server {
		if c.state == stateOpen {
			c.sendLastGoAway() // it may still open streams, which are not served
		}
		return
	}
	last := binary.BigEndian.Uint32(f.Payload) & (1<<31 - 1)
	c.goingAway = true
	if code := http2.Code(binary.BigEndian.Uint32(f.Payload[4:])); code != http2.NoError {
		c.goAwayError = fmt.Errorf("%w: the peer says %v", ErrLost, code)
	}
	why, refused := ErrRefused, c.above(last)
	if last > 0 {
		why = ErrMoved
		if len(refused) > 0 && c.gotSettings {
			c.served = int(last+1) / 2
			c.owner.Changed()
		}
	}
	for _, id := range refused {
		if s := c.find(id); s != nil { // it may have ended together with another
			s.peerKnows = true
			s.fail(why, false)
		}
	}
	if c.state == stateOpen {
		c.state, c.since = stateLeft, c.loop.Now()
	}
}
