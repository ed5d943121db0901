package supervise_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kroxy-ev/engine/supervise"
)

func TestApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(3, "a"))
	before := w.collect(3, "commit a")
	if err := w.m.Apply(w.plan(3, "b")); err != nil {
		t.Fatal(err)
	}
	for slot, e := range w.collect(3, "commit b") {
		if e.pid != before[slot].pid {
			t.Errorf("slot %d has another process", slot)
		}
	}
}

// All workers have prepared a plan before the first follows it.
func TestApplyHasTwoPhases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(4, "a"))
	w.collect(4, "commit a")
	if err := w.m.Apply(w.plan(4, "b")); err != nil {
		t.Fatal(err)
	}
	for prepared := 0; prepared < 4; prepared++ {
		if e := w.await(-1, ""); e.what != "prepare b" {
			t.Fatalf("%v after %d were prepared", e, prepared)
		}
	}
}

// If one worker does not accept a plan, no worker follows it.
func TestApplyIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bad     string
		workers int // of the plan that the worker in slot 1 refuses
		want    []string
	}{
		"refuses":               {"b refuse", 2, []string{"worker 1", "the port is taken"}},
		"refuses, fewer":        {"b refuse", 2, []string{"worker 1", "the port is taken"}},
		"refuses, more":         {"b refuse", 5, []string{"worker 1", "the port is taken"}},
		"does not answer":       {"b hang-in-prepare", 3, []string{"worker 1", "did not answer within 10s"}},
		"dies, and its heir":    {"b die-in-prepare", 3, []string{"worker 1", "and its successor", "exit status 8"}},
		"dies, and more of it":  {"b die-in-prepare", 5, []string{"worker 1", "and its successor", "exit status 8"}},
		"dies, and fewer of it": {"b die-in-prepare", 2, []string{"worker 1", "and its successor", "exit status 8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(w.plan(3, "a"))
			before := w.collect(3, "commit a")
			err := w.m.Apply(w.planFor(test.workers, func(slot int) string {
				if slot == 1 {
					return test.bad
				}
				return "b"
			}))
			wantError(t, err, test.want...)
			// A notice shows which plan they follow; the worker that hangs does not get it, and is replaced.
			if name == "does not answer" {
				_ = syscall.Kill(before[1].pid, syscall.SIGKILL)
				w.await(1, "commit a")
			}
			if err := w.m.Apply(w.plan(3, "c")); err != nil {
				t.Fatal(err)
			}
			for _, e := range w.stop() {
				if e.what == "commit b" {
					t.Errorf("%v", e)
				}
			}
			for _, slot := range []int{0, 2} {
				aborted, followed := false, false
				for _, e := range w.seen {
					if e.pid == before[slot].pid {
						aborted = aborted || e.what == "abort b"
						followed = followed || e.what == "commit c"
					}
				}
				if asked := slot < test.workers; aborted != asked || !followed {
					t.Errorf("slot %d: aborted %v, went on %v", slot, aborted, followed)
				}
			}
		})
	}
}

// If a worker in a new slot cannot serve the plan, the plan fails and leaves nothing behind.
func TestApplyFailsInANewSlot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bad  string
		want []string
	}{
		"refuses": {"b refuse", []string{"worker 2", "the port is taken"}},
		"dies":    {"b die-in-prepare", []string{"worker 2", "and its successor", "exit status 8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(w.plan(2, "a"))
			err := w.m.Apply(w.planFor(3, func(slot int) string {
				if slot == 2 {
					return test.bad
				}
				return "b"
			}))
			wantError(t, err, test.want...)
			w.await(2, "superfluous gone")
			if got, want := states(w.m), "0:serving 1:serving"; got != want {
				t.Errorf("states %q, want %q", got, want)
			}
			if err := w.m.Apply(w.plan(3, "c")); err != nil {
				t.Fatal(err)
			}
			w.await(2, "commit c")
		})
	}
}

func TestApplyWhenPlanFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(2, "a"))
	p := w.plan(2, "b")
	of := p.For
	p.For = func(slot int) ([]byte, []int, error) {
		if slot == 1 {
			return nil, nil, errors.New("no socket")
		}
		return of(slot)
	}
	wantError(t, w.m.Apply(p), "worker 1", "no socket")
	w.await(0, "abort b")
	wantError(t, w.m.Apply(supervise.Plan{}), "0 workers")
}

