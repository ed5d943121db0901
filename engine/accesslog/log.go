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

// Options configures a Log.
type Options struct {
	// BufferSize bounds the bytes that may wait in each Buffer; 0 means 256 KiB. The same amount again may be in the process of being
	// written. Memory is allocated as needed.
	BufferSize int
	// FlushInterval bounds how long a line waits while writing works; 0 means one second.
	FlushInterval time.Duration
	// Report, if not nil, is called when writing begins to fail, when it works again, and when lines were lost, at most once per 10 seconds.
	// It is called on its own goroutine, one call at a time. It may block, and may write to the same log.
	// It is not called for anything that happens after Close began.
	Report func(error)
	// Header, if not nil, writes the beginning of each record's line, whatever the format, instead of the time. All producers
	// call it. It must not allocate except to grow dst, and must not write a newline.
	Header func(dst []byte, at time.Time) []byte
	// Close, if not nil, closes the writer of New, at the end and on Reopen. The writing goroutine calls it.
	Close func() error
	// Lost, if not nil, is called with the number of lost lines whenever Log.Lost grows. Any goroutine may call it, even several at
	// once, and it must not block.
	Lost func(lines int)
}

const (
	defaultBufferSize    = 256 << 10
	defaultFlushInterval = time.Second
	// reopenWait bounds how long Reopen waits for a write to the old file to return.
	reopenWait = 5 * time.Second
)

var (
	newline = []byte("\n")

	errFull   = errors.New("accesslog: buffer full, line lost")
	errClosed = fmt.Errorf("accesslog: %w", os.ErrClosed)
)

// Log is a file (or pipe, socket, writer) to which lines are appended, with the goroutine that writes them. Its methods may be
// called from any goroutine.
type Log struct {
	name     string
	interval time.Duration
	limit    int
	discard  bool // /dev/null: there is no goroutine
	open     func() (output, error)
	report   reporter
	header   func(dst []byte, at time.Time) []byte // nil: lines begin with the time
	diag     *Buffer                               // the buffer of Write

	// A line that finds armed false sets the timer. The goroutine clears armed before it takes the lines, so a line is
	// either taken or sets the timer again, and a log without lines causes no wake-ups.
	armed atomic.Bool
	timer *time.Timer
	wake  chan struct{} // one slot: a buffer is half full

	reopening sync.Mutex      // serializes calls of Reopen
	reopen    chan *successor // one slot; only Reopen fills it

	closing sync.Once
	quit    chan struct{} // closed: write what is buffered, and end
	abandon chan struct{} // closed: end without writing
	done    chan struct{} // closed: the goroutine has ended

	mu        sync.Mutex // locked before a Buffer's
	buffers   []*Buffer  // only appended to
	unused    []*Buffer  // the released ones
	closed    bool
	abandoned bool
	pending   []byte // taken from a buffer and not yet written

	// Used only by the goroutine; closeErr may be read after done is closed.
	out      output
	next     *successor
	closeErr error
}

// Open opens the log at path for appending: a file, which is created with mode 0644 if necessary, a FIFO that has a reader, or
// /dev/stdout or /dev/stderr, of any type, which stay open when the log is closed. Logging to /dev/null costs
// nothing. The caller must close the log.
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

// New makes a log that writes to w; name identifies it in messages. Only one goroutine writes to w, one call at a time. w stays open when
// the log is closed, unless there is an Options.Close.
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

// NewBuffer returns a buffer for one producer, which must release it.
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

// Write appends one or more lines unchanged, except that it adds a final newline if it is missing. It is for diagnostics, as a slog
// handler's output. It does not keep p and never blocks. If p does not fit, its lines are counted as lost and Write returns
// an error.
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

// Lost returns how many lines were lost since the start: because buffers were full, because a pipe had no reader, or
// because the log was closed.
func (l *Log) Lost() uint64 { return l.report.lost.Load() }

// Lose counts lines as lost that the log's writer has accepted but could not deliver.
func (l *Log) Lose(lines int) { l.lose(lines) }

// Reopen opens the path again, after logrotate(8) has moved the file away. Buffered lines go to the old file or, if that
// fails, to the new one. If the path cannot be opened, the old file stays in use. If a write to the old file
// does not return within 5 seconds, Reopen returns an error, and the new file is used once the write returns. A log made by
// New is only flushed.
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

// dropSuccessor discards a file that was opened but is not in use yet.
func (l *Log) dropSuccessor() {
	select {
	case next := <-l.reopen:
		_ = next.out.close() // nothing was written to it
		next.done <- errClosed
	default:
	}
}

// Close writes what is buffered, closes the file and ends the goroutine; later lines count as lost. It waits for
// at most timeout, and abandons a write that is stuck, with its goroutine. A write that fails is retried once. The
// error says how many lines were not written, including those that were lost earlier and never reported.
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
	lines, cause := l.report.unreported()
	if lines == 0 && closeErr == nil {
		return nil
	}
	return fmt.Errorf("accesslog: closing %s: %d lines not written: %w", l.name, lines, errors.Join(cause, closeErr))
}

// giveUp counts everything unwritten as lost, and lets the goroutine end when it can.
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

// arm schedules a flush after the interval, unless one is scheduled.
func (l *Log) arm() {
	if !l.armed.Load() && l.armed.CompareAndSwap(false, true) {
		l.timer.Reset(l.interval)
	}
}

// flushSoon triggers a flush at once.
func (l *Log) flushSoon() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
