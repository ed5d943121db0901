package supervise

import (
	"sync/atomic"
	"unsafe"
)

// counterAt returns the counter at an offset of mapped memory, which two processes share: sync/atomic has no way to a
// counter that Go did not allocate. The offset is a multiple of 8 and inside mem, which outlives the counter.
func counterAt(mem []byte, offset int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&mem[offset : offset+8][0]))
}
