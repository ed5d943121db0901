package engine

import "sync/atomic"

// Limit bounds, over all loops of a process, the connections of clients and the descriptors for them. A connection counts as two descriptors:
// its own and one for a host. Each further concurrent request on it, such as a stream of HTTP/2, counts as one. The zero value
// lets nothing in; a nil *Limit lets everything in.
type Limit struct {
	max     atomic.Int64 // connections
	files   atomic.Int64 // descriptors
	held    atomic.Int64 // connections
	further atomic.Int64 // further requests, see share
}

// NewLimit returns a limit of n connections and 2*n descriptors.
func NewLimit(n int) *Limit {
	l := &Limit{}
	l.Set(n, 2*n)
	return l
}

// Set changes the limit. Connections and requests beyond it stay; new ones are refused until there is room.
func (l *Limit) Set(connections, files int) {
	l.max.Store(int64(connections))
	l.files.Store(int64(files))
}

// acquire takes a place for a connection, if there is one.
func (l *Limit) acquire() bool {
	if l == nil {
		return true
	}
	if held := l.held.Add(1); held > l.max.Load() || 2*held+l.further.Load() > l.files.Load() {
		l.held.Add(-1)
		return false
	}
	return true
}

// share takes a place for a further request on a connection. A quarter of the descriptors is reserved for connections, so that new clients are
// served whatever the others do on theirs.
func (l *Limit) share() bool {
	if l == nil {
		return true
	}
	if n := l.further.Add(1) + 2*l.held.Load(); 4*n > 3*l.files.Load() {
		l.further.Add(-1)
		return false
	}
	return true
}

// crowded reports whether more than three quarters of the connections are in use.
func (l *Limit) crowded() bool { return l != nil && 4*l.held.Load() > 3*l.max.Load() }

func (l *Limit) release() {
	if l != nil {
		l.held.Add(-1)
	}
}

// unshare gives back a place from share.
func (l *Limit) unshare() {
	if l != nil {
		l.further.Add(-1)
	}
}
