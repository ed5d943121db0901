package supervise

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counterAt returns the counter at an offset of mapped memory, which two processes share: sync/atomic has no way to a
// counter that Go did not allocate. The offset is a multiple of 8 and inside mem, which outlives the counter.
func counterAt(mem []byte, offset int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&mem[offset : offset+8][0]))
}

// endedChild is a child that has ended and that nobody has waited for, 0 if there is none. It stays so. See waitid(2).
func endedChild() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	// After three numbers comes a union, aligned as a pointer is, that begins with the process's id (sigaction(2)).
	const word = unsafe.Sizeof(uintptr(0))
	const numbers = unsafe.Sizeof(info.Signo) + unsafe.Sizeof(info.Errno) + unsafe.Sizeof(info.Code)
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), (numbers+word-1)/word*word)))
}
