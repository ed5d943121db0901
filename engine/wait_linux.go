package engine

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file holds the wait of a loop that expects to sleep. An ordinary system call keeps the processor (the scheduler's P) of
// the one who sleeps, in case it is back soon, until Go's monitor thread takes it away. With another processor idle that
// takes the monitor 10 ms, through which it looks each 20 us and then ever more rarely: more than 1 ms of CPU each
// time a loop falls asleep and is woken up (figures: docs/performance.md). Who gives the processor up first is spared that.
//
// The runtime says of both functions that they stay as they are, since others use them as well (go.dev/issue/67401). Between them
// the goroutine has no processor: no Go code that allocates, grows the stack or is watched by the race detector may run.

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// sleep is epoll_wait(2) without a limit, for one who will be asleep for long. Events is not empty, and the caller holds on to it
// elsewhere than on its stack: the kernel writes to it through an address that the garbage collector does not see.
//
//go:nosplit
//go:norace
func sleep(epfd int, events []unix.EpollEvent) (int, syscall.Errno) {
	first, most := uintptr(unsafe.Pointer(&events[0])), uintptr(len(events))
	forever := -1
	entersyscallblock()
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), first, most, uintptr(forever), 0, 0)
	exitsyscall()
	return int(n), errno
}

// pace tells a busy loop from one that sleeps most of the time. What it costs to be wrong is little either way, so it only
// looks back.
type pace struct {
	from    int64 // ms on the loop's clock
	batches int64 // since then
	slow    bool  // fewer than one in slowGap, when last looked at
}

// Between batches that are 10 ms apart, the monitor gives up; where they are closer, giving up the processor is what costs more.
const (
	paceWindow = 64 // for how long batches are counted, in ms
	slowGap    = 6  // ms a batch, on average
)

// batch is told of each batch of events.
func (p *pace) batch(now int64) {
	p.batches++
	if d := now - p.from; d >= paceWindow {
		p.slow = p.batches*slowGap < d
		p.from, p.batches = now, 0
	}
}
