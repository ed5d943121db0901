package engine

import "sync/atomic"

// Limit bounds what the clients of a process take, over all its loops: connections, and descriptors. A connection takes two, its own and that of
// one to a host, and each further request one that is under way on it beside the first, as streams of HTTP/2 are. The zero value lets
// nothing in; a nil *Limit lets everything in.
type Limit struct {
	max    atomic.Int64 // connections
	files  atomic.Int64 // descriptors
	held   atomic.Int64 // connections
	beside atomic.Int64 // further requests
}

// NewLimit returns a limit of n connections, and the descriptors that they take.
func NewLimit(n int) *Limit {
	l := &Limit{}
	l.Set(n, 2*n)
	return l
}

// Set makes the limit so many connections, and descriptors. What is beyond it stays; as much less comes in.
func (l *Limit) Set(connections, files int) {
	l.max.Store(int64(connections))
	l.files.Store(int64(files))
}

// acquire lets a connection in, if there is a place for it.
func (l *Limit) acquire() bool {
	if l == nil {
		return true
	}
	if held := l.held.Add(1); held > l.max.Load() || 2*held+l.beside.Load() > l.files.Load() {
		l.held.Add(-1)
		return false
	}
	return true
}

// share lets a further request of a connection in. A quarter of the descriptors is for connections only: whoever comes is served, whatever
// others do on theirs.
func (l *Limit) share() bool {
	if l == nil {
		return true
	}
	if n := l.beside.Add(1) + 2*l.held.Load(); 4*n > 3*l.files.Load() {
		l.beside.Add(-1)
		return false
	}
	return true
}

// crowded reports whether more than three quarters of the connections are there.
func (l *Limit) crowded() bool { return l != nil && 4*l.held.Load() > 3*l.max.Load() }

func (l *Limit) release() {
	if l != nil {
		l.held.Add(-1)
	}
}

// unshare says that a further request is over.
func (l *Limit) unshare() {
	if l != nil {
		l.beside.Add(-1)
	}
}
