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

// Buffer holds the lines of one producer, an event loop, until the log's goroutine takes them. It is safe for concurrent
// use, but meant for one goroutine: then its mutex is contended only for the moment in which the lines are taken.
type Buffer struct {
	log     *Log
	format  *logformat.Format // nil if nothing is recorded
	limit   int               // maximum size of lines, in bytes
	discard bool
	also    *Buffer // a buffer of another log that gets the same lines; nil for none

	mu     sync.Mutex
	closed bool
	lines  []byte // waiting lines
	line   []byte // scratch for the current line; for records, the first stampLen bytes are the stamp of second, unless the log has a header
	iso    []byte // second as $time_iso8601
	second int64  // Unix time
	spare  []byte // the slice that lines is swapped with; nil while it is being written
}

// Record appends a line to the buffer: the time in UTC, unless the format is JSON, then the expanded format and a newline. It does no
// I/O and, once the buffer has grown to the size that the traffic needs, does not allocate. A line that does not fit is
// counted as lost. Record sets r.Time. On a nil Buffer, or one whose log is only /dev/null, it does nothing. It reports whether it has made
// a line, even if the line was lost.
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

// begin begins a line with the given time, and returns the length of the beginning. b.mu must be held.
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

// cut returns how many bytes of the line's beginning to leave out: the time, if the line is a JSON object without header.
func (b *Buffer) cut(head int, json bool) int {
	if json && b.log.header == nil {
		return head
	}
	return 0
}

// copy appends a line of another buffer, given without its beginning.
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

// idle reports whether records' lines have no destination.
func (b *Buffer) idle() bool { return b == nil || b.discard && b.also == nil }

// Tee also sends each record's line to another buffer, of another log, which is released together with b. Only the recording goroutine may call it.
func (b *Buffer) Tee(to *Buffer) {
	for b.also != nil {
		b = b.also
	}
	b.also = to
}

// Needs reports whether records need any of the fields in n. Only the goroutine that calls SetFormat, if any, may call it. A
// nil Buffer, or one of a log to /dev/null, needs nothing.
func (b *Buffer) Needs(n logformat.Need) bool {
	return !b.idle() && b.format.Needs(n)
}

// SentFields returns the names of the response fields that records need; the same rules apply. The slice must not be changed.
func (b *Buffer) SentFields() []string {
	if b.idle() {
		return nil
	}
	return b.format.SentFields()
}

// SetFormat sets the format of later lines.
func (b *Buffer) SetFormat(f *logformat.Format) {
	b.mu.Lock()
	b.format = f
	b.mu.Unlock()
}

// Release ends the producer's use of the buffer, so that another producer can get it. Its lines are still written. On a nil Buffer
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

// write appends p, with a final newline if it has none, and reports whether there was room.
func (b *Buffer) write(p []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p[len(p)-1] != '\n' {
		b.line = append(append(b.line[:0], p...), '\n')
		p = b.line
	}
	return b.put(p)
}

// put appends complete lines if they fit, and makes sure that they will be written. b.mu must be held.
func (b *Buffer) put(lines []byte) bool {
	before := len(b.lines)
	after := before + len(lines)
	if b.closed || after > b.limit {
		b.log.lose(bytes.Count(lines, newline))
		return false
	}
	b.lines = append(b.lines, lines...)
	if half := b.limit / 2; before < half && after >= half {
		b.log.flushSoon()
	}
	b.log.arm()
	return true
}

// take returns the waiting lines and replaces them with the spare slice; give returns the slice after it was written.
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
