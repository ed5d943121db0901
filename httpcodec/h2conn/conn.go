package h2conn

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// state is what a connection is at. It only moves forward.
type state uint8

const (
	stateOpen      state = iota
	stateLeaving         // the peer was told that it is to go, and may have begun streams meanwhile
	stateLeft            // it was told which stream is the last
	stateLingering       // nothing is served any more; the peer is to read why before the socket is closed
	stateClosed
)

func (s state) String() string {
	return [...]string{"open", "leaving", "left", "lingering", "closed"}[s]
}

// Conn is a connection that carries HTTP/2.
//
// Nothing is torn down while a frame or a stream is being served: what fails is noted in broken, and settle, which comes behind, ends it.
type Conn struct {
	muxer    *Muxer
	loop     *engine.Loop
	socket   *engine.Conn
	owner    Owner
	limits   Limits
	timeouts Timeouts
	timer    engine.Timer
	role     role
	state    state

	prefaced bool // a client's preface was read
	greeted  bool // the peer's settings were
	asked    bool // a client has begun a request
	busy     bool // Ready is running: settle comes behind
	unserved bool // frames are in in that are to be served in the next turn
	finSent  bool
	broken   error // why it has to end; noted until settle sees to it
	why      error // it has ended: for the owner

	reader  http2.Reader
	decoder *http2.Decoder
	flood   http2.Flood
	peer    http2.PeerSettings
	block   block

	turn int    // frames that are still served in this one
	in   []byte // the loop's buffer while a part of a frame is in it
	out  []byte // the loop's buffer while frames wait in it for the socket
	sent int    // how much of out has been written

	sendWindow, recvWindow http2.Window
	grant                  http2.Grant

	table   [buckets]*Stream
	open    int
	heads   int    // bytes of the heads of requests that are open
	widened int    // bytes that windows of streams that are open are larger by than at first
	last    uint32 // the highest stream that the peer has begun
	next    uint32 // that this side begins next
	closed  []closedStream
	oldest  int    // in closed, once that is full
	forgot  uint32 // the highest stream that this side has reset and that is not in closed any more
	waiting fifo
	fresh   *Stream // of what has come for it its user is told together with what is right behind it
	drip    drip

	goingAway   bool  // the peer has sent GOAWAY
	goAwayError error // the error that it gave as its reason; nil if that was NO_ERROR

	armed     int64 // what timer is set to; times are in ms on the loop's clock
	began     int64
	idleSince int64
	heard     int64 // when a frame was served last
	stalled   int64 // since when out waits for the socket
	since     int64 // when the state began
}

// budget is how many bytes are read before other connections get their turn, and frameBudget how many frames are served: small ones take longer
// than their bytes.
const (
	budget      = 1 << 20
	frameBudget = 512
)

// readSize is how many bytes are read at once. A frame other than DATA, the longest of which has http2.HeaderLen+http2.MaxFrame bytes, is to be
// there as a whole.
const readSize = engine.ScratchSize

// greet writes this side's preface: its settings, and the window of the connection.
func (c *Conn) greet() {
	own := http2.OwnSettings{MaxStreams: uint32(c.limits.MaxStreams), InitialWindow: uint32(c.limits.Window), Client: c.role == client}
	c.reserve(len(http2.Preface) + 64)
	if c.role == client {
		c.out = append(c.out, http2.Preface...)
	}
	c.out = own.Append(c.out)
	if more := c.limits.ConnWindow - firstWindow; more > 0 {
		c.recvWindow += http2.Window(more)
		c.out = http2.AppendWindowUpdate(c.out, 0, uint32(more))
	}
}

// Heard is when the peer's last frame was served, in ms on the loop's clock; 0 before the first.
func (c *Conn) Heard() int64 { return c.heard }

// Streams is how many streams are open.
func (c *Conn) Streams() int { return c.open }

// Ready implements engine.Handler.
func (c *Conn) Ready(*engine.Conn) {
	if c.state == stateClosed {
		return
	}
	c.busy = true
	c.read()
	c.busy = false
	c.settle()
}

// later has settle called behind this batch of events, unless it comes anyway.
func (c *Conn) later() {
	if !c.busy && c.state != stateClosed {
		c.loop.Again(c.socket)
	}
}

// read reads frames and serves them.
func (c *Conn) read() {
	c.turn = frameBudget
	if c.unserved {
		c.consume()
	}
	for left := budget; c.broken == nil && c.socket.Readable(); {
		if left <= 0 || c.unserved {
			c.loop.Again(c.socket)
			return
		}
		if c.state == stateLingering {
			n, err := c.socket.Read(c.loop.Scratch())
			if err != nil && !again(err) {
				c.broken = err
			}
			left -= n
			continue
		}
		c.moveIn(readSize)
		n, err := c.socket.Read(c.in[len(c.in):cap(c.in)])
		if err != nil {
			if !again(err) {
				c.fail(err)
			}
			break
		}
		left -= n
		c.in = c.in[:len(c.in)+n]
		c.consume()
	}
	if n := len(c.in); n > 0 {
		c.moveIn(n) // the rest of a frame may be long in coming
	} else {
		c.freeIn()
	}
}

