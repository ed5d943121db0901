package engine

import "math/bits"

// A connection owns a buffer only while it holds bytes that the other side did not accept. Reads go through the loop's
// one scratch buffer.
const (
	// ScratchSize is the length of Loop.Scratch in bytes.
	ScratchSize = 64 << 10

	minBufferShift = 12 // 4 KiB
	maxBufferShift = 16 // 64 KiB: a full scratch buffer
	// idleBufferBytes bounds what the pool keeps of each size; the rest is left to the garbage collector.
	idleBufferBytes = 1 << 20
)

// bufferPool keeps byte buffers of a few sizes for one loop.
type bufferPool struct {
	idle [maxBufferShift - minBufferShift + 1][][]byte
}

// class returns the index of the smallest size that holds n bytes.
func class(n int) int {
	return max(bits.Len(uint(n-1)), minBufferShift) - minBufferShift
}

// get returns a buffer of length n > 0 with unspecified contents. A buffer above the largest size will not be kept by put.
func (p *bufferPool) get(n int) []byte {
	c := class(n)
	if c >= len(p.idle) {
		return make([]byte, n)
	}
	if k := len(p.idle[c]); k > 0 {
		b := p.idle[c][k-1]
		p.idle[c][k-1] = nil
		p.idle[c] = p.idle[c][:k-1]
		return b[:n]
	}
	return make([]byte, n, 1<<(c+minBufferShift))
}

// put takes back a buffer from get; the caller must not use it again. A buffer that append has reallocated has none of the pool's sizes and is not kept.
func (p *bufferPool) put(b []byte) {
	c := class(cap(b))
	if c < len(p.idle) && cap(b) == 1<<(c+minBufferShift) && len(p.idle[c]) < idleBufferBytes>>(c+minBufferShift) {
		p.idle[c] = append(p.idle[c], b)
	}
}