// A worker that is killed while a plan is tried does not make the plan fail, and its replacement follows it.
func TestApplyWhileAWorkerDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(3, "a"))
	w.collect(3, "commit a")
	var dies atomic.Bool
	dies.Store(true)
	err := w.m.Apply(w.planFor(3, func(slot int) string {
		if slot == 1 && dies.Swap(false) {
			return "b die-in-prepare"
		}
		return "b"
	}))
	if err != nil {
		t.Fatal(err)
	}
	w.collect(3, "commit b")
	if got, want := states(w.m), "0:serving 1:serving 2:serving"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
}

// A worker that hangs while it takes up an agreed plan is replaced by one that follows it.
func TestApplyWhileAWorkerHangsInCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(2, "a"))
	var hangs atomic.Bool
	hangs.Store(true)
	err := w.m.Apply(w.planFor(2, func(slot int) string {
		if slot == 1 && hangs.Swap(false) {
			return "b hang-in-commit"
		}
		return "b"
	}))
	if err != nil {
		t.Fatal(err)
	}
	w.await(1, "gone did not take up its plan within 10s (SIGKILL)")
	w.await(1, "commit b")
}

// A plan that fixes a crash loop is used by the next process.
func TestApplyMendsACrashLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var broken atomic.Bool
	w.start(w.planFor(1, func(int) string {
		if broken.Load() {
			return "a die"
		}
		return "a"
	}))
	e := w.await(0, "commit a")
	broken.Store(true)
	_ = syscall.Kill(e.pid, syscall.SIGKILL)
	w.await(0, "gone exit status 9")
	w.await(0, "gone exit status 9")
	if err := w.m.Apply(w.plan(1, "b")); err != nil {
		t.Fatal(err)
	}
	w.await(0, "commit b")
}

func TestWorkersGrowAndShrink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(4, "a0"))
	kept := w.collect(4, "commit a0")[0].pid
	left := 0
	for i, n := range []int{2, 4, 1, 3} {
		body := fmt.Sprintf("a%d", i+1)
		was := len(w.m.Workers())
		if err := w.m.Apply(w.plan(n, body)); err != nil {
			t.Fatal(err)
		}
		if got := w.collect(n, "commit "+body)[0].pid; got != kept {
			t.Errorf("slot 0 has another process")
		}
		left += max(0, was-n)
		w.awaitCount(left, "superfluous gone exit status 0")
		if got := count(w.seen, "superfluous gone"); got != left {
			t.Errorf("%d workers left after %d plans, want %d", got, i+1, left)
		}
	}
	if got, want := states(w.m), "0:serving 1:serving 2:serving"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
}

// A worker that still drains when its slot is needed again returns to service.
func TestDrainingWorkerIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(2, "a ignore-drain"))
	before := w.collect(2, "commit a")
	fewer := w.plan(1, "b")
	fewer.DrainTimeout = time.Hour
	if err := w.m.Apply(fewer); err != nil {
		t.Fatal(err)
	}
	w.await(1, "drain 1h0m0s")
	if got, want := states(w.m), "0:serving 1:draining"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
	// A plan that fails leaves it draining.
	wantError(t, w.m.Apply(w.plan(2, "c refuse")), "the port is taken")
	if got, want := states(w.m), "0:serving 1:draining"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
	if err := w.m.Apply(w.plan(2, "d")); err != nil {
		t.Fatal(err)
	}
	if e := w.await(1, "commit d"); e.pid != before[1].pid {
		t.Errorf("another process, %v", e)
	}
	if got, want := states(w.m), "0:serving 1:serving"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
	// It is an ordinary worker again: it is replaced if it dies.
	_ = syscall.Kill(before[1].pid, syscall.SIGKILL)
	w.await(1, "commit d")
}

// The old drain timeout no longer applies to it.
func TestDrainTimeoutOfAWorkerThatWasTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(2, "a ignore-drain"))
	before := w.collect(2, "commit a")
	fewer := w.plan(1, "b")
	fewer.DrainTimeout = time.Second
	if err := w.m.Apply(fewer); err != nil {
		t.Fatal(err)
	}
	over := time.After(fewer.DrainTimeout + 200*time.Millisecond)
	if err := w.m.Apply(w.plan(2, "c")); err != nil {
		t.Fatal(err)
	}
	if e := w.await(1, "commit c"); e.pid != before[1].pid {
		t.Skip("the machine is too slow: it was not taken back")
	}
	<-over // no event is expected
	if s := w.m.Workers(); s[1].PID != before[1].pid || s[1].State != supervise.Serving {
		t.Errorf("workers %+v, want process %d in slot 1", s, before[1].pid)
	}
}