// moveIn has what was read lie in a buffer of that size, which is enough for it.
func (c *Conn) moveIn(size int) {
	if c.in != nil && cap(c.in) >= size && cap(c.in) < 2*max(size, minBuffer) {
		return
	}
	b := c.loop.Buffer(size)
	b = b[:copy(b, c.in)]
	c.freeIn()
	c.in = b
}

// minBuffer is the length of the smallest buffer that a loop has.
const minBuffer = 4 << 10

// consume serves the frames that are there, and keeps what is there of another.
func (c *Conn) consume() {
	rest := c.serve()
	c.deliverFresh() // before its content is written over
	c.in = c.in[:copy(c.in, rest)]
}

// serve serves the frames that are there. It returns what is left.
func (c *Conn) serve() []byte {
	b := c.in
	if !c.prefaced && c.role == server {
		n, err := http2.SkipPreface(b)
		if err != nil {
			c.fail(err)
			return nil
		}
		if n == 0 {
			return b
		}
		b, c.prefaced = b[n:], true
	}
	c.unserved = false
	for len(b) > 0 && c.broken == nil && c.state < stateLingering {
		if c.turn == 0 {
			c.unserved = true
			c.loop.Again(c.socket)
			break
		}
		c.turn--
		f, n, err := c.reader.Next(b)
		if err != nil && !err.Stream {
			c.fail(err)
			return nil
		}
		if n == 0 {
			break
		}
		b = b[n:]
		c.frame(&f, err)
		c.heard = c.loop.Now()
	}
	return b
}

func (c *Conn) freeIn() {
	if c.in != nil {
		c.loop.FreeBuffer(c.in)
		c.in = nil
	}
}

// fail notes why the connection ends; the first reason counts.
func (c *Conn) fail(err error) {
	if c.broken == nil {
		c.broken = err
		c.later()
	}
}

// Abort ends the connection, with its streams, at once. The reason is passed on to Closed.
func (c *Conn) Abort(err error) {
	if c.state == stateClosed {
		return
	}
	c.fail(err)
	if !c.busy {
		c.settle()
	}
}

// turns is how often streams that wait are served before other connections get their turn.
const turns = 16

// settle sends what is there, and ends what has to end.
func (c *Conn) settle() {
	for n := 0; c.broken == nil && c.flush() && c.wake(); n++ {
		if n == turns {
			c.loop.Again(c.socket)
			break
		}
	}
	if c.waiting.first == nil {
		c.drip.end()
	}
	if c.broken != nil {
		c.shut()
	}
	if c.state == stateLeft && c.open == 0 {
		c.startLinger()
	}
	if c.state == stateLingering {
		c.linger()
	}
	if c.state != stateClosed {
		c.arm()
	}
}

// shut ends the connection for the reason that is noted: a client is told of an error of its own, and has time to read of it.
func (c *Conn) shut() {
	err := c.broken
	if c.state == stateLingering {
		c.close()
		return
	}
	c.why = c.reason(err)
	c.failStreams(c.lost(err))
	var fault *http2.Error
	if !errors.As(err, &fault) {
		c.close()
		return
	}
	c.reserve(http2.HeaderLen + 8 + len(fault.Reason))
	c.out = http2.AppendGoAway(c.out, c.last, fault.Code, fault.Reason)
	c.broken = nil
	c.flush()
	if c.role == client {
		c.close()
	} else {
		c.startLinger()
	}
}

// reason is what the owner is told: nothing if the connection has ended in good order.
func (c *Conn) reason(err error) error {
	if errors.Is(err, io.EOF) && c.open == 0 && c.block.stream == 0 && len(c.in) == 0 {
		return nil
	}
	return err
}

// lost is what streams are told when the connection ends for that reason. That the peer has closed it is no reason of its own: then it is ErrLost alone.
func (c *Conn) lost(err error) error {
	switch {
	case c.goAwayError != nil:
		return c.goAwayError
	case errors.Is(err, io.EOF):
		return ErrLost
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// close closes the socket.
func (c *Conn) close() {
	if errors.Is(c.why, ErrAborted) || errors.Is(c.why, ErrStalled) {
		c.socket.Reset()
	} else {
		c.socket.Close()
	}
	c.state = stateClosed
	c.loop.Disarm(&c.timer)
	c.freeIn()
	c.freeOut()
	c.block.free(c)
	o := c.owner
	c.owner, c.decoder = nil, nil
	o.Closed(c.why)
	c.muxer.free.Put(c)
}

// failStreams has all streams fail for that reason, except those whose whole response has come: their users may still read it.
func (c *Conn) failStreams(err error) {
	for i := range c.table {
		for c.table[i] != nil {
			if s := c.table[i]; s.isWhole() && s.isKept() {
				s.outlive(err)
			} else {
				s.fail(err, false)
			}
		}
	}
}

// again reports whether err only means that the descriptor is not ready.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }
