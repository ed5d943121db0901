package streamcodec

import (
	"reflect"
	"testing"
)

// An idle session is one Session. Its bound is a size class of Go's allocator (runtime/sizeclasses.go): a byte more is 64 more for each
// connection.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		is   reflect.Type
		most uintptr
	}{
		{reflect.TypeFor[Session](), 640},
		{reflect.TypeFor[Half](), 120},
	} {
		if got := s.is.Size(); got > s.most {
			t.Errorf("%v has %d bytes, want %d at most", s.is, got, s.most)
		}
	}
}
