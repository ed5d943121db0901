// Package loglimit keeps repeated messages, which traffic can cause, from filling a log. It writes the first message of a kind at once, counts
// those after it, and writes a summary at intervals, with the latest of them.
//
// It wraps a slog.Handler. It neither formats nor writes, and knows nothing of who logs.
package loglimit

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// firstInterval is how long messages are counted after the first of a kind. Each further interval, while messages of the kind
	// keep coming, is twice as long,
	firstInterval = 10 * time.Second
	// but at most this long.
	maxInterval = time.Minute
	// grain is the precision of the time that a summary covers.
	grain = 100 * time.Millisecond
	// maxClasses bounds the number of classes. Messages of further classes count as one class.
	maxClasses = 64
	// maxDetails bounds the kinds in a class, because peers may invent errors and names. Further kinds count as the last one.
	maxDetails = 8
)

var (
	// classing are the attributes that distinguish classes of records with the same message.
	classing = []string{"reason", "group", "host", "address"}
	// detailing are the attributes that distinguish kinds within a class.
	detailing = []string{"error", "name"}
)

// Handler passes records on to another handler: the first of each kind, and then a summary of the others at intervals. Two
// records are of the same class if level, message, and the attributes reason, group, host and address are equal. They are of the
// same kind if their error and name are also equal. Records below slog.LevelInfo, which are written only if
// debugging is enabled, are passed on unchanged.
type Handler struct {
	next    slog.Handler
	table   *table
	counted func() // may be nil
}

// table holds the kinds of recent records, for a handler and those derived from it.
type table struct {
	mu      sync.Mutex
	classes map[string][]*kind // none is empty
	class   []byte             // of the current record; scratch memory
	detail  []byte             // of the current record; scratch memory
	timer   *time.Timer
	armed   time.Time // when the timer will call sweep; zero if it will not
	closed  bool
}

// kind is a set of similar records.
type kind struct {
	detail   string
	interval time.Duration
	begin    time.Time // of the current interval
	due      time.Time // the end of the interval
	more     int       // records counted in the interval
	last     slog.Record
	next     slog.Handler // the handler for last
}

// New makes a handler in front of next. counted, which may be nil, is called for each record that is counted instead of passed on, by the
// goroutine that logs; it must not block. Close the handler when nothing logs to it any more.
func New(next slog.Handler, counted func()) *Handler {
	return &Handler{next: next, table: &table{classes: make(map[string][]*kind)}, counted: counted}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler. These attributes do not distinguish kinds.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs), table: h.table, counted: h.counted}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), table: h.table, counted: h.counted}
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && h.table.counts(r, h.next) {
		if h.counted != nil {
			h.counted()
		}
		return nil
	}
	return h.next.Handle(ctx, r)
}

// Forget writes the outstanding summaries, and then passes on the next record of each kind: the reader has not
// seen the earlier ones.
func (h *Handler) Forget() { h.table.forget(false) }

// Close writes the outstanding summaries. From then on, everything is passed on.
func (h *Handler) Close() { h.table.forget(true) }

func (t *table) forget(last bool) {
	var late []func()
	t.mu.Lock()
	now := time.Now()
	t.closed = t.closed || last
	for _, kinds := range t.classes {
		for _, k := range kinds {
			if k.more > 0 {
				late = append(late, k.summary(now))
			}
		}
	}
	clear(t.classes)
	if t.timer != nil {
		t.timer.Stop()
	}
	t.armed = time.Time{} // a sweep that has begun finds nothing
	t.mu.Unlock()
	for _, say := range late {
		say()
	}
}

// counts counts a record if there was one of its kind recently; otherwise it returns false, and the record must be written.
func (t *table) counts(r slog.Record, next slog.Handler) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	now := time.Now()
	if k := t.find(r, now); k != nil {
		k.more++
		k.last, k.next = r.Clone(), next
		return true
	}
	t.arm(now.Add(firstInterval))
	return false
}

// find returns the record's kind. If it is new, find adds it, begins its interval, and returns nil.
func (t *table) find(r slog.Record, now time.Time) *kind {
	t.class, t.detail = append(strconv.AppendInt(t.class[:0], int64(r.Level), 10), r.Message...), t.detail[:0]
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case slices.Contains(classing, a.Key):
			t.class = append(append(t.class, 0), a.Value.String()...)
		case slices.Contains(detailing, a.Key):
			t.detail = append(append(t.detail, 0), a.Value.String()...)
		}
		return true
	})
	kinds, known := t.classes[string(t.class)]
	if !known && len(t.classes) >= maxClasses {
		t.class = t.class[:0]
		kinds = t.classes[""]
	}
	for _, k := range kinds {
		if k.detail == string(t.detail) {
			return k
		}
	}
	if len(kinds) >= maxDetails {
		return kinds[len(kinds)-1]
	}
	t.classes[string(t.class)] = append(kinds, &kind{detail: string(t.detail), interval: firstInterval, begin: now, due: now.Add(firstInterval)})
	return nil
}

// arm schedules sweep at the given time or earlier.
func (t *table) arm(at time.Time) {
	switch {
	case !t.armed.IsZero() && !at.Before(t.armed):
		return
	case t.timer == nil:
		t.timer = time.AfterFunc(time.Until(at), t.sweep)
	default:
		t.timer.Reset(time.Until(at))
	}
	t.armed = at
}

// sweep writes the summaries of the intervals that are over, and removes kinds without new records.
func (t *table) sweep() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	var late []func()
	now := time.Now()
	soonest := now.Add(maxInterval)
	for class, kinds := range t.classes {
		kept := kinds[:0]
		for _, k := range kinds {
			if !k.due.After(now) {
				if k.more == 0 {
					continue
				}
				late = append(late, k.summary(now))
				k.interval = min(2*k.interval, maxInterval)
				k.begin, k.due = now, now.Add(k.interval)
			}
			kept = append(kept, k)
			if k.due.Before(soonest) {
				soonest = k.due
			}
		}
		clear(kinds[len(kept):])
		if t.classes[class] = kept; len(kept) == 0 {
			delete(t.classes, class)
		}
	}
	if t.armed = (time.Time{}); len(t.classes) > 0 {
		t.arm(soonest)
	}
	t.mu.Unlock()
	for _, say := range late {
		say()
	}
}

// summary resets the count, and returns a function that writes the summary.
func (k *kind) summary(now time.Time) func() {
	r := slog.NewRecord(now, k.last.Level, k.last.Message+", and "+thousands(k.more)+" more like it", 0)
	k.last.Attrs(func(a slog.Attr) bool {
		r.AddAttrs(a)
		return true
	})
	r.AddAttrs(slog.Duration("within", max(now.Sub(k.begin).Round(grain), grain)))
	next := k.next
	k.more, k.last, k.next = 0, slog.Record{}, nil
	return func() { _ = next.Handle(context.Background(), r) }
}

// thousands formats n with a comma between groups of three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
