package http2_test

import (
	"encoding/binary"
	"testing"

	"kroxy-ev/httpcodec/http2"
)

// What an honest peer may do, and what ends the connection.
func TestFlood(t *testing.T) {
	t.Parallel()
	many := func(e http2.Event, n int, every int64) bool {
		var f http2.Flood
		for i := range int64(n) {
			if err := f.Count(e, i*every); err != nil {
				if err.Stream || err.Code != http2.EnhanceYourCalm {
					t.Errorf("event %d ends with %v, of a stream: %v", e, err.Code, err.Stream)
				}
				return false
			}
		}
		return true
	}
	tests := []struct {
		name  string
		event http2.Event
		n     int
		every int64 // ms
		ok    bool
	}{
		{"resets at once", http2.EventReset, 100, 0, true},
		{"more resets at once", http2.EventReset, 101, 0, false},
		{"resets for long", http2.EventReset, 10_000, 31, true},
		{"resets for long, and too often", http2.EventReset, 10_000, 25, false},
		{"empty frames", http2.EventEmpty, 10, 0, true},
		{"more empty frames", http2.EventEmpty, 11, 1000, false},
		{"pings", http2.EventPing, 100, 0, true},
		{"more pings", http2.EventPing, 101, 0, false},
		{"pings for long", http2.EventPing, 10_000, 110, true},
		{"settings", http2.EventSettings, 50, 0, true},
		{"more settings", http2.EventSettings, 51, 0, false},
		{"others", http2.EventOther, 1000, 0, true},
		{"more others", http2.EventOther, 1001, 0, false},
	}
	for _, tt := range tests {
		if got := many(tt.event, tt.n, tt.every); got != tt.ok {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.ok)
		}
	}
	var f http2.Flood
	for range 100 {
		if err := f.Count(http2.EventEmpty, 0); err != nil {
			t.Fatal(err)
		}
		f.Useful()
	}
	for range 1 << 10 { // a stream, and 8 KiB in small pieces
		f.Begun()
		for range 8 {
			f.Sent(1 << 10)
		}
	}
	for i := range 10_000 {
		if err, over := f.Count(http2.EventOther, 0), i >= 1000+1024*(4+2); (err != nil) != over {
			t.Fatalf("after %d windows: %v", i+1, err)
		}
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	w := http2.Window(100)
	if n := w.Room(1000); n != 100 {
		t.Errorf("there is room for %d", n)
	}
	if err := w.Spend(100, false); err != nil || w.Room(1) != 0 {
		t.Errorf("%v, %d", err, w)
	}
	if err := w.Spend(1, false); err == nil || !err.Stream || err.Code != http2.FlowControlError {
		t.Errorf("more than there is: %v", err)
	}
	w = 0
	if err := w.Spend(1, true); err == nil || err.Stream {
		t.Errorf("more than the connection has: %v", err)
	}
	w = 1<<31 - 1
	if err := w.Grow(1, true); err == nil || err.Stream {
		t.Errorf("a window above all, of the connection: %v", err)
	}
	w = 1<<31 - 1
	if err := w.Grow(1, false); err == nil || !err.Stream {
		t.Errorf("a window above all: %v", err)
	}
	w = 10
	if err := w.Grow(-30, false); err != nil || w.Room(5) != 0 { // settings may cause that
		t.Errorf("%v, room for %d", err, w.Room(5))
	}
	g := http2.Grant{Size: 100}
	for i, want := range []uint32{0, 60, 0, 55} {
		if got := g.Consumed([]int{40, 20, 5, 50}[i]); got != want {
			t.Errorf("step %d grants %d, want %d", i, got, want)
		}
	}
}

func TestPeerSettings(t *testing.T) {
	t.Parallel()
	set := func(pairs ...uint32) []byte {
		var b []byte
		for i := 0; i < len(pairs); i += 2 {
			b = binary.BigEndian.AppendUint16(b, uint16(pairs[i]))
			b = binary.BigEndian.AppendUint32(b, pairs[i+1])
		}
		return b
	}
	s := http2.NewPeerSettings()
	windows, err := s.Take(set(3, 10, 4, 100, 5, 20000, 6, 5000, 1, 0, 99, 1, 4, 65535+7))
	if err != nil || windows != 7 || s != (http2.PeerSettings{MaxStreams: 10, InitialWindow: 65542, MaxFrame: 20000, MaxHeaderList: 5000}) {
		t.Errorf("%+v, windows by %d, %v", s, windows, err)
	}
	for _, bad := range [][]byte{set(2, 2), set(4, 1<<31), set(5, 16383), set(5, 1<<24)} {
		s := http2.NewPeerSettings()
		if _, err := s.Take(bad); err == nil || err.Stream {
			t.Errorf("%x: %v", bad, err)
		}
	}
}
