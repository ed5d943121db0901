package engine_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

func TestTimersFireInOrder(t *testing.T) {
	t.Parallel()
	const timers, tick = 20, 16
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	all := make([]engine.Timer, timers)
	due := make([]int64, timers)
	var order []int
	p.OnExpired = func(tm *engine.Timer) {
		for i := range all {
			if tm == &all[i] {
				order = append(order, i)
				if now := loop.Now(); now < due[i] {
					t.Errorf("timer %d, for %d, expired at %d", i, due[i], now)
				}
			}
		}
	}
	never := engine.Timer{Handler: p}
	loop.Do(func() {
		loop.Arm(&never, loop.Now()+30)
		for _, i := range []int{7, 3, 19, 0, 11, 1, 18, 2, 9, 4, 5, 17, 6, 8, 10, 12, 16, 13, 15, 14} {
			all[i].Handler = p
			due[i] = loop.Now() + int64(i)*2*tick + 1
			loop.Arm(&all[i], due[i])
		}
		loop.Disarm(&never)
		loop.Disarm(&never)
	})
	p.Await(t, "timers", func() bool { return len(order) == timers })
	want := make([]int, timers)
	for i := range want {
		want[i] = i
	}
	loop.Do(func() {
		if !slices.Equal(order, want) {
			t.Errorf("order %v", order)
		}
		if p.Expiries != timers {
			t.Errorf("%d calls, want %d", p.Expiries, timers)
		}
	})
}

// A timer that is postponed while the timerfd is set for it, and one that is moved to an earlier time, each expire once.
func TestTimerIsMoved(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	late, early := engine.Timer{Handler: p}, engine.Timer{Handler: p}
	var dueLate, dueEarly, atLate, atEarly int64
	p.OnExpired = func(tm *engine.Timer) {
		if tm == &late {
			atLate = loop.Now()
		} else {
			atEarly = loop.Now()
		}
	}
	loop.Do(func() {
		dueLate, dueEarly = loop.Now()+150, loop.Now()+60
		loop.Arm(&late, loop.Now()+20)
		loop.Arm(&late, dueLate)
		loop.Arm(&early, loop.Now()+100_000)
		loop.Arm(&early, dueEarly)
	})
	p.Await(t, "both timers", func() bool { return p.Expiries == 2 })
	loop.Do(func() {
		if atEarly < dueEarly || atLate < dueLate || atEarly > atLate {
			t.Errorf("for %d and %d, expired at %d and %d", dueEarly, dueLate, atEarly, atLate)
		}
	})
}

// The clock is monotonic.
func TestClock(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	var first, second int64
	loop.Do(func() { first = loop.Now() })
	time.Sleep(5 * time.Millisecond)
	loop.Do(func() { second = loop.Now() })
	if second < first+5 {
		t.Errorf("the clock went from %d to %d in 5 ms", first, second)
	}
}

// A loop whose timers are far in the future and whose connections are idle sleeps.
func TestIdleLoopDoesNotWakeUp(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	_, _ = loop.Attach(t, p)
	var tid int
	timers := [3]engine.Timer{{Handler: p}, {Handler: p}, {Handler: p}}
	loop.Do(func() {
		tid = unix.Gettid()
		loop.Arm(&timers[0], loop.Now()+60_000)
		loop.Arm(&timers[1], loop.Now()+200_000)
		loop.Arm(&timers[2], loop.Now()+20)
	})
	p.Await(t, "the near timer", func() bool { return p.Expiries == 1 })
	for try := 1; ; try++ {
		time.Sleep(50 * time.Millisecond) // let it go to sleep
		before := enginetest.Switches(t, tid)
		time.Sleep(300 * time.Millisecond)
		n := enginetest.Switches(t, tid) - before
		if n <= 1 {
			return
		}
		if try == 20 { // on a busy machine it may go to sleep late
			t.Fatalf("the idle loop woke up %d times in 300 ms", n)
		}
	}
}

