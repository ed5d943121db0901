package supervise_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// However a worker ends unasked, it is replaced, the replacement has the current plan, and the log says why, once.
func TestRespawn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(pid int) error
		word string
		want string
	}{
		"SIGKILL": {end: func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }, want: "SIGKILL"},
		"SIGTERM": {end: func(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }, want: "SIGTERM"},
		"status":  {word: "die", want: "exit status 9"},
		"left":    {word: "leave", want: "exit status 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(w.plan(2, "a"))
			pid := w.collect(2, "commit a")[1].pid
			if test.end != nil {
				if err := test.end(pid); err != nil {
					t.Fatal(err)
				}
			} else {
				var once atomic.Bool
				if err := w.m.Apply(w.planFor(2, func(slot int) string {
					if slot == 1 && once.CompareAndSwap(false, true) {
						return "b " + test.word
					}
					return "a"
				})); err != nil {
					t.Fatal(err)
				}
			}
			if e := w.await(1, "gone"); e.what != "gone "+test.want || e.pid != pid {
				t.Errorf("%v, want %s of %d", e, test.want, pid)
			}
			w.await(1, "commit a")
			if all := w.m.Workers(); len(all) != 2 || all[0].Restarts != 0 || all[1].Restarts != 1 {
				t.Errorf("after one restart of slot 1: %+v", all)
			}
			var order []string
			for _, e := range w.seen {
				if e.slot == 1 && (e.what == "started" || strings.HasPrefix(e.what, "gone")) {
					order = append(order, strings.Fields(e.what)[0])
				}
			}
			if got := strings.Join(order, " "); got != "started gone started" {
				t.Errorf("slot 1: %s", got)
			}
			line := fmt.Sprintf(`level=ERROR msg="worker ended" slot=1 pid=%d reason="?%s"? restart_in=0s`, pid, test.want)
			if n := strings.Count(strings.ReplaceAll(w.log.String(), `"`, ``), strings.NewReplacer(`"?`, ``, `"`, ``, `?`, ``).Replace(line)); n != 1 {
				t.Errorf("%d times in the log: %s", n, line)
			}
		})
	}
}

// A worker that keeps dying is started after growing pauses; other workers are not affected.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var broken atomic.Bool
	var times []time.Time // of the events in slot 1; read after the master has stopped
	started := w.o.Started
	w.o.Started = func(slot, pid int) {
		if slot == 1 {
			times = append(times, time.Now())
		}
		started(slot, pid)
	}
	w.start(w.planFor(2, func(slot int) string {
		if slot == 1 && broken.Load() {
			return "a die"
		}
		return "a"
	}))
	first := w.collect(2, "commit a")
	broken.Store(true)
	_ = syscall.Kill(first[1].pid, syscall.SIGKILL)
	for range 5 {
		w.await(1, "gone")
	}
	events := w.stop()
	if n := len(times); n < 5 {
		t.Fatalf("%d processes, want 5", n)
	}
	for i, least := range []time.Duration{0, 100, 200, 400} {
		if i == 0 {
			continue
		}
		if pause := times[i+1].Sub(times[i]); pause < least*time.Millisecond {
			t.Errorf("process %d came after %v, want at least %v", i+2, pause, least*time.Millisecond)
		}
	}
	if count(events, "started") != len(times)+1 {
		t.Errorf("the other worker was replaced: %v", events)
	}
}

// A healthy worker resets the pauses.
func TestHealthResetsThePauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.Healthy = time.Nanosecond
	w.start(w.plan(1, "a"))
	for range 5 {
		pid := w.await(0, "commit a").pid
		if err := w.m.Apply(w.plan(1, "a")); err != nil { // when it returns, the master knows that the worker serves
			t.Fatal(err)
		}
		w.await(0, "commit a")
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	w.await(0, "commit a")
	if n := strings.Count(w.log.String(), "restart_in=0s"); n != 5 {
		t.Errorf("%d processes of 5 were replaced at once", n)
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	t.Run("mute", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.start(w.plan(2, "a"))
		p := w.planFor(2, func(slot int) string {
			if slot == 1 {
				return "b mute"
			}
			return "b"
		})
		p.WatchdogTimeout = 4 * time.Second // the other worker may stand still
		if err := w.m.Apply(p); err != nil {
			t.Fatal(err)
		}
		w.await(1, "gone no heartbeat for 4s (SIGKILL)")
		w.await(1, "commit b mute")
		for _, e := range w.stop() {
			if e.slot == 0 && strings.HasPrefix(e.what, "gone") {
				t.Errorf("%v", e)
			}
		}
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := w.plan(2, "a")
		p.WatchdogTimeout = 4 * time.Second
		w.start(p)
		_ = syscall.Kill(w.collect(2, "commit a")[1].pid, syscall.SIGSTOP)
		w.await(1, "gone no heartbeat for 4s (SIGKILL)")
		w.await(1, "commit a")
	})
	t.Run("never serves", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		var hangs atomic.Bool
		w.start(w.planFor(1, func(int) string {
			if hangs.Swap(false) {
				return "a hang-in-prepare"
			}
			return "a"
		}))
		pid := w.await(0, "commit a").pid
		hangs.Store(true)
		_ = syscall.Kill(pid, syscall.SIGKILL)
		w.await(0, "gone not serving after 10s (SIGKILL)")
		w.await(0, "commit a")
	})
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := w.plan(1, "a mute")
		p.WatchdogTimeout = -1
		w.start(p)
		pid := w.await(0, "commit a").pid
		// After two checks it is still there.
		time.Sleep(2500 * time.Millisecond) // no event is expected
		if s := w.m.Workers(); len(s) != 1 || s[0].PID != pid {
			t.Errorf("workers %+v, want process %d", s, pid)
		}
	})
}
