package service

import (
	"sync"
	"time"

	"kroxy-ev/engine/metrics"
)

// recentTime is how far back recent reaches at least, if there was a look so long ago. If looks follow each other closely it reaches back twice as far at most.
const recentTime = 30 * time.Second

// recent tells how long things took lately: percentiles since the start hardly move any more. It remembers what was in histograms when somebody
// looked. So it costs nothing while nobody looks; the first look after a pause reaches back to the last one before.
type recent struct {
	mu           sync.Mutex
	before, last moment // what looks are compared with now, and what they will be compared with later
}

// moment is what was in histograms at a time; its zero value is the start.
type moment struct {
	at    time.Time
	marks map[metrics.Series]metrics.Mark
}

// look is one look at all histograms.
type look struct {
	*recent
	remembers bool
}

// look begins a look; it is over with end.
func (r *recent) look(now time.Time) look {
	r.mu.Lock()
	if now.Sub(r.last.at) < recentTime {
		return look{r, false}
	}
	r.before, r.last = r.last, moment{now, make(map[metrics.Series]metrics.Mark)}
	return look{r, true}
}

// of is what has come into h, which is of that series.
func (l look) of(s metrics.Series, h *metrics.Histogram) *metrics.Histogram {
	if l.remembers {
		l.last.marks[s] = h.Mark()
	}
	return h.Since(l.before.marks[s])
}

// end ends the look, and returns the beginning of the time that it is of: started, if that is all time.
func (l look) end(started time.Time) time.Time {
	defer l.mu.Unlock()
	if l.before.at.IsZero() {
		return started
	}
	return l.before.at
}
