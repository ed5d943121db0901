package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kroxy-ev/logformat"
)

// Options are a log's settings.
type Options struct {
	// BufferSize is how many bytes may wait in each Buffer; 0 is 256 KiB. As many again may be in the middle of being
	// written. Memory is taken as it is needed.
	BufferSize int
	// FlushInterval is how long a line waits at most, while writing works; 0 is a second.
	FlushInterval time.Duration
	// Report, if not nil, is told when writing begins to fail, when it works again, and of lost lines, each 10 seconds
	// at most. It is called from a goroutine of its own, one call at a time, may block and may write to the same log.
	// It is not called for what happens after Close began.
	Report func(error)
	// Header, if not nil, writes what each record's line begins with, of whatever format, in place of the time. It is called by all
	// producers, must not allocate but to grow dst, and must not write a newline.
	Header func(dst []byte, at time.Time) []byte
	// Close, if not nil, is called in the end, and by Reopen, for a log of a writer; by the goroutine that writes.
	Close func() error
	// Lost, if not nil, is told how many lines are lost, as Log.Lost counts them. It may be called by any goroutine, also by several at
	// once, and must not block.
	Lost func(lines int)
}

const (
	defaultBufferSize    = 256 << 10
	defaultFlushInterval = time.Second
	// reopenWait is how long Reopen waits for a write to the old file to return.
	reopenWait = 5 * time.Second
)

var (
	newline = []byte("\n")

	errFull   = errors.New("accesslog: buffer full, line lost")
	errClosed = fmt.Errorf("accesslog: %w", os.ErrClosed)
)

// Log is a file (or pipe, socket, writer) that lines are appended to, and the goroutine that does it. Its methods may be
// called from any goroutine.
type Log struct {
	name     string
	interval time.Duration
	limit    int
	discard  bool // /dev/null: there is no goroutine
	open     func() (output, error)
	report   reporter
	header   func(dst []byte, at time.Time) []byte // nil: lines begin as those of a file
	diag     *Buffer                               // of Write

	// A line that finds armed false sets the timer. The goroutine clears armed before it takes the lines, so a line is
	// either taken or sets the timer again, and a log without lines wakes nobody.
	armed atomic.Bool
	timer *time.Timer
	wake  chan struct{} // one slot: a buffer is half full

	reopening sync.Mutex      // of Reopen's callers
	reopen    chan *successor // one slot; only Reopen fills it

	closing sync.Once
	quit    chan struct{} // closed: write what there is, and end
	abandon chan struct{} // closed: end without
	done    chan struct{} // closed: the goroutine has ended

	mu        sync.Mutex // before a Buffer's
	buffers   []*Buffer  // only appended to
	unused    []*Buffer  // those of them that were released
	closed    bool
	abandoned bool
	pending   []byte // taken from a buffer and not yet written

	// Of the goroutine only; closeErr also of those who saw done.
	out      output
	next     *successor
	closeErr error
}

// Open opens the log at path, appending: a file, created with mode 0644 if need be, a FIFO that somebody reads, or
// /dev/stdout or /dev/stderr, whatever these are, which stay open when the log is closed. To log to /dev/null costs
// nothing. The log is the caller's to Close.
func Open(path string, opts Options) (*Log, error) {
	if path == "/dev/null" {
		l := newLog(path, opts)
		l.discard = true
		l.diag = l.NewBuffer(nil)
		close(l.done)
		return l, nil
	}
	out, err := openFile(path)
	if err != nil {
		return nil, err
	}
	l := newLog(path, opts)
	l.start(out, func() (output, error) { return openFile(path) })
	return l, nil
}

// New makes a log of a writer, which messages call by the name, and which is written to by one goroutine, one call at a time, and which stays open when the
// log is closed, unless there is a Close.
func New(name string, w io.Writer, opts Options) *Log {
	l := newLog(name, opts)
	out := output{w: w, close: opts.Close}
	if out.close == nil {
		out.close = func() error { return nil }
	}
	l.start(out, func() (output, error) { return out, nil })
	return l
}

