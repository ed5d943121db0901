package service

import (
	"sync"
	"time"

	"kroxy-ev/engine/metrics"
)

// recentTime is the least time that recent covers, if there was a reading that long ago. With frequent readings it covers at most twice as much.
const recentTime = 30 * time.Second

// recent gives recent latencies, because percentiles since the start hardly move any more. It remembers the state of the
// histograms at a reading, so it costs nothing without readers. The first reading after a pause covers the time since the last one before it.
type recent struct {
	mu           sync.Mutex
	before, last histogramState // before: what readings are compared with now; last: what they will be compared with later
}

// histogramState is the state of the histograms at a time; the zero value is the start of the program.
type histogramState struct {
	at    time.Time
	marks map[metrics.Series]metrics.Mark
}

// recentView is one reading of all histograms.
type recentView struct {
	*recent
	remembers bool
}

// view begins a reading of all histograms, which the caller must end.
func (r *recent) view(now time.Time) recentView {
	r.mu.Lock()
	if now.Sub(r.last.at) < recentTime {
		return recentView{r, false}
	}
	r.before, r.last = r.last, histogramState{now, make(map[metrics.Series]metrics.Mark)}
	return recentView{r, true}
}

// of returns what was added to h, the histogram of series s, in the covered time.
func (l recentView) of(s metrics.Series, h *metrics.Histogram) *metrics.Histogram {
	if l.remembers {
		l.last.marks[s] = h.Mark()
	}
	return h.Since(l.before.marks[s])
}

// end ends the reading, and returns the beginning of the covered time: started, if that is all time.
func (l recentView) end(started time.Time) time.Time {
	defer l.mu.Unlock()
	if l.before.at.IsZero() {
		return started
	}
	return l.before.at
}
