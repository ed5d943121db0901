package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How a loop waits for events decides what a proxy costs that is not busy, because of the monitor thread of Go's runtime (sysmon
// in runtime/proc.go). It looks after the processors (the scheduler's Ps), and how often it looks depends on what it finds:
//
//   - A goroutine that waits in an ordinary system call keeps its processor until the monitor takes it away. After that the
//     monitor looks every 20 us, 50 times and then ever more rarely.
//   - A goroutine that gives its processor up first (sleep) leaves the monitor nothing to do. But when no processor is in use the
//     monitor goes to sleep too, and the next event has to wake it up: that costs some 35 us of CPU, and as much as a millisecond
//     if a processor then stays in use, since the monitor begins again with a look every 20 us.
//   - A goroutine that waits without telling the runtime (poll) is taken for one that computes. The monitor finds nothing to
//     take away and looks every 10 ms. It sends a signal to a goroutine that has not passed through the scheduler for 10 ms;
//     so a loop does that in time (yield).
//
// So there are two ways to live. In a process that has little to do all loops sleep. Where events come more often, one loop at
// least polls, whether it has events or not: a processor is in use, the monitor is quiet, and the other loops may sleep at next
// to no cost. docs/performance.md has the figures.
const (
	// quantum is how long one poll lasts, in ms. With yieldEvery it stays below the 10 ms after which the monitor sends its signal.
	quantum = 8
	// yieldEvery is how long a loop may go without passing through the scheduler before it polls, in ms.
	yieldEvery = 1
	// patience is how many polls in a row may find nothing before the last loop that polls goes to sleep: for some 240 ms, which
	// cost about as much as the next beginning.
	patience = 30
	// A process begins to poll when its loops were woken up rushWakes times within rushTime. More rarely, sleeping costs less.
	rushTime  = 400 * time.Millisecond
	rushWakes = 56
)

// holders is how many loops of this process keep a processor while they wait, or are at work.
var holders atomic.Int32

// waiter decides how a loop waits. It only looks back: to be wrong costs little either way.
type waiter struct {
	holds   bool  // counted in holders
	crowded bool  // there are not enough processors for loops to keep theirs
	quiet   int   // polls in a row that found nothing
	yielded int64 // ms on the loop's clock: when the loop last passed through the scheduler
}

// wait waits until there are events. EINTR means that there may be none; it is to be called again. Now is the loop's clock.
func (w *waiter) wait(epfd int, events []unix.EpollEvent, now int64) (int, syscall.Errno) {
	if now-w.yielded >= yieldEvery {
		w.yield(now)
	}
	if w.crowded || !w.holds && holders.Load() == 0 && !rush.wakes() {
		w.hold(false)
		return w.sleep(epfd, events)
	}
	for w.hold(true); ; {
		n, errno := poll(epfd, events, quantum)
		if n > 0 {
			w.quiet = 0
		}
		if n > 0 || errno != 0 {
			return n, errno
		}
		if w.quiet++; !w.mayRest() {
			now += quantum
			w.yield(now)
			continue
		}
		w.quiet = 0
		return w.sleep(epfd, events)
	}
}

// sleep waits without a processor.
func (w *waiter) sleep(epfd int, events []unix.EpollEvent) (int, syscall.Errno) {
	n, errno := sleep(epfd, events)
	yield() // or the monitor, which may just have been woken up, would take the sleep for computing, and send its signal
	return n, errno
}

// peek asks for events without waiting.
func (w *waiter) peek(epfd int, events []unix.EpollEvent, now int64) (int, syscall.Errno) {
	if now-w.yielded >= yieldEvery {
		w.yield(now)
	}
	return poll(epfd, events, 0)
}

func (w *waiter) yield(now int64) {
	w.yielded = now
	w.crowded = runtime.GOMAXPROCS(0) <= int(running.Load())
	yield()
}

// mayRest reports whether the loop may go to sleep after a poll that found nothing; it then holds no processor any more.
func (w *waiter) mayRest() bool {
	w.hold(false)
	rest := holders.Load() > 0 || w.quiet >= patience
	w.hold(!rest)
	return rest
}

// rushHour counts how often sleeping loops are woken up.
type rushHour struct {
	mu    sync.Mutex
	from  time.Time
	count int
}

var rush rushHour

// wakes counts a wake-up, and reports whether there were many of late.
func (r *rushHour) wakes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.from) > rushTime {
		r.from, r.count = now, 0
	}
	r.count++
	return r.count >= rushWakes
}

// hold says whether the loop keeps a processor.
func (w *waiter) hold(yes bool) {
	if yes != w.holds {
		w.holds = yes
		if yes {
			holders.Add(1)
		} else {
			holders.Add(-1)
		}
	}
}

// running is how many loops of this process run.
var running atomic.Int32

var raising sync.Mutex

// takeProcessor sees to it that there is one processor more than there are loops that run, for all other goroutines: a loop does not
// give its own up while it polls. Somebody may lower their number later (testing.AllocsPerRun does): then loops sleep.
func takeProcessor() {
	raising.Lock()
	defer raising.Unlock()
	if n := int(running.Add(1)); runtime.GOMAXPROCS(0) <= n {
		runtime.GOMAXPROCS(n + 1)
	}
}

func giveProcessor() { running.Add(-1) }
