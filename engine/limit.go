package engine

import "sync/atomic"

// Limit bounds the client connections of a process, over all its loops. The zero value lets nothing in; a nil *Limit
// lets everything in.
type Limit struct {
	max  int64
	held atomic.Int64
}

// NewLimit returns a limit of n connections.
func NewLimit(n int) *Limit { return &Limit{max: int64(n)} }

// Max is the limit in connections; zero for a nil Limit.
func (l *Limit) Max() int {
	if l == nil {
		return 0
	}
	return int(l.max)
}

// acquire takes a place, if there is one.
func (l *Limit) acquire() bool {
	if l == nil {
		return true
	}
	if l.held.Add(1) > l.max {
		l.held.Add(-1)
		return false
	}
	return true
}

func (l *Limit) release() {
	if l != nil {
		l.held.Add(-1)
	}
}
