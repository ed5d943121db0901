package streamcodec

import (
	"errors"
	"io"
	"syscall"

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
)

func (s halfState) String() string {
	return [...]string{"open", "draining", "broken", "shut"}[s]
}

// When a flow is spliced and when it is copied. Copying a few KiB costs less than the second system call of a splice; at
// 16 KiB and more a time, splicing wins.
const (
	bulkRead   = 16 << 10 // a read this long speaks for splicing
	bulkStreak = 3        // so many of them in a row decide it
	smallMove  = 8 << 10  // a splice this short speaks for copying
	spliceMax  = 1 << 20  // asked of one splice; the pipe takes less
)

// half is one direction of a session: bytes from a source connection to a sink.
//
// At most one of buf and pipe holds bytes, and while one does, nothing is read from the source.
type half struct {
	from, to *engine.Conn
	buf      []byte        // the loop's buffer while bytes are held in it
	sent     int           // how much of buf has been written
	pipe     *engine.Pipe  // while bytes are held in it
	bytes    int64         // delivered to the sink
	spliced  int64         // of these, without passing through this process's memory
	readAt   int64         // when the source last sent something or began to be waited for; ms on the loop's clock
	wroteAt  int64         // when the sink last took something or began to be waited for
	failure  syscall.Errno // of the source, when broken
	state    halfState
	splicing bool
	streak   uint8 // consecutive moves that speak against the present way of moving
}

// holding reports whether bytes are held that the sink has not taken.
func (h *half) holding() bool { return h.buf != nil || h.pipe != nil }

// flush writes what is held. unix.EAGAIN means that the sink is full; other errors are the sink's.
func (h *half) flush(l *engine.Loop) error {
	var n int
	var err error
	if h.pipe != nil {
		n, err = h.pipe.Drain(h.to)
		h.spliced += int64(n)
		if h.pipe.Len() == 0 {
			h.freePipe(l)
		}
	} else {
		n, err = h.to.Write(h.buf[h.sent:])
		if h.sent += n; h.sent == len(h.buf) {
			h.freeBuffer(l)
		}
	}
	h.wrote(l, n)
	return err
}

// sourceIs notes what the last read said of the source: nil, unix.EAGAIN, io.EOF, or its failure.
func (h *half) sourceIs(err error) {
	switch {
	case err == nil || again(err):
	case ended(err):
		h.state = halfDraining
	default:
		h.state = halfBroken
		errors.As(err, &h.failure)
	}
}

// move carries some bytes from the source towards the sink. It must not be called while bytes are held. The first error
// is the source's (io.EOF at its end, unix.EAGAIN when it has nothing), the second the sink's.
func (h *half) move(l *engine.Loop) (n int, source, sink error) {
	if h.splicing {
		if h.pipe = l.TakePipe(); h.pipe != nil {
			return h.splice(l)
		}
	}
	return h.copy(l)
}

// copy moves bytes through the loop's scratch buffer; what the sink does not take is held. It may return bytes and io.EOF
// at once.
func (h *half) copy(l *engine.Loop) (n int, source, sink error) {
	n, source = h.read(l)
	if n == 0 {
		return 0, source, nil
	}
	return n, source, h.write(l, l.Scratch()[:n], source)
}

// read reads into the loop's scratch buffer. If the end of the stream may be right behind the bytes it looks, so that the
// sink can be told of both at once.
func (h *half) read(l *engine.Loop) (n int, err error) {
	scratch := l.Scratch()
	n, err = h.from.Read(scratch)
	if err != nil {
		return 0, err
	}
	h.readAt = l.Now()
	if n < len(scratch) && h.from.Ending() {
		var more int
		more, err = h.from.Read(scratch[n:])
		n += more
	}
	if h.streak++; n < bulkRead {
		h.streak = 0
	} else if h.streak >= bulkStreak {
		h.splicing, h.streak = true, 0
	}
	return n, err
}

// write writes p, behind which the source is in the given state; what the sink does not take is held.
func (h *half) write(l *engine.Loop, p []byte, source error) error {
	var n int
	var err error
	if ended(source) {
		n, err = h.to.WriteLast(p)
	} else {
		n, err = h.to.Write(p)
	}
	if again(err) {
		h.hold(l, p[n:])
	}
	h.wrote(l, n)
	return err
}

// hold keeps a copy of p until the sink takes it.
func (h *half) hold(l *engine.Loop, p []byte) {
	h.buf, h.sent = l.Buffer(len(p)), 0
	copy(h.buf, p)
}

// splice moves bytes through the pipe just taken; what the sink does not take stays in it.
func (h *half) splice(l *engine.Loop) (n int, source, sink error) {
	n, source = h.pipe.Fill(h.from, spliceMax)
	if source != nil {
		h.freePipe(l)
		return 0, source, nil
	}
	h.readAt = l.Now()
	if h.streak++; n > smallMove {
		h.streak = 0
	} else if h.streak >= bulkStreak {
		h.splicing, h.streak = false, 0
	}
	return n, nil, h.flush(l)
}

// wrote accounts for n bytes that the sink took.
func (h *half) wrote(l *engine.Loop, n int) {
	if n > 0 {
		h.bytes += int64(n)
		h.wroteAt = l.Now()
	}
}

func (h *half) freePipe(l *engine.Loop) {
	l.GivePipe(h.pipe)
	h.pipe = nil
}

func (h *half) freeBuffer(l *engine.Loop) {
	l.FreeBuffer(h.buf)
	h.buf, h.sent = nil, 0
}

// release gives back what is held.
func (h *half) release(l *engine.Loop) {
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
