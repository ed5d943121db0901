package supervise

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		healthy []bool
		want    []time.Duration
	}{
		"fails at once": {
			make([]bool, 10),
			[]time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10000 * ms, 10000 * ms},
		},
		"healthy before it failed": {[]bool{true, false, false}, []time.Duration{0, 100 * ms, 200 * ms}},
		"recovers":                 {[]bool{false, false, false, true, false, true, true}, []time.Duration{0, 100 * ms, 200 * ms, 0, 100 * ms, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var b backoff
			for i, h := range test.healthy {
				if got := b.next(h); got != test.want[i] {
					t.Fatalf("after failure %d: %v, want %v", i+1, got, test.want[i])
				}
			}
		})
	}
}

// A worker that exits at once is started at most 8 times in 10 s.
func TestBackoffBoundsACrashLoop(t *testing.T) {
	t.Parallel()
	var b backoff
	started, now := 0, time.Duration(0)
	for ; now < 10*time.Second; now += b.next(false) {
		started++
	}
	if started != 8 {
		t.Errorf("%d processes in 10 s, want 8", started)
	}
}