// A worker whose drain timeout ends while a plan is tried is replaced, and Apply waits for the replacement.
func TestDrainEndsDuringApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.StopGrace = time.Second
	w.start(w.plan(2, "a ignore-drain ignore-stop"))
	before := w.collect(2, "commit a")
	fewer := w.plan(1, "b")
	fewer.DrainTimeout = 400 * time.Millisecond
	if err := w.m.Apply(fewer); err != nil {
		t.Fatal(err)
	}
	if err := w.m.Apply(w.planFor(2, func(slot int) string {
		if slot == 0 {
			return "c slow"
		}
		return "c"
	})); err != nil {
		t.Fatal(err)
	}
	if got, want := states(w.m), "0:serving 1:serving"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
	if e := w.await(1, "commit c"); e.pid == before[1].pid {
		t.Errorf("a worker that was told to stop was taken back")
	}
}

// A worker that has been told to stop does not return to service; its replacement serves.
func TestStoppingWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.StopGrace = 5 * time.Second // time to say that it was told to
	w.start(w.plan(2, "a ignore-drain ignore-stop"))
	fewer := w.plan(1, "b")
	fewer.DrainTimeout = time.Nanosecond
	if err := w.m.Apply(fewer); err != nil {
		t.Fatal(err)
	}
	w.await(1, "stop")
	if err := w.m.Apply(w.plan(2, "c")); err != nil {
		t.Fatal(err)
	}
	if e := w.await(1, "gone"); e.what != "gone it did not stop (SIGKILL)" {
		t.Errorf("%v", e)
	}
	w.await(1, "commit c")
}

// Superfluous workers that do not leave are first told to stop, and then killed.
func TestSuperfluousWorkerIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.StopGrace = 5 * time.Second // time to say that it was told to
	w.start(w.plan(2, "a ignore-drain ignore-stop"))
	p := w.plan(1, "b")
	p.DrainTimeout = 50 * time.Millisecond
	if err := w.m.Apply(p); err != nil {
		t.Fatal(err)
	}
	w.await(1, "drain 50ms")
	w.await(1, "stop")
	w.await(1, "superfluous gone it did not stop (SIGKILL)")
}

// Of a thousand simultaneous plans, only few are tried.
func TestApplyStorm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(2, "a"))
	w.collect(2, "commit a")
	var asked, replaced, applied atomic.Int32
	storm := func(slot int) string {
		asked.Add(1)
		return "storm"
	}
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			switch err := w.m.Apply(w.planFor(2, storm)); {
			case err == nil:
				applied.Add(1)
			case errors.Is(err, supervise.ErrReplaced):
				replaced.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	within(t, testTimeout, "the storm", all.Wait)
	if n := applied.Load(); n < 1 || n+replaced.Load() != 1000 || asked.Load() != 2*n {
		t.Errorf("%d applied, %d replaced, %d prepared", n, replaced.Load(), asked.Load())
	}
	if n := applied.Load(); n > 500 {
		t.Errorf("%d of 1000 plans were applied", n)
	}
	if err := w.m.Apply(w.plan(2, "last")); err != nil {
		t.Fatal(err)
	}
	w.collect(2, "commit last")
}

func TestStopDuringApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.StopGrace = 100 * time.Millisecond
	w.start(w.plan(2, "a"))
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.m.Apply(w.plan(3, "b hang-in-prepare")); !errors.Is(err, supervise.ErrStopping) {
			t.Errorf("the one at work: %v", err)
		}
	})
	w.collect(3, "prepare b")
	for range 2 {
		all.Go(func() {
			if err := w.m.Apply(w.plan(3, "c")); !errors.Is(err, supervise.ErrStopping) && !errors.Is(err, supervise.ErrReplaced) {
				t.Errorf("a waiting Apply: %v", err)
			}
		})
	}
	within(t, testTimeout, "Stop", w.m.Stop)
	within(t, testTimeout, "Apply", all.Wait)
}
