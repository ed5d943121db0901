package supervise

import "time"

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// backoff determines the pause before a slot's next process: none the first time, then 100 ms, doubling up to 10 s.
// So a process that ends at once is started 8 times in the first 10 s: at 0, 0, 0.1, 0.3, 0.7, 1.5, 3.1 and 6.3 s.
// The zero value is for a slot whose processes have not failed.
type backoff struct {
	failed bool
	pause  time.Duration
}

// next returns the pause after a process that ended unasked. If that process was healthy, earlier failures are forgotten.
func (b *backoff) next(healthy bool) time.Duration {
	switch {
	case !b.failed || healthy:
		*b = backoff{failed: true}
	case b.pause == 0:
		b.pause = firstPause
	default:
		b.pause = min(2*b.pause, lastPause)
	}
	return b.pause
}
