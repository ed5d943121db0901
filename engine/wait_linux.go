//go:build !go1.27 && !plainwait

package engine

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file holds what a loop that waits asks of Go's runtime: to wait while it keeps its processor (the scheduler's P), to
// wait without one, and to let others have it for a moment. wait.go decides which, and says why.
//
// The runtime says of all three functions that they stay as they are, since others use them as well (go.dev/issue/67401).
// What they cost and how the runtime's monitor treats them is its own affair, though: a Go that this was not measured with
// gets the ordinary wait of wait_other.go, and Tuned says so.

// Tuned reports whether this program was built with a Go whose scheduler the loops' wait is made for. Otherwise everything
// works, and costs more CPU where there is little to do.
const Tuned = true

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// yield lets other goroutines that wait for this processor run. Unlike runtime.Gosched it wakes no other thread, which would take
// the loop over to another CPU.
//
//go:linkname yield runtime.goyield
func yield()

// poll is epoll_wait(2) for at most so many ms. The caller keeps its processor: nothing else can run on that meanwhile. Where
// the runtime has to stop this goroutine, for the garbage collector say, its signal ends the wait with EINTR, and a signal that
// comes a moment too early is repeated. Events is not empty.
func poll(epfd int, events []unix.EpollEvent, ms int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(ms), 0, 0)
	return int(n), errno
}

// sleep is epoll_wait(2) without a limit, for one who will be asleep for long, and gives its processor up for that long. Events is
// not empty, and the caller holds on to it elsewhere than on its stack: the kernel writes to it through an address that the
// garbage collector does not see.
//
// Between the two calls of the runtime the goroutine has no processor: no Go code that allocates, grows the stack or is watched by
// the race detector may run.
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