func TestPostRunsEachOnceInOrder(t *testing.T) {
	t.Parallel()
	const goroutines, each = 8, 2000
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	var (
		wg   sync.WaitGroup
		next [goroutines]int // used on the loop only
		ran  int
	)
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				loop.Post(func() {
					if next[g] != i {
						t.Errorf("task %d of goroutine %d ran, want %d", i, g, next[g])
					}
					next[g] = i + 1
					if ran++; ran == goroutines*each {
						p.Note()
					}
				})
			}
		})
	}
	wg.Wait()
	p.Await(t, "all tasks", func() bool { return ran == goroutines*each })
}

// Tasks may post tasks; these run later, with other work in between.
func TestPostFromATask(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	timer := engine.Timer{Handler: p}
	rounds, inside := 0, false
	var again func()
	again = func() {
		if inside {
			t.Error("a task ran inside another")
		}
		inside = true
		rounds++
		if p.Expiries == 0 {
			loop.Post(again)
		}
		inside = false
	}
	loop.Do(func() {
		loop.Arm(&timer, loop.Now()+30)
		loop.Post(again)
	})
	p.Await(t, "a timer, though tasks never end", func() bool { return p.Expiries == 1 && rounds > 1 })
}

func TestStop(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"outside", "a task", "a timer"} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			loop, err := engine.NewLoop(engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer loop.Close()
			timer := engine.Timer{Handler: stopper{loop}}
			done := make(chan error, 1)
			switch from {
			case "a task":
				loop.Post(loop.Stop)
			case "a timer":
				loop.Arm(&timer, 5)
			}
			go func() { done <- loop.Run() }()
			if from == "outside" {
				loop.Stop()
				loop.Stop()
			}
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(enginetest.Patience):
				t.Fatal("the loop goes on")
			}
		})
	}
}

type stopper struct{ loop *engine.Loop }

func (s stopper) Ready(*engine.Conn)    {}
func (s stopper) Expired(*engine.Timer) { s.loop.Stop() }

