package accesslog

import (
	"bytes"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// A failed write is retried after minBackoff, then after twice as long each time, up to maxBackoff.
const (
	minBackoff = time.Millisecond
	maxBackoff = time.Second
)

// successor is an output that Reopen has opened. done, with one slot, receives a value when the output is in use.
type successor struct {
	out  output
	done chan error
}

// run is the log's goroutine.
func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case <-l.timer.C:
		case <-l.wake:
		case l.next = <-l.reopen:
		case <-l.quit:
			l.flush()
			l.closeErr = l.out.close()
			l.dropSuccessor()
			return
		}
		l.flush()
		if l.next != nil {
			l.switchOutput()
		}
	}
}

// flush writes the buffers' lines.
func (l *Log) flush() {
	l.armed.Store(false)
	l.mu.Lock()
	buffers := l.buffers
	l.mu.Unlock()
	for _, b := range buffers {
		lines := l.take(b)
		l.write(lines)
		b.give(lines)
	}
}

// take moves a buffer's lines to pending in one step, so that giveUp finds them in exactly one of the two places.
func (l *Log) take(b *Buffer) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned {
		return nil
	}
	l.pending = b.take()
	return l.pending
}

// setPending sets what is still to be written. It returns false if Close has already counted it as lost.
func (l *Log) setPending(rest []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = rest
	return !l.abandoned
}

// write writes complete lines. A partly written line is always completed: only complete lines are dropped, unless
// there is no reader left.
func (l *Log) write(lines []byte) {
	rest := lines
	delay := minBackoff
	for len(rest) > 0 {
		closing := l.isClosing()
		n, err := l.out.w.Write(piece(rest, l.out.atomic))
		rest = rest[n:]
		if !l.setPending(rest) {
			return
		}
		if n > 0 {
			delay = minBackoff
		}
		switch {
		case err == nil && n > 0:
			l.report.works()
			continue
		case err == nil:
			err = io.ErrShortWrite
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EPIPE):
			// There is no reader, so there is nothing to wait for. A FIFO may get a new reader: the next flush tries again.
			l.report.fails(err)
			l.drop(rest)
			return
		}
		// A slow reader of a pipe is not a failure until lines are lost.
		if !errors.Is(err, unix.EAGAIN) {
			l.report.fails(err)
		}
		// A write that made progress, or that began before Close did, is retried, because it may have written part of a line.
		last := closing && n == 0
		if l.next == nil && !l.pause(delay, err, last) {
			l.drop(rest)
			return
		}
		delay = min(2*delay, maxBackoff)
		if l.next != nil {
			if l.next.out.id != l.out.id {
				// The new file begins with the complete line of which the old file has only the beginning.
				rest = lines[bytes.LastIndexByte(lines[:len(lines)-len(rest)], '\n')+1:]
			}
			l.switchOutput()
		}
	}
}

// piece returns the part of lines to write at once: as many complete lines as fit in limit, but at least one. A limit
// of 0 means none.
func piece(lines []byte, limit int) []byte {
	if limit == 0 || len(lines) <= limit {
		return lines
	}
	end := bytes.LastIndexByte(lines[:limit], '\n')
	if end < 0 {
		end = bytes.IndexByte(lines, '\n')
	}
	return lines[:end+1]
}

// isClosing reports whether Close has begun.
func (l *Log) isClosing() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// pause waits before a failed write is retried. It returns false if it must not be retried. While
// closing, it only waits for a slow reader; after any other error it allows an immediate retry unless last is set.
func (l *Log) pause(d time.Duration, err error, last bool) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	if !l.isClosing() {
		select {
		case <-wait.C:
		case l.next = <-l.reopen:
		case <-l.quit:
		}
		return true
	}
	if !errors.Is(err, unix.EAGAIN) {
		return !last
	}
	select {
	case <-wait.C:
		return true
	case <-l.abandon:
		return false
	}
}

// drop counts lines as lost, unless giveUp has counted them.
func (l *Log) drop(lines []byte) {
	if l.setPending(nil) {
		l.lose(bytes.Count(lines, newline))
	}
}

// switchOutput replaces the output with the one that Reopen has opened.
func (l *Log) switchOutput() {
	err := l.out.close()
	l.out = l.next.out
	l.next.done <- err
	l.next = nil
}
