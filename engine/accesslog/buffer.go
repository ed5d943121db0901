package accesslog

import (
	"bytes"
	"sync"
	"time"

	"kroxy-ev/logformat"
)

const (
	stampLayout = "[2006-01-02 15:04:05]: "
	stampLen    = len(stampLayout)
)

// Buffer holds the lines of one producer, an event loop, until the log's goroutine takes them. It is safe for use by
// several goroutines, but meant for one: then its mutex is contended only for the moment in which the lines are taken.
type Buffer struct {
	log     *Log
	format  *logformat.Format // nil if nothing is recorded
	limit   int               // bytes that may wait in lines
	discard bool
	also    *Buffer // of another log, which records' lines go to too; nil for none

	mu     sync.Mutex
	closed bool
	lines  []byte // whole lines that wait
	line   []byte // scratch for the line being made; of a format's buffer the first stampLen bytes are second's stamp, unless the log has a header
	iso    []byte // second as $time_iso8601
	second int64  // Unix time
	spare  []byte // the slice that lines is swapped with; nil while it is being written
}

// Record appends a line to the buffer: the time in UTC, unless the format is JSON, the expanded format, a newline. It does no
// I/O and, once the buffer has grown to what the traffic needs, does not allocate. When the line does not fit, it is
// counted as lost. It sets r's Time. On a nil Buffer, and one of a log to /dev/null alone, it does nothing. It reports whether it has made
// a line, whether it is lost or not.
func (b *Buffer) Record(r *logformat.Record) bool {
	if b.idle() {
		return false
	}
	b.mu.Lock()
	now := time.Now()
	head := b.begin(now)
	r.Time = b.iso
	b.line = append(b.format.Append(b.line[:head], r), '\n')
	if !b.discard {
		b.put(b.line[b.cut(head, b.format.JSON()):])
	}
	for also := b.also; also != nil; also = also.also {
		also.copy(b.line[head:], now, b.format.JSON())
	}
	b.mu.Unlock()
	return true
}

// begin begins a line at that time, and answers how long its beginning is. b.mu is held.
func (b *Buffer) begin(now time.Time) int {
	if sec := now.Unix(); sec != b.second || len(b.line) < stampLen {
		utc := now.UTC()
		b.line = utc.AppendFormat(b.line[:0], stampLayout)
		b.iso = utc.AppendFormat(b.iso[:0], logformat.TimeISO8601)
		b.second = sec
	}
	if b.log.header != nil {
		b.line = b.log.header(b.line[:0], now)
		return len(b.line)
	}
	return stampLen
}

// cut answers how much of the beginning, of that length, a line does not have: the time, if it is an object.
func (b *Buffer) cut(head int, json bool) int {
	if json && b.log.header == nil {
		return head
	}
	return 0
}

// copy appends the line of another buffer's record, which is without its beginning.
func (b *Buffer) copy(line []byte, now time.Time, json bool) {
	if b.discard {
		return
	}
	b.mu.Lock()
	head := b.begin(now)
	b.line = append(b.line[:head], line...)
	b.put(b.line[b.cut(head, json):])
	b.mu.Unlock()
}

// idle reports whether there is nothing to write records' lines to.
func (b *Buffer) idle() bool { return b == nil || b.discard && b.also == nil }

// Tee has each record's line go to another buffer too, of another log, which is released with b. It is for the goroutine that records.
func (b *Buffer) Tee(to *Buffer) {
	for b.also != nil {
		b = b.also
	}
	b.also = to
}

// Needs reports whether records must have any of what n says. It is for the goroutine that calls SetFormat, if any does. A
// nil Buffer and one of a log to /dev/null need nothing.
func (b *Buffer) Needs(n logformat.Need) bool {
	return !b.idle() && b.format.Needs(n)
}

// SentFields answers the names of the response fields that records are asked for, likewise. It is not to be changed.
func (b *Buffer) SentFields() []string {
	if b.idle() {
		return nil
	}
	return b.format.SentFields()
}

// SetFormat has later lines expanded from f.
func (b *Buffer) SetFormat(f *logformat.Format) {
	b.mu.Lock()
	b.format = f
	b.mu.Unlock()
}

// Release says that the producer is done with the buffer, which another may get then. Its lines are still written. On a nil Buffer
// it does nothing.
func (b *Buffer) Release() {
	for b != nil {
		next := b.also
		b.also = nil
		b.log.mu.Lock()
		b.log.unused = append(b.log.unused, b)
		b.log.mu.Unlock()
		b = next
	}
}

// write appends p, made into whole lines, and tells whether there was room.
func (b *Buffer) write(p []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p[len(p)-1] != '\n' {
		b.line = append(append(b.line[:0], p...), '\n')
		p = b.line
	}
	return b.put(p)
}

// put appends whole lines if they fit, and sees to it that they will be written. b.mu is held.
func (b *Buffer) put(lines []byte) bool {
	before := len(b.lines)
	after := before + len(lines)
	if b.closed || after > b.limit {
		b.log.lose(bytes.Count(lines, newline))
		return false
	}
	b.lines = append(b.lines, lines...)
	if half := b.limit / 2; before < half && after >= half {
		b.log.hurry()
	}
	b.log.arm()
	return true
}

// take answers the waiting lines and leaves the spare slice in their place; give returns the slice when it is written.
func (b *Buffer) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines, b.spare = b.spare, nil
	return lines
}

func (b *Buffer) give(lines []byte) {
	b.mu.Lock()
	b.spare = lines[:0]
	b.mu.Unlock()
}

// close makes the buffer refuse lines from now on.
func (b *Buffer) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
}
