package httpcodec

import (
	"reflect"
	"testing"
)

// The size of an idle client. The limit is a size class of Go's allocator (runtime/sizeclasses.go): one byte more costs 32 more
// per connection.
func TestSizes(t *testing.T) {
	t.Parallel()
	const most = 288
	if got := reflect.TypeFor[h1client]().Size(); got > most {
		t.Errorf("a client has %d bytes, want %d at most", got, most)
	}
}
