package streamcodec

import (
	"testing"
	"time"
)

// A peer that acknowledges nothing more is waited for until the timeout expires, or a minute if that is shorter.
func TestFlushIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ timeout, want time.Duration }{
		{0, time.Minute}, {time.Second, time.Second}, {time.Minute, time.Minute}, {time.Hour, time.Minute},
	} {
		f := Flush{left: 10, since: 1000}
		f.over(2000, 5, c.timeout) // progress
		last := 2000 + c.want.Milliseconds()
		if f.over(last-1, 5, c.timeout) || !f.over(last, 5, c.timeout) {
			t.Errorf("with a timeout of %v the wait does not end after %v", c.timeout, c.want)
		}
	}
	if f := (Flush{left: 10}); !f.over(0, 0, 0) {
		t.Error("a peer that has confirmed everything is waited for")
	}
}
