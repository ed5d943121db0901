// Package loglimit keeps log lines that traffic can repeat from filling a log: the first of a kind is written at once, those
// after it are counted, and how many there were is said at intervals, with the latest of them.
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
	// firstInterval is how long after the first line of a kind the further ones are counted; each further interval of a kind
	// that goes on is twice as long,
	firstInterval = 10 * time.Second
	// but no longer than this.
	maxInterval = time.Minute
	// grain is how exactly it is said within which time lines came.
	grain = 100 * time.Millisecond
	// maxClasses bounds the classes that are told apart. Lines of further ones are taken for one class.
	maxClasses = 64
	// maxDetails bounds what is told apart in a class: peers may make up errors and names. Further ones are taken for the last.
	maxDetails = 8
)

var (
	// classing are the attributes that make lines with the same message lines of different classes.
	classing = []string{"reason", "group", "host", "address"}
	// detailing are those that make lines of one class lines of different kinds.
	detailing = []string{"error", "name"}
)

// Handler passes records on to another handler: of each kind the first, and then a summary of the others at intervals. Two
// records are of one kind if they are of one class, which is to say that level, message, and the attributes reason, group,
// host and address are equal, and have the same error and name. Records below slog.LevelInfo, which are written only where
// somebody asks for all, are passed on as they are.
type Handler struct {
	next    slog.Handler
	table   *table
	counted func() // nil: nobody wants to know
}

// table is the kinds of which a line was written lately, for a handler and those derived from it.
type table struct {
	mu      sync.Mutex
	classes map[string][]*kind // none is empty
	class   []byte             // of the record that is being looked at
	detail  []byte             // of that
	timer   *time.Timer
	armed   time.Time // when the timer calls sweep; zero: it will not
	closed  bool
}

// kind is lines that are alike.
type kind struct {
	detail   string
	interval time.Duration
	begin    time.Time // of the interval
	due      time.Time // when it is over
	more     int       // lines that were counted in it
	last     slog.Record
	next     slog.Handler // for last
}

// New makes a handler before next. Counted, which may be nil, is called for each record that is not passed on but counted, by whoever logs;
// it must not block. Close the handler when nothing is logged by it any more.
func New(next slog.Handler, counted func()) *Handler {
	return &Handler{next: next, table: &table{classes: make(map[string][]*kind)}, counted: counted}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler. The attributes do not make a different kind of line.
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

// Forget says how many lines were counted and not spoken of, and writes the next line of each kind: the reader has not
// seen the earlier ones.
func (h *Handler) Forget() { h.table.forget(false) }

// Close says how many lines were counted and not spoken of. Everything is passed on from now on.
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

// counts counts a record of which there was one of its kind lately; it reports false if the record is to be written.
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

// find returns the record's kind, or makes one, whose interval begins now, and returns nil.
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

// arm has sweep called at a time, or sooner.
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

// sweep says how many lines were counted in the intervals that are over, and forgets the kinds of which there were none.
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

// summary takes what was counted until now, and returns what writes it.
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

// thousands writes n with a comma before each three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
