package streamcodec

import (
	"errors"
	"io"
	"math"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
)

// halfState is how far one direction of a session has come. It only moves forward.
type halfState uint8

const (
	// halfOpen: the source may send more.
	halfOpen halfState = iota
	// halfDraining: the source has ended its stream; bytes of it may still be held here.
	halfDraining
	// halfBroken: the source's connection has failed; bytes of it may still be held here.
	halfBroken
	// halfShut: everything was delivered, and the sink was told of the end.
	halfShut
	// halfDead: the sink's connection has failed; nothing is held or read any more.
	halfDead
)

func (s halfState) String() string {
	return [...]string{"open", "draining", "broken", "shut", "dead"}[s]
}

// When a flow is spliced and when it is copied. Copying a few KiB costs less than the second system call of a splice; at
// 16 KiB and more a time, splicing wins.
const (
	bulkRead   = 16 << 10 // a read this long speaks for splicing
	bulkStreak = 3        // so many of them in a row decide it
	smallMove  = 8 << 10  // a splice this short speaks for copying
	spliceMax  = 1 << 20  // asked of one splice; the pipe takes less
)

// Half is one direction of a session: bytes from a source connection to a sink.
//
// At most one of a buffer and a pipe holds bytes, and while one does, nothing is read from the source. Holding is
// followed by Flush until it is over, and the end of a Half's use by Release.
type Half struct {
	From, To *engine.Conn
	Bytes    int64 // delivered to the sink
	Spliced  int64 // of these, without passing through this process's memory
	ReadAt   int64 // when the source last sent something or began to be waited for; ms on the loop's clock
	WroteAt  int64 // when the sink last took something or began to be waited for

	buf      []byte       // the loop's buffer while bytes are held in it
	pipe     *engine.Pipe // while bytes are held in it
	failure  error        // of the source, when broken; of the sink, when dead
	sent     int32        // how much of buf has been written
	queued   int32        // what the sink had not confirmed when that was last looked at; see Advanced
	turns    turns
	state    halfState
	splicing bool
	cut      bool  // the session will end in a reset: the last bytes must not wait for a FIN
	streak   uint8 // consecutive moves that speak against the present way of moving
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

// Advanced reports whether the peer has taken bytes since the sink became full or this was last asked. A sink says that it
// has room only when there is a good deal of it, which may take a slow peer long.
func (h *Half) Advanced() bool {
	before := h.queued
	h.queued = h.unacknowledged()
	return h.queued < before
}

// unacknowledged is what the sink has not confirmed. The kernel's count is an int32, too.
func (h *Half) unacknowledged() int32 { return int32(min(h.To.Unacknowledged(), math.MaxInt32)) }

// sourceIs notes what the last read said of the source: nil, unix.EAGAIN, io.EOF, or its failure.
func (h *Half) sourceIs(err error) {
	switch {
	case err == nil || again(err):
	case ended(err):
		h.state = halfDraining
	default:
		h.state, h.failure = halfBroken, err
	}
}

// Move carries some bytes, at most limit, from the source towards the sink. It must not be called while bytes are held.
// The first error is the source's (io.EOF at its end, unix.EAGAIN when it has nothing), the second the sink's; bytes and
// io.EOF may come at once.
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

// read reads into the loop's scratch buffer. If the end of the stream may be right behind the bytes it looks, so that the
// sink can be told of both at once.
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

// Send writes p, the last bytes of the stream if last is true; what the sink does not take is held, and the error is
// unix.EAGAIN then. It must not be called while bytes are held.
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

// splice moves bytes through the pipe just taken; what the sink does not take stays in it.
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

// wrote accounts for n bytes that the sink took.
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

// Release gives back what is held.
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
