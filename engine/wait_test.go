package engine_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// ticker wakes a loop every few milliseconds, so that it polls and does not sleep.
type ticker struct {
	loop  *engine.Loop
	timer engine.Timer
}

func (t *ticker) Ready(*engine.Conn) {}
func (t *ticker) Expired(*engine.Timer) {
	t.loop.Arm(&t.timer, t.loop.Now()+1)
}

// runLoops runs n loops as a program does, unlike enginetest, whose loops have a thread each. They are busy or idle.
func runLoops(t *testing.T, n int, busy bool) []*engine.Loop {
	t.Helper()
	var loops []*engine.Loop
	var running sync.WaitGroup
	for range n {
		l, err := engine.NewLoop(engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		loops = append(loops, l)
		running.Go(func() {
			if err := l.Run(); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		runs := make(chan bool)
		l.Post(func() {
			if busy {
				tick := &ticker{loop: l}
				tick.timer.Handler = tick
				tick.Expired(nil)
			}
			close(runs)
		})
		<-runs
	}
	t.Cleanup(func() {
		for _, l := range loops {
			l.Stop()
		}
		running.Wait()
		for _, l := range loops {
			l.Close()
		}
	})
	return loops
}

// longest calls do until the time is over, and returns the duration of the slowest call.
func longest(total time.Duration, do func()) time.Duration {
	var worst time.Duration
	for end := time.Now().Add(total); time.Now().Before(end); {
		before := time.Now()
		do()
		worst = max(worst, time.Since(before))
	}
	return worst
}

// soak returns how long a test runs that looks for rare failures.
func soak(short, long time.Duration) time.Duration {
	if os.Getenv("KROXY_EV_LONG") != "" {
		return long
	}
	return short
}

// Loops that poll keep their processors. Everything else must still make progress: goroutines, the garbage collector,
// everything that stops the world. The bound is far above all observed values (milliseconds), and far below what a loop that cannot be
// interrupted would cause.
func TestNothingStarvesBesideLoops(t *testing.T) {
	const bound = 20 * time.Second
	if !enginetest.Child(t) {
		return
	}
	for _, kind := range []struct {
		name string
		busy bool
	}{{"polling", true}, {"sleeping", false}} {
		runLoops(t, 3, kind.busy)
		if n := runtime.GOMAXPROCS(0); n < 4 {
			t.Fatalf("%d processors for 3 loops and the rest", n)
		}
		each := soak(200*time.Millisecond, time.Minute)
		var garbage []byte
		for _, test := range []struct {
			name string
			do   func()
		}{
			{"a goroutine that sleeps for 1 ms", func() { time.Sleep(time.Millisecond) }},
			{"a goroutine that another wakes up", func() {
				done := make(chan bool)
				go func() { done <- true }()
				<-done
			}},
			{"a garbage collection", func() {
				garbage = make([]byte, 1<<20)
				runtime.GC()
			}},
			{"stopping the world", func() { runtime.ReadMemStats(new(runtime.MemStats)) }},
		} {
			worst := longest(each, test.do)
			t.Logf("%s loops, %s: at most %v", kind.name, test.name, worst)
			if worst > bound {
				t.Errorf("%s loops, %s: took %v", kind.name, test.name, worst)
			}
		}
		runtime.KeepAlive(garbage)
	}
}

// Profiles and traces see loops that poll.
func TestLoopsThatPollAreSeen(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	runLoops(t, 2, true)
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // some of it may be profiled
	pprof.StopCPUProfile()
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(stacks.String(), "engine.(*Loop).Run("); n != 2 {
		t.Errorf("%d loops in the stacks of all goroutines:\n%s", n, stacks.String())
	}
}

// A posted task runs soon, whether the loop is about to poll, to sleep, or to change from one to the other. A lost wake-up
// would leave it undone.
func TestNoWakeUpIsLost(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	loops := runLoops(t, 3, false)
	var worst time.Duration
	end := time.Now().Add(soak(2*time.Second, 10*time.Minute))
	for rush := 0; time.Now().Before(end); rush-- {
		if rush <= 0 {
			rush = rand.IntN(300)
			// The intervals range from much shorter than a loop sleeps to longer than it polls without an event.
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		}
		if rand.IntN(8) == 0 {
			time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		}
		done := make(chan bool)
		posted := time.Now()
		loops[rand.IntN(len(loops))].Post(func() { close(done) })
		select {
		case <-done:
			worst = max(worst, time.Since(posted))
		case <-time.After(enginetest.Patience):
			t.Fatal("a task that was posted is not done")
		}
	}
	t.Logf("at most %v from Post to the task", worst)
}
