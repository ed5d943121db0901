package engine_test

import (
	"reflect"
	"testing"

	"kroxy-ev/engine"
)

// Every connection has one or two of these, whatever it does.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		is   reflect.Type
		most uintptr
	}{
		{reflect.TypeFor[engine.Conn](), 48},
		{reflect.TypeFor[engine.Timer](), 48},
	} {
		if got := s.is.Size(); got > s.most {
			t.Errorf("%v has %d bytes, want %d at most", s.is, got, s.most)
		}
	}
}
