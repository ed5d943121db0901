package engine

import "sync/atomic"

// Limit bounds the client connections of a process, over all its loops. The zero value lets nothing in; a nil *Limit
// lets everything in.
type Limit struct {
	max  atomic.Int64
	held atomic.Int64
}

// NewLimit returns a limit of n connections.
func NewLimit(n int) *Limit {
	l := &Limit{}
	l.Set(n)
	return l
}

// Set makes the limit n connections. Those beyond it stay; as many fewer come in.
func (l *Limit) Set(n int) { l.max.Store(int64(n)) }

// acquire takes a place, if there is one.
func (l *Limit) acquire() bool {
	if l == nil {
		return true
	}
	if l.held.Add(1) > l.max.Load() {
		l.held.Add(-1)
		return false
	}
	return true
}

// crowded reports whether more than three quarters of the places are taken.
func (l *Limit) crowded() bool { return l != nil && 4*l.held.Load() > 3*l.max.Load() }

func (l *Limit) release() {
	if l != nil {
		l.held.Add(-1)
	}
}
