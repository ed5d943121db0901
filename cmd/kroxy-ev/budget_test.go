package main

import (
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"kroxy-ev/engine"
)

func TestFileBudget(t *testing.T) {
	t.Parallel()
	for _, files := range []int{16, 48, 128, 1024, 20_000, 1 << 20, 1 << 24} {
		for _, reactors := range []int{1, 2, 8} {
			for _, limit := range []int{0, 1, 1000, 1 << 30} {
				for _, keep := range []int{0, 64, 1 << 40} {
					b := fileBudget(files, reactors, limit, keep)
					if b.connections < 1 || limit > 0 && b.connections > limit || b.idle > keep || b.idle < 0 {
						t.Errorf("%d files, %d reactors, limit %d, keep %d: %+v", files, reactors, limit, keep, b)
					}
					// A reactor has an epoll set, a timer, a wake-up and a listening socket of its own.
					if used := 2*b.connections + (2*b.pipes+b.idle+2*b.spent+4)*reactors; files >= 128 && used > files-16 {
						t.Errorf("%d files, %d reactors, limit %d, keep %d: %d files are given away", files, reactors, limit, keep, used)
					}
				}
			}
		}
	}
	if b := fileBudget(1<<20, 1, 0, 64); b.connections < 500_000 || b.pipes != maxPipes || b.idle != 64 {
		t.Errorf("a million files give %+v", b)
	}
}

func TestPauseLogIsQuiet(t *testing.T) {
	t.Parallel()
	for reason, remedy := range map[error]string{engine.ErrLimit: "raise max_connections", syscall.EMFILE: "raise the limit on open files"} {
		var out strings.Builder
		p := pauseLog{log: slog.New(slog.NewTextHandler(&out, nil)), limit: 7}
		for range 1000 {
			p.report(reason)
		}
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines for 1000 pauses, want 1", n)
		}
		for _, part := range []string{remedy, "max_connections=7", reason.Error()} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("the line lacks %q: %s", part, out.String())
			}
		}
		p.last = p.last.Add(-quietPauses)
		if p.report(errors.New("again")); strings.Count(out.String(), "\n") != 2 || !strings.Contains(out.String(), "pauses=1000") {
			t.Errorf("the next line does not tell of the 1000 pauses since: %s", out.String())
		}
	}
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 999.6: "1.0 kB", 1500: "1.5 kB", 104857600: "104.9 MB", 5e12: "5000.0 GB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%v) = %q, want %q", n, got, want)
		}
	}
}
