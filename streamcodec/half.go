package streamcodec

import (
	"errors"
	"io"
	"math"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
)

// halfState is the state of one direction of a session. It only moves forward.
type halfState uint8

const (
	// halfOpen: the source may send more.
	halfOpen halfState = iota
	// halfDraining: the source has ended its stream; some of its bytes may still be held here.
	halfDraining
	// halfBroken: the source's connection has failed; some of its bytes may still be held here.
	halfBroken
	// halfShut: everything was delivered, and the sink was sent a FIN.
	halfShut
	// halfDead: the sink's connection has failed; nothing is held or read any more.
	halfDead
)

func (s halfState) String() string {
	return [...]string{"open", "draining", "broken", "shut", "dead"}[s]
}

// Thresholds for splicing and copying. Copying a few KiB costs less than the second system call of a splice; from 16 KiB at a
// time, splicing is cheaper.
const (
	bulkRead   = 16 << 10 // a read of at least this size counts towards splicing
	bulkStreak = 3        // how many such reads or splices in a row change the method
	smallMove  = 8 << 10  // a splice of at most this size counts towards copying
	spliceMax  = 1 << 20  // requested from one splice; the pipe may take less
)

// Half is one direction of a session: bytes from a source connection to a sink.
//
// Bytes that the sink did not take are held in a buffer or in a pipe, never in both; while any are held, nothing is read from
// the source. While Holding, the user calls Flush until nothing is held; at the end it calls Release.
type Half struct {
	From, To *engine.Conn
	Bytes    int64 // delivered to the sink
	Spliced  int64 // of these, without being copied through this process's memory
	ReadAt   int64 // when the source last sent something or the wait for it began, in ms on the loop's clock
	WroteAt  int64 // when the sink last took something or the wait for it began

	buf      []byte       // a buffer of the loop while it holds bytes
	pipe     *engine.Pipe // a pipe while it holds bytes
	failure  error        // of the source in halfBroken, of the sink in halfDead
	sent     int32        // how much of buf was written
	queued   int32        // unacknowledged bytes of the sink at the last check; see Advanced
	turns    turns
	state    halfState
	splicing bool
	cut      bool  // the session will end with a reset, so the last bytes must not be corked to wait for a FIN
	streak   uint8 // consecutive moves that count against the present method
}

// Holding reports whether bytes are held that the sink has not taken.
func (h *Half) Holding() bool { return h.buf != nil || h.pipe != nil }

// Flush writes what is held. unix.EAGAIN means that the sink is full; other errors are the sink's.
func (h *Half) Flush(l *engine.Loop) error {
	var n int
	var err error
	if h.pipe != nil {
		n, err = h.pipe.Drain(h.To)
		h.Spliced += int64(n)
		if h.pipe.Len() == 0 {
			h.freePipe(l)
		}
	} else {
		n, err = h.To.Write(h.buf[h.sent:])
		if h.sent += int32(n); int(h.sent) == len(h.buf) {
			h.freeBuffer(l)
		}
	}
	h.wrote(l, n)
	if again(err) {
		h.queued = h.unacknowledged()
	}
	return err
}

// Advanced reports whether the peer has acknowledged bytes since the sink became full or since the last call. A sink becomes
// writable only when much of its buffer is free, which takes long with a slow peer.
func (h *Half) Advanced() bool {
	before := h.queued
	h.queued = h.unacknowledged()
	return h.queued < before
}

// unacknowledged returns how many bytes the peer has not acknowledged. The kernel's count is an int32, too.
func (h *Half) unacknowledged() int32 { return int32(min(h.To.Unacknowledged(), math.MaxInt32)) }

// setSource records the result of the last read from the source: nil, unix.EAGAIN, io.EOF, or its failure.
func (h *Half) setSource(err error) {
	switch {
	case err == nil || again(err):
	case ended(err):
		h.state = halfDraining
	default:
		h.state, h.failure = halfBroken, err
	}
}

// Move moves bytes, at most limit, from the source towards the sink. It must not be called while bytes are held. The first
// error is the source's (io.EOF at its end, unix.EAGAIN if it has nothing), the second the sink's. Bytes and io.EOF may be
// returned together.
func (h *Half) Move(l *engine.Loop, limit int64) (n int, source, sink error) {
	if h.splicing && h.From.Layer() == nil && h.To.Layer() == nil {
		if h.pipe = l.TakePipe(); h.pipe != nil {
			return h.splice(l, limit)
		}
	}
	n, source = h.read(l, limit)
	if n == 0 {
		return 0, source, nil
	}
	return n, source, h.Send(l, l.Scratch()[:n], ended(source) && !h.cut)
}

// read reads into the loop's scratch buffer. If the end of the stream may follow directly it reads again, so that the sink can
// be sent the bytes and the FIN together.
func (h *Half) read(l *engine.Loop, limit int64) (n int, err error) {
	p := l.Scratch()
	p = p[:h.To.Room(int(min(int64(len(p)), limit)))]
	n, err = h.From.Read(p)
	if err != nil {
		return 0, err
	}
	h.ReadAt = l.Now()
	if n < len(p) && h.From.Ending() {
		var more int
		more, err = h.From.Read(p[n:])
		n += more
	}
	if h.streak++; n < bulkRead {
		h.streak = 0
	} else if h.streak >= bulkStreak {
		h.splicing, h.streak = true, 0
	}
	return n, err
}

// Send writes p; last says that p ends the stream. It holds what the sink does not take, and then returns unix.EAGAIN. It must
// not be called while bytes are held.
func (h *Half) Send(l *engine.Loop, p []byte, last bool) error {
	var n int
	var err error
	if last {
		n, err = h.To.WriteLast(p)
	} else {
		n, err = h.To.Write(p)
	}
	if again(err) {
		h.hold(l, p[n:])
		h.queued = h.unacknowledged()
	}
	h.wrote(l, n)
	return err
}

// hold keeps a copy of p until the sink takes it.
func (h *Half) hold(l *engine.Loop, p []byte) {
	h.buf, h.sent = l.Buffer(len(p)), 0
	copy(h.buf, p)
}

// splice moves bytes through the pipe that was just taken. Bytes that the sink does not take stay in the pipe.
func (h *Half) splice(l *engine.Loop, limit int64) (n int, source, sink error) {
	n, source = h.pipe.Fill(h.From, int(min(limit, spliceMax)))
	if source != nil {
		h.freePipe(l)
		return 0, source, nil
	}
	h.ReadAt = l.Now()
	if h.streak++; n > smallMove {
		h.streak = 0
	} else if h.streak >= bulkStreak {
		h.splicing, h.streak = false, 0
	}
	return n, nil, h.Flush(l)
}

// wrote accounts for n bytes that the sink has taken.
func (h *Half) wrote(l *engine.Loop, n int) {
	if n > 0 {
		h.Bytes += int64(n)
		h.WroteAt = l.Now()
	}
}

func (h *Half) freePipe(l *engine.Loop) {
	l.GivePipe(h.pipe)
	h.pipe = nil
}

func (h *Half) freeBuffer(l *engine.Loop) {
	l.FreeBuffer(h.buf)
	h.buf, h.sent = nil, 0
}

// Release releases what is held.
func (h *Half) Release(l *engine.Loop) {
	if h.pipe != nil {
		h.freePipe(l)
	}
	if h.buf != nil {
		h.freeBuffer(l)
	}
}

// again reports whether err only means that the descriptor is not ready.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }

// ended reports whether err is the end of the source's stream.
func ended(err error) bool { return errors.Is(err, io.EOF) }
