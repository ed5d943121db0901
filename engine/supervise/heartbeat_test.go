package supervise

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPulse(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, test := range map[string]struct {
		counts []uint64
		since  []time.Duration
		want   []time.Duration
	}{
		"beats":                  {[]uint64{1, 2, 3}, []time.Duration{s, s, s}, []time.Duration{0, 0, 0}},
		"falls silent":           {[]uint64{1, 1, 1, 1}, []time.Duration{s, s, s, s}, []time.Duration{0, s, 2 * s, 3 * s}},
		"comes back":             {[]uint64{1, 1, 2, 2}, []time.Duration{s, s, s, s}, []time.Duration{0, s, 0, s}},
		"never beat":             {[]uint64{0, 0}, []time.Duration{s, s}, []time.Duration{s, 2 * s}},
		"a successor's is lower": {[]uint64{9, 1, 1}, []time.Duration{s, s, s}, []time.Duration{0, 0, s}},
		"the master was stopped": {[]uint64{1, 1, 2}, []time.Duration{s, 3600 * s, s}, []time.Duration{0, 2 * s, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var p pulse
			for i, n := range test.counts {
				if got := p.look(n, test.since[i], 2*s); got != test.want[i] {
					t.Fatalf("look %d: silent for %v, want %v", i+1, got, test.want[i])
				}
			}
		})
	}
}

func TestBeatIsSeenAndFree(t *testing.T) {
	h, err := newHeartbeats()
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	theirs, err := mapHeartbeats(int(h.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(theirs.mem)
	w := Worker{Slot: MaxWorkers - 1, beats: theirs.of(MaxWorkers - 1)}
	if n := testing.AllocsPerRun(100, w.Beat); n != 0 {
		t.Errorf("Beat allocates %v times", n)
	}
	if n := h.of(MaxWorkers - 1).Load(); n != 101 {
		t.Errorf("the master sees %d beats, want 101", n)
	}
	if n := h.of(MaxWorkers - 2).Load(); n != 0 {
		t.Errorf("another slot has %d beats", n)
	}
}

// A worker must not be able to truncate the memory that its master reads.
func TestHeartbeatsCannotBeTruncated(t *testing.T) {
	t.Parallel()
	h, err := newHeartbeats()
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if err := h.file.Truncate(0); err == nil {
		t.Error("the memory was truncated")
	}
}

func TestStateString(t *testing.T) {
	t.Parallel()
	for s, want := range map[State]string{Starting: "starting", Serving: "serving", Draining: "draining", Gone: "gone", 9: "state 9"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d) = %q, want %q", s, got, want)
		}
	}
}

func BenchmarkBeat(b *testing.B) {
	h, err := newHeartbeats()
	if err != nil {
		b.Fatal(err)
	}
	defer h.close()
	w := Worker{beats: h.of(0)}
	for b.Loop() {
		w.Beat()
	}
}
