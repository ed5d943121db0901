package engine

import "slices"

// Listeners are the open listeners of a server. The zero value has none.
type Listeners struct{ list []*Listener }

// Open adds the listener that NewListener makes.
func (s *Listeners) Open(loop *Loop, fd int, o ListenerOptions) (*Listener, error) {
	l, err := NewListener(loop, fd, o)
	if err == nil {
		s.list = append(slices.DeleteFunc(s.list, func(l *Listener) bool { return !l.Open() }), l)
	}
	return l, err
}

// Close closes all of them.
func (s *Listeners) Close() {
	for _, l := range s.list {
		l.Close()
	}
	s.list = nil
}
