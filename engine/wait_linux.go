//go:build !go1.27 && !plainwait

package engine

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file holds what a waiting loop needs from Go's runtime: to wait while it keeps its processor (the scheduler's P), to
// wait without one, and to yield the processor for a moment. wait.go decides which, and explains why.
//
// The runtime promises to keep all three linknamed functions, because others use them as well (go.dev/issue/67401). It does not
// promise what they cost or how its monitor treats them. A Go version that was not measured uses the ordinary wait
// of wait_other.go, and Tuned is false.

// Tuned reports whether this program was built with a Go version whose scheduler the loops' wait is tuned for. Otherwise everything
// works, but costs more CPU when there is little to do.
const Tuned = true

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// yield lets other goroutines that wait for this processor run. Unlike runtime.Gosched it wakes no other thread, which would move
// the loop to another CPU.
//
//go:linkname yield runtime.goyield
func yield()

// poll is epoll_wait(2) with a timeout of ms. The caller keeps its processor, so nothing else can run on it meanwhile. If
// the runtime must stop this goroutine, for example for the garbage collector, its signal ends the wait with EINTR; the runtime repeats
// a signal that comes a moment too early. events must not be empty.
func poll(epfd int, events []unix.EpollEvent, ms int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(ms), 0, 0)
	return int(n), errno
}

// sleep is epoll_wait(2) without a timeout, for a loop that will sleep for long; it gives up its processor meanwhile. events must
// not be empty, and must be referenced from elsewhere than the caller's stack: the kernel writes to it through an address that the
// garbage collector does not see.
//
// Between the two calls of the runtime the goroutine has no processor. Code that allocates, grows the stack or is instrumented by
// the race detector must not run there.
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
