package supervise

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counterAt returns the counter at an offset of mapped memory that two processes share, because sync/atomic offers no way to use a
// counter that Go did not allocate. offset must be a multiple of 8 and inside mem, which must outlive the counter.
func counterAt(mem []byte, offset int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&mem[offset : offset+8][0]))
}

// endedChild returns the pid of a child that has ended and was not waited for, 0 if there is none. It does not reap the child. See waitid(2).
func endedChild() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	// After three ints comes a union, aligned like a pointer, that begins with the pid (sigaction(2)).
	const word = unsafe.Sizeof(uintptr(0))
	const numbers = unsafe.Sizeof(info.Signo) + unsafe.Sizeof(info.Errno) + unsafe.Sizeof(info.Code)
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), (numbers+word-1)/word*word)))
}
