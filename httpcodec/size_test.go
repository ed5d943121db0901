package httpcodec

import (
	"reflect"
	"testing"
)

// An idle client is one client. Its bound is a size class of Go's allocator (runtime/sizeclasses.go): a byte more is 32 more for each
// connection.
func TestSizes(t *testing.T) {
	t.Parallel()
	const most = 288
	if got := reflect.TypeFor[h1client]().Size(); got > most {
		t.Errorf("a client has %d bytes, want %d at most", got, most)
	}
}