// A connection that always has more to do lets other connections, timers and tasks run.
func TestAgainIsFair(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	greedy := loop.Probe()
	greedy.OnReady = func(c *engine.Conn) {
		loop.Again(c)
		loop.Again(c) // once is enough
	}
	_, _ = loop.Attach(t, greedy)
	var before int
	greedy.Await(t, "a connection that is called again and again", func() bool {
		before = greedy.Readies
		return before > 10
	})

	echo := loop.Probe()
	echo.OnReady = func(c *engine.Conn) {
		if n, err := c.Read(loop.Scratch()); err == nil {
			if _, err := c.Write(loop.Scratch()[:n]); err != nil {
				t.Errorf("while echoing: %v", err)
			}
		}
	}
	peer, _ := loop.Attach(t, echo)
	timer := engine.Timer{Handler: echo}
	loop.Do(func() { loop.Arm(&timer, loop.Now()+20) })
	for range 100 {
		if _, err := peer.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	echo.Await(t, "the timer", func() bool { return echo.Expiries == 1 })
	loop.Do(func() {
		if greedy.Readies < before+50 {
			t.Errorf("the connection that has more to do was called %d times meanwhile", greedy.Readies-before)
		}
	})
}

// A handler that has called Again is called even if no event comes.
func TestAgainNeedsNoEvent(t *testing.T) {
	t.Parallel()
	const calls = 1000
	loop := enginetest.Start(t, engine.Options{})
	done := make(chan struct{})
	p := loop.Probe()
	p.OnReady = func(c *engine.Conn) {
		switch {
		case p.Readies < calls:
			loop.Again(c)
		case p.Readies == calls:
			close(done)
		}
	}
	_, fd := enginetest.Pair(t)
	c := new(engine.Conn)
	loop.AttachFD(t, c, fd, p)
	select {
	case <-done:
	case <-time.After(enginetest.Patience):
		t.Fatal("the loop sleeps though a connection has more to do")
	}
}

// A connection that is closed after Again is not called, and neither is a connection that took its place and did not call
// Again.
func TestAgainAndClose(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	calm := loop.Probe()
	_, a := loop.Attach(t, calm)
	_, b := loop.Attach(t, calm)
	peer, spare := enginetest.Pair(t)
	write(t, peer, "x")
	enginetest.Await(t, spare, unix.POLLIN)
	calm.Await(t, "the first events", func() bool { return calm.Readies == 2 })
	other := loop.Probe()
	loop.Do(func() {
		loop.Again(a)
		loop.Again(b)
		loop.Again(b)
		a.Close()
		b.Close()
		if err := loop.Loop.Attach(b, spare, other); err != nil {
			t.Error(err)
			engine.CloseFD(spare)
		}
	})
	t.Cleanup(func() { loop.Do(b.Close) })
	other.Await(t, "the new connection's event", func() bool { return other.Readies > 0 })
	loop.Do(func() {
		if calm.Readies != 2 || other.Readies != 1 {
			t.Errorf("closed connections were called %d times, the new one %d times, want 0 and 1", calm.Readies-2, other.Readies)
		}
	})
}

// More connections are ready at once than fit into a batch.
func TestManyReadyAtOnce(t *testing.T) {
	t.Parallel()
	const conns = 700
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	var fds [conns][2]int
	for i := range fds {
		var err error
		if fds[i], err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[i][0])
		loop.AttachFD(t, new(engine.Conn), int32(fds[i][1]), p)
	}
	got := 0
	p.Await(t, "the first events", func() bool { return p.Readies >= conns })
	for round := 1; round <= 3; round++ {
		loop.Do(func() {
			p.OnReady = func(c *engine.Conn) {
				if n, err := c.Read(loop.Scratch()); err == nil {
					got += n
				}
			}
			for i := range fds {
				if _, err := unix.Write(fds[i][0], []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
		p.Await(t, "all bytes", func() bool { return got == round*conns })
	}
}

func TestCloseReleasesDescriptors(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	peer, _ := enginetest.Pair(t) // what the net package opens at first use stays open
	_ = peer.Close()
	check := enginetest.NoLeaks(t)
	for range 3 {
		loop, err := engine.NewLoop(engine.Options{MaxPipes: 40})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- loop.Run() }()
		var conns [4]engine.Conn
		for i := range conns {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			_ = unix.Close(fds[0])
			loop.Post(func() {
				if err := loop.Attach(&conns[i], int32(fds[1]), ignore{}); err != nil {
					t.Error(err)
				}
			})
		}
		loop.Post(func() {
			before := countPipes(t)
			var pipes []*engine.Pipe
			for range 40 {
				pipes = append(pipes, loop.TakePipe())
			}
			for _, p := range pipes {
				loop.GivePipe(p)
			}
			// Beyond the idle ones, each pipe is closed at once.
			if open, idle := countPipes(t)-before, 16; open > 2*idle {
				t.Errorf("%d descriptors of pipes are open, want %d at most", open, 2*idle)
			}
			conns[0].Close()
			conns[1].Reset()
			conns[2].Close()
			conns[2].Close()
			conns[3].Reset()
			conns[3].Reset()
			loop.Stop()
		})
		if err := <-done; err != nil {
			t.Error(err)
		}
		loop.Close()
	}
	check()
}

// A task that is posted to a closed loop, or while it is being closed, writes nothing to whoever gets the loop's descriptors.
func TestPostAfterClose(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	for round := range 50 {
		before := enginetest.FDs(t)
		loop, err := engine.NewLoop(engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		own := enginetest.FDs(t)
		maps.DeleteFunc(own, func(fd int, _ string) bool { _, had := before[fd]; return had })
		var posting sync.WaitGroup
		if round%2 == 0 {
			posting.Go(func() { loop.Post(func() {}) })
		}
		loop.Close()
		for fd := range own {
			if err := unix.Dup3(pair[1], fd, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
		loop.Post(func() {})
		posting.Wait()
		var b [100]byte
		if n, err := unix.Read(pair[0], b[:]); !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("round %d: the loop's descriptors were %v; they got %q, %v", round, own, b[:max(n, 0)], err)
		}
		for fd := range own {
			_ = unix.Close(fd)
		}
	}
}

func countPipes(t *testing.T) (n int) {
	for _, target := range enginetest.FDs(t) {
		if len(target) > 5 && target[:5] == "pipe:" {
			n++
		}
	}
	return n
}

// ignore is a handler that does nothing.
type ignore struct{}

func (ignore) Ready(*engine.Conn)    {}
func (ignore) Expired(*engine.Timer) {}
