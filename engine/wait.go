package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How a loop waits for events determines the CPU cost of a proxy with little to do, because of the monitor thread of Go's runtime
// (sysmon in runtime/proc.go). The monitor checks the processors (the scheduler's Ps), and what it finds determines how often it checks:
//
//   - A goroutine that waits in an ordinary system call keeps its processor until the monitor takes it away. After that the
//     monitor checks every 20 us, 50 times, and then less and less often.
//   - A goroutine that gives up its processor first (sleep) leaves the monitor nothing to do. But when no processor is in use, the
//     monitor goes to sleep too, and the next event must wake it: that costs some 35 us of CPU, and up to a millisecond
//     if a processor then stays in use, because the monitor begins again with checks every 20 us.
//   - A goroutine that waits without telling the runtime (poll) looks like one that computes. The monitor finds nothing to
//     take away and checks every 10 ms. It sends a signal to a goroutine that has not passed through the scheduler for 10 ms;
//     so a loop does that in time (yield).
//
// So there are two modes. In a process with little to do, all loops sleep. Where events come more often, at least one loop
// polls, whether it has events or not: then a processor is in use, the monitor is quiet, and the other loops can sleep at almost
// no cost. The figures are in docs/performance.md.
const (
	// quantum is the length of one poll, in ms. Together with yieldEvery it is below the 10 ms after which the monitor sends its signal.
	quantum = 8
	// yieldEvery is how long, in ms, a loop may go without passing through the scheduler before it polls.
	yieldEvery = 1
	// maxQuietPolls is how many polls in a row may find nothing before the last polling loop goes to sleep: some 240 ms, which
	// cost about as much as starting to poll again.
	maxQuietPolls = 30
	// A process begins to poll when its loops were woken wakesToPoll times within wakeWindow. Below that rate, sleeping costs less.
	wakeWindow  = 400 * time.Millisecond
	wakesToPoll = 56
)

// holders is how many loops of this process keep a processor, whether they wait or work.
var holders atomic.Int32

// waiter decides how a loop waits. It only looks at the past; a wrong decision costs little either way.
type waiter struct {
	holds   bool  // counted in holders
	crowded bool  // there are too few processors for loops to keep theirs
	quiet   int   // polls in a row that found nothing
	yielded int64 // ms on the loop's clock: when the loop last passed through the scheduler
}

// wait waits until there are events. On EINTR there may be none, and the caller must call it again. now is the loop's clock, in ms.
func (w *waiter) wait(epfd int, events []unix.EpollEvent, now int64) (int, syscall.Errno) {
	if now-w.yielded >= yieldEvery {
		w.yield(now)
	}
	if w.crowded || !w.holds && holders.Load() == 0 && !wakeups.add() {
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
	yield() // otherwise the monitor, which may just have woken up, would take the sleep for computing and send its signal
	return n, errno
}

// peek checks for events without waiting.
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

// mayRest reports whether the loop may sleep after a poll that found nothing. If so, it no longer holds a processor.
func (w *waiter) mayRest() bool {
	w.hold(false)
	rest := holders.Load() > 0 || w.quiet >= maxQuietPolls
	w.hold(!rest)
	return rest
}

// wakeCounter counts how often sleeping loops are woken.
type wakeCounter struct {
	mu    sync.Mutex
	from  time.Time
	count int
}

var wakeups wakeCounter

// add counts a wake-up, and reports whether there have been many recently.
func (r *wakeCounter) add() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.from) > wakeWindow {
		r.from, r.count = now, 0
	}
	r.count++
	return r.count >= wakesToPoll
}

// hold sets whether the loop keeps a processor.
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

// running is the number of loops of this process in Run.
var running atomic.Int32

var raising sync.Mutex

// takeProcessor makes sure that there is one processor more than there are running loops, for all other goroutines: a loop does not
// give up its own while it polls. GOMAXPROCS may be lowered later (testing.AllocsPerRun does so); then loops sleep.
func takeProcessor() {
	raising.Lock()
	defer raising.Unlock()
	if n := int(running.Add(1)); runtime.GOMAXPROCS(0) <= n {
		runtime.GOMAXPROCS(n + 1)
	}
}

func giveProcessor() { running.Add(-1) }
