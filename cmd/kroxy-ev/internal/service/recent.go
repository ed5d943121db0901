package service

import (
	"sync"
	"time"

	"kroxy-ev/engine/metrics"
)

// recentTime is the least time that recent covers, if there was a look that long ago. With frequent looks it covers at most twice as much.
const recentTime = 30 * time.Second

// recent gives the latencies of the last while, because percentiles since the start hardly move any more. It remembers the state of the
// histograms at a look, so it costs nothing while nobody looks. The first look after a pause covers the time since the look before the pause.
type recent struct {
	mu           sync.Mutex
	before, last moment // before: what looks are compared with now; last: what they will be compared with later
}

// moment is the state of the histograms at a time; the zero value is the start of the program.
type moment struct {
	at    time.Time
	marks map[metrics.Series]metrics.Mark
}

// look is one look at all histograms.
type look struct {
	*recent
	remembers bool
}

// look begins a look, which the caller must end.
func (r *recent) look(now time.Time) look {
	r.mu.Lock()
	if now.Sub(r.last.at) < recentTime {
		return look{r, false}
	}
	r.before, r.last = r.last, moment{now, make(map[metrics.Series]metrics.Mark)}
	return look{r, true}
}

// of returns what was added to h, the histogram of series s, in the covered time.
func (l look) of(s metrics.Series, h *metrics.Histogram) *metrics.Histogram {
	if l.remembers {
		l.last.marks[s] = h.Mark()
	}
	return h.Since(l.before.marks[s])
}

// end ends the look, and returns the beginning of the covered time: started, if that is all time.
func (l look) end(started time.Time) time.Time {
	defer l.mu.Unlock()
	if l.before.at.IsZero() {
		return started
	}
	return l.before.at
}
