package streamcodec

import (
	"reflect"
	"testing"
)

// The size of an idle session. The limit is a size class of Go's allocator (runtime/sizeclasses.go): one byte more costs 64
// more per connection.
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
