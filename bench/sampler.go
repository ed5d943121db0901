package bench

import (
	"slices"
	"time"
)

const (
	sliceLength = 100 * time.Millisecond
	// Chosen empirically: most slices had a wait of 0.1 to 0.4 ms and a p99 of 0.1 to 0.2 ms; nearly all with a wait of 1 ms or more had a p99 of
	// 0.5 ms or
	// much more.
	mostKept = sliceLength / 200
	// One iteration of the load's loop, which never sleeps, has at most some 128 events to handle: an estimated 0.5 ms.
	longestRound = time.Millisecond
)

// sampler collects times in slices of the measurement. With a gauge, it leaves out the slices in which another program had the proxy's CPU or the
// load's, and the slices right after them, into which the delays reach: those times are due to other programs. Delays caused by the proxy itself
// stay in.
type sampler struct {
	gauge *gauge // nil: all slices count

	times    []time.Duration // of the slices that count
	current  []time.Duration // of the current slice
	begin    time.Duration   // of the current slice
	last     time.Duration   // last tick
	stalled  bool            // the load was stalled during the current slice
	wasQuiet bool            // the previous slice was quiet
	slices   int             // number of finished slices
	counted  int             // number of those that count
}

// newSampler makes a sampler with room for n times.
func newSampler(g *gauge, n int) *sampler {
	return &sampler{gauge: g, times: make([]time.Duration, 0, n), wasQuiet: true}
}

func (s *sampler) add(d time.Duration) { s.current = append(s.current, d) }

// tick is called in each iteration of the load's loop with the time since the beginning.
func (s *sampler) tick(now time.Duration) {
	if now-s.last > longestRound {
		s.stalled = true
	}
	s.last = now
	if now-s.begin >= sliceLength {
		s.endSlice(now)
	}
}

// endSlice decides whether the current slice counts.
func (s *sampler) endSlice(now time.Duration) {
	quiet := true
	if s.gauge != nil {
		quiet = s.gauge.kept() <= mostKept && !s.stalled
	}
	s.slices++
	if quiet && s.wasQuiet {
		s.counted++
		s.times = append(s.times, s.current...)
	}
	s.current, s.begin, s.stalled, s.wasQuiet = s.current[:0], now, false, quiet
}

// enough reports whether slices worth d count.
func (s *sampler) enough(d time.Duration) bool { return time.Duration(s.counted)*sliceLength >= d }

// percentiles returns the median and the 99th percentile of all times that count.
func (s *sampler) percentiles() (p50, p99 time.Duration) {
	slices.Sort(s.times)
	return percentile(s.times, 0.50), percentile(s.times, 0.99)
}

// percentile returns the value below which the share q of sorted lies (nearest rank); 0 if sorted is empty.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