func newLog(name string, opts Options) *Log {
	l := &Log{
		name:     name,
		interval: opts.FlushInterval,
		limit:    opts.BufferSize,
		header:   opts.Header,
		wake:     make(chan struct{}, 1),
		reopen:   make(chan *successor, 1),
		quit:     make(chan struct{}),
		abandon:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	if l.interval <= 0 {
		l.interval = defaultFlushInterval
	}
	if l.limit <= 0 {
		l.limit = defaultBufferSize
	}
	l.report.name = name
	l.report.report, l.report.count = opts.Report, opts.Lost
	return l
}

func (l *Log) start(out output, open func() (output, error)) {
	l.out, l.open = out, open
	l.diag = l.NewBuffer(nil)
	l.timer = time.NewTimer(l.interval)
	l.timer.Stop()
	go l.run()
}

// NewBuffer makes a buffer for one producer, until that releases it.
func (l *Log) NewBuffer(f *logformat.Format) *Buffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.unused); n > 0 {
		b := l.unused[n-1]
		l.unused = l.unused[:n-1]
		b.SetFormat(f)
		return b
	}
	b := &Buffer{log: l, format: f, limit: l.limit, discard: l.discard}
	b.closed = l.closed
	l.buffers = append(l.buffers, b)
	return b
}

// Write appends a line as it is (a newline is added if it lacks one), or several, for diagnostics: it is a slog
// handler's output. It keeps nothing of p and never waits; when p does not fit, its lines are counted as lost and an
// error is answered.
func (l *Log) Write(p []byte) (int, error) {
	if l.discard || len(p) == 0 {
		return len(p), nil
	}
	if l.diag.write(p) {
		return len(p), nil
	}
	if l.isClosing() {
		return 0, errClosed
	}
	return 0, errFull
}

// Lost answers how many lines were lost since the start: for want of room, because nobody reads the pipe any more, or
// because the log was closed.
func (l *Log) Lost() uint64 { return l.report.lost.Load() }

// Lose counts lines as lost that the log's writer has taken, and could not bring where they were to go.
func (l *Log) Lose(lines int) { l.lose(lines) }

// Reopen opens the path again, after logrotate(8) moved the file away. What is buffered goes to the old file, unless
// that fails, and then to the new one. When the path cannot be opened, the old file stays. When a write to the old file
// does not return for 5 seconds, Reopen says so, and the new file is taken whenever the write returns. A log of a
// writer is only flushed.
func (l *Log) Reopen() error {
	if l.discard {
		return nil
	}
	l.reopening.Lock()
	defer l.reopening.Unlock()
	out, err := l.open()
	if err != nil {
		return err
	}
	l.dropSuccessor()
	next := &successor{out: out, done: make(chan error, 1)}
	l.reopen <- next
	wait := time.NewTimer(reopenWait)
	defer wait.Stop()
	select {
	case err := <-next.done:
		return err
	case <-l.done:
		l.dropSuccessor()
		return errClosed
	case <-wait.C:
		return fmt.Errorf("accesslog: reopening %s: a write to the old file does not return", l.name)
	}
}

// dropSuccessor forgets a file that was opened but not yet taken.
func (l *Log) dropSuccessor() {
	select {
	case next := <-l.reopen:
		_ = next.out.close() // nothing was written to it
		next.done <- errClosed
	default:
	}
}

// Close writes what is buffered, closes the file and ends the goroutine; lines that come later count as lost. It waits
// timeout at most: a write that is stuck is left behind, with its goroutine. A write that fails is tried once more. The
// error tells how many lines were not written, those included that were lost before and never reported.
func (l *Log) Close(timeout time.Duration) error {
	err := errClosed
	l.closing.Do(func() { err = l.close(timeout) })
	return err
}

func (l *Log) close(timeout time.Duration) error {
	l.report.stop()
	l.mu.Lock()
	l.closed = true
	for _, b := range l.buffers {
		b.close()
	}
	l.mu.Unlock()
	close(l.quit)

	wait := time.NewTimer(timeout)
	defer wait.Stop()
	var closeErr error
	select {
	case <-l.done:
		closeErr = l.closeErr
	case <-wait.C:
		closeErr = fmt.Errorf("not done after %v", timeout)
		l.giveUp()
	}
	lines, cause := l.report.untold()
	if lines == 0 && closeErr == nil {
		return nil
	}
	return fmt.Errorf("accesslog: closing %s: %d lines not written: %w", l.name, lines, errors.Join(cause, closeErr))
}

// giveUp counts what is not written as lost and lets the goroutine go when it can.
func (l *Log) giveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abandoned = true
	close(l.abandon)
	lines := bytes.Count(l.pending, newline)
	for _, b := range l.buffers {
		lines += bytes.Count(b.take(), newline)
	}
	l.lose(lines)
}

func (l *Log) lose(lines int) { l.report.lose(lines) }

// arm has the lines written an interval from now, unless some wait already.
func (l *Log) arm() {
	if !l.armed.Load() && l.armed.CompareAndSwap(false, true) {
		l.timer.Reset(l.interval)
	}
}

// hurry has the lines written at once.
func (l *Log) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
