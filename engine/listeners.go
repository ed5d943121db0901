package engine

import "slices"

// Listeners holds the open listeners of a server. The zero value is empty.
type Listeners struct{ list []*Listener }

// Open makes a listener as NewListener does, and adds it.
func (s *Listeners) Open(loop *Loop, fd int, o ListenerOptions) (*Listener, error) {
	l, err := NewListener(loop, fd, o)
	if err == nil {
		s.list = append(slices.DeleteFunc(s.list, func(l *Listener) bool { return !l.Open() }), l)
	}
	return l, err
}

// Close closes all listeners.
func (s *Listeners) Close() {
	for _, l := range s.list {
		l.Close()
	}
	s.list = nil
}
