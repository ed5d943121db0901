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

	mu     sync.Mutex
	closed bool
	lines  []byte // whole lines that wait
	line   []byte // scratch for the line being made; of a format's buffer the first stampLen bytes are always second's stamp
	iso    []byte // second as $time_iso8601
	second int64  // Unix time
	spare  []byte // the slice that lines is swapped with; nil while it is being written
}

// Record appends a line to the buffer: the time in UTC, unless the format is JSON, the expanded format, a newline. It does no
// I/O and, once the buffer has grown to what the traffic needs, does not allocate. When the line does not fit, it is
// counted as lost. It sets r's Time. On a nil Buffer, and one of a log to /dev/null, it does nothing.
func (b *Buffer) Record(r *logformat.Record) {
	if b == nil || b.discard {
		return
	}
	b.mu.Lock()
	now := time.Now()
	if sec := now.Unix(); sec != b.second || len(b.line) < stampLen {
		now = now.UTC()
		b.line = now.AppendFormat(b.line[:0], stampLayout)
		b.iso = now.AppendFormat(b.iso[:0], logformat.TimeISO8601)
		b.second = sec
	}
	r.Time = b.iso
	b.line = append(b.format.Append(b.line[:stampLen], r), '\n')
	line := b.line
	if b.format.JSON() {
		line = line[stampLen:]
	}
	b.put(line)
	b.mu.Unlock()
}

// Needs reports whether records must have any of what n says. It is for the goroutine that calls SetFormat, if any does. A
// nil Buffer and one of a log to /dev/null need nothing.
func (b *Buffer) Needs(n logformat.Need) bool {
	return b != nil && !b.discard && b.format.Needs(n)
}

// SentFields answers the names of the response fields that records are asked for, likewise. It is not to be changed.
func (b *Buffer) SentFields() []string {
	if b == nil || b.discard {
		return nil
	}
	return b.format.SentFields()
}

// Log is the log that the buffer's lines go to; nil of a nil Buffer.
func (b *Buffer) Log() *Log {
	if b == nil {
		return nil
	}
	return b.log
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
	if b == nil {
		return
	}
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	b.log.unused = append(b.log.unused, b)
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
