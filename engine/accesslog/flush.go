package accesslog

import (
	"bytes"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// A write that fails is tried again after minBackoff, then twice as long each time, up to maxBackoff.
const (
	minBackoff = time.Millisecond
	maxBackoff = time.Second
)

// successor is the output that Reopen opened. done, of one slot, is answered when it is in use.
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
			l.succeed()
		}
	}
}

// flush writes what the buffers hold.
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

// take moves a buffer's lines to pending in one step, so that giveUp sees them in one of the two places.
func (l *Log) take(b *Buffer) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned {
		return nil
	}
	l.pending = b.take()
	return l.pending
}

// setPending notes what is still to be written; false means that Close has counted it as lost already.
func (l *Log) setPending(rest []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = rest
	return !l.abandoned
}

// write writes whole lines. What was cut in half is always continued: lines are only ever dropped whole, except when
// there is nobody left to see it.
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
			// No reader, hence nothing to wait for. A FIFO may get a new one: the next flush will see.
			l.report.fails(err)
			l.drop(rest)
			return
		}
		// A pipe whose reader is slow is no failure until lines are lost.
		if !errors.Is(err, unix.EAGAIN) {
			l.report.fails(err)
		}
		// A write that took something, or that began before Close did, is tried again: it may have cut a line in half.
		last := closing && n == 0
		if l.next == nil && !l.pause(delay, err, last) {
			l.drop(rest)
			return
		}
		delay = min(2*delay, maxBackoff)
		if l.next != nil {
			if l.next.out.id != l.out.id {
				// The new file begins with the whole of the line that the old one ends in the middle of.
				rest = lines[bytes.LastIndexByte(lines[:len(lines)-len(rest)], '\n')+1:]
			}
			l.succeed()
		}
	}
}

// piece answers the first bytes of lines to write at once: as many whole lines as fit in limit, one at least. A limit
// of 0 is none.
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

// pause waits before a write that failed is tried again. It answers false if it is not to be tried again: while
// closing, only a slow reader is waited for; after any other error there is another try at once unless last is set.
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

// drop counts lines as lost, unless giveUp has.
func (l *Log) drop(lines []byte) {
	if l.setPending(nil) {
		l.lose(bytes.Count(lines, newline))
	}
}

// succeed puts the output that Reopen opened in the old one's place.
func (l *Log) succeed() {
	err := l.out.close()
	l.out = l.next.out
	l.next.done <- err
	l.next = nil
}
