package h2conn

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// state is the state of a connection. It only moves forward.
type state uint8

const (
	stateOpen      state = iota
	stateLeaving         // the peer was told to open no more streams, but may not have seen that yet
	stateLeft            // the peer was told which stream is the last
	stateLingering       // nothing is served any more; the peer gets time to read the reason before the socket is closed
	stateClosed
)

func (s state) String() string {
	return [...]string{"open", "leaving", "left", "lingering", "closed"}[s]
}

// Conn is a connection that carries HTTP/2.
//
// Nothing is torn down while a frame or a stream is being served. A failure is recorded in broken, and settle, which runs
// afterwards, ends the connection.
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

	gotPreface  bool // the client's preface was read
	gotSettings bool // the peer's first SETTINGS was read
	asked       bool // the client has begun a request
	mustLeave   bool // the client is to leave, but has not begun a request yet
	busy        bool // Ready is running and will call settle
	unserved    bool // the buffer has frames that are to be served in the next turn
	finSent     bool
	broken      error // why the connection must end; settle acts on it
	why         error // why it has ended, for the owner

	reader  http2.Reader
	decoder *http2.Decoder
	flood   http2.Flood
	peer    http2.PeerSettings
	block   block

	turn int    // how many more frames are served in this turn
	in   []byte // a buffer of the loop while it has part of a frame
	out  []byte // a buffer of the loop while frames in it wait for the socket
	sent int    // how much of out was written

	sendWindow, recvWindow http2.Window
	grant                  http2.Grant

	table     [buckets]*Stream
	open      int
	heads     int    // size in bytes of the heads of open requests
	widened   int    // size of all windows of open streams that have been enlarged
	last      uint32 // the highest stream that the peer has opened
	next      uint32 // the next stream that this side opens
	closed    []closedStream
	oldest    int    // index in closed of the oldest entry, once closed is full
	forgotten uint32 // the highest stream that this side has reset and that closed no longer has
	waiting   fifo
	pending   *Stream // a stream whose user is notified later, together with the content that follows; nil for none
	drip      drip

	begun       int   // streams opened to the host, including those that have no number yet
	served      int   // how many of them the host serves, if it has refused the others by GOAWAY; otherwise 0
	goingAway   bool  // the peer has sent GOAWAY
	goAwayError error // from the peer's GOAWAY; nil if that said NO_ERROR

	armed     int64 // when timer expires; all times are in ms on the loop's clock
	began     int64
	idleSince int64
	heard     int64 // when the last frame was served
	stalled   int64 // since when out has been waiting for the socket
	since     int64 // when the state began
}

// After budget bytes or frameBudget frames, other connections get their turn. Frames are limited too, since small ones cost more
// time than their bytes suggest.
const (
	budget      = 1 << 20
	frameBudget = 512
)

// readSize is how many bytes are read at once. Any frame but DATA must fit into it completely; the longest has
// http2.HeaderLen+http2.MaxFrame bytes.
const readSize = engine.ScratchSize

// writePreface writes this side's preface: its settings and the connection's window.
func (c *Conn) writePreface() {
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

// Heard returns when the peer's last frame was served, in ms on the loop's clock; 0 before the first.
func (c *Conn) Heard() int64 { return c.heard }

// Streams returns how many streams are open.
func (c *Conn) Streams() int { return c.open }

// Begun returns how many streams to the host were opened.
func (c *Conn) Begun() int { return c.begun }

// Served returns how many of them the host serves, if it has refused the later ones by GOAWAY; otherwise 0.
func (c *Conn) Served() int { return c.served }

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

// settleLater schedules a call of settle after this batch of events, unless Ready is about to call it anyway.
func (c *Conn) settleLater() {
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
		c.resizeIn(readSize)
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
		c.resizeIn(n) // the rest of the frame may take long to arrive
	} else {
		c.freeIn()
	}
}

// resizeIn makes the buffer in one of the given size, which must be enough for its contents.
func (c *Conn) resizeIn(size int) {
	if c.in != nil && cap(c.in) >= size && cap(c.in) < 2*max(size, minBuffer) {
		return
	}
	b := c.loop.Buffer(size)
	b = b[:copy(b, c.in)]
	c.freeIn()
	c.in = b
}

// minBuffer is the size of a loop's smallest buffer.
const minBuffer = 4 << 10

// consume serves the complete frames in the buffer, and keeps the rest.
func (c *Conn) consume() {
	rest := c.serve()
	c.deliverPending() // before its content is overwritten
	c.in = c.in[:copy(c.in, rest)]
}

// serve serves the complete frames in the buffer and returns the rest.
func (c *Conn) serve() []byte {
	b := c.in
	if !c.gotPreface && c.role == server {
		n, err := http2.SkipPreface(b)
		if err != nil {
			c.fail(err)
			return nil
		}
		if n == 0 {
			return b
		}
		b, c.gotPreface = b[n:], true
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

// fail records why the connection ends. The first reason counts.
func (c *Conn) fail(err error) {
	if c.broken == nil {
		c.broken = err
		c.settleLater()
	}
}

// Abort ends the connection and its streams at once. Closed receives err.
func (c *Conn) Abort(err error) {
	if c.state == stateClosed {
		return
	}
	c.fail(err)
	if !c.busy {
		c.settle()
	}
}

// turns is how often waiting streams are served before other connections get their turn.
const turns = 16

// settle sends what is queued, and ends the connection if it has to end.
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

// shut ends the connection for the recorded reason. A client that has violated the protocol is sent GOAWAY and gets time to read it.
func (c *Conn) shut() {
	err := c.broken
	if c.state == stateLingering {
		c.close()
		return
	}
	c.why = c.reason(err)
	c.failStreams(c.lossError(err))
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

// reason returns the error for the owner; nil if the connection has ended in good order.
func (c *Conn) reason(err error) error {
	if errors.Is(err, io.EOF) && c.open == 0 && c.block.stream == 0 && len(c.in) == 0 {
		return nil
	}
	return err
}

// lossError returns the error for streams when the connection ends because of err. If the peer has just closed it, that is
// ErrLost alone.
func (c *Conn) lossError(err error) error {
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

// failStreams makes all streams fail with err, except those whose whole response has arrived: their users may still read it.
func (c *Conn) failStreams(err error) {
	for i := range c.table {
		for c.table[i] != nil {
			if s := c.table[i]; s.isWhole() && s.isKept() {
				s.detachReadable(err)
			} else {
				s.fail(err, false)
			}
		}
	}
}

// again reports whether err only means that the descriptor is not ready.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }
