package supervise_test

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body    string
		timeout time.Duration
		want    string
		stops   int
	}{
		"orderly":      {"a", time.Hour, "exit status 0", 0},
		"no limit":     {"a", 0, "exit status 0", 0},
		"ignored":      {"a ignore-drain", 100 * time.Millisecond, "exit status 0", 3},
		"both ignored": {"a ignore-drain ignore-stop", 100 * time.Millisecond, "it did not stop (SIGKILL)", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if test.want != "exit status 0" {
				w.o.StopGrace = 5 * time.Second // time to say that it was told to
			}
			w.start(w.plan(3, test.body))
			within(t, testTimeout, "Drain", func() { w.m.Drain(test.timeout) })
			w.pipe.w.Close()
			events := w.pipe.finished(t)
			if n := count(events, "superfluous gone "+test.want); n != 3 || count(events, "started") != 3 {
				t.Errorf("%d left so: %v", n, events)
			}
			if n := count(events, "drain "+test.timeout.String()); n != 3 {
				t.Errorf("%d were told to drain: %v", n, events)
			}
			if n := count(events, "stop"); n != test.stops {
				t.Errorf("%d were told to stop, want %d: %v", n, test.stops, events)
			}
			if strings.Contains(w.log.String(), "ERROR") {
				t.Error("an orderly end was called an error")
			}
			select {
			case <-w.m.Done():
			default:
				t.Error("Done is not closed")
			}
		})
	}
}

func TestStopDuringDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(2, "a ignore-drain"))
	var drain sync.WaitGroup
	drain.Go(func() { w.m.Drain(time.Hour) })
	w.collect(2, "drain")
	within(t, testTimeout, "Stop", w.m.Stop)
	within(t, testTimeout, "Drain", drain.Wait)
}

// A worker that is stopped by SIGSTOP, has crashed, or is in a crash loop cannot prevent a master from ending.
func TestStopWithWorkersOutOfOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.StopGrace = 200 * time.Millisecond
	w.start(w.plan(3, "a ignore-drain"))
	pids := w.collect(3, "commit a")
	_ = syscall.Kill(pids[0].pid, syscall.SIGSTOP)
	_ = syscall.Kill(pids[1].pid, syscall.SIGKILL)
	within(t, testTimeout, "Drain", func() { w.m.Drain(100 * time.Millisecond) })
}

func TestStopDuringAPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var program = t.TempDir() + "/program"
	if err := os.Symlink("/proc/self/exe", program); err != nil {
		t.Fatal(err)
	}
	w.o.Program = program
	w.start(w.plan(1, "a"))
	pid := w.await(0, "commit a").pid
	if err := os.Remove(program); err != nil { // the next worker cannot be started
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	w.await(0, "gone SIGKILL")
	if got := states(w.m); got != "0:gone" {
		t.Errorf("states %q", got)
	}
	within(t, testTimeout, "Stop", w.m.Stop)
}
