package engine

import "math/bits"

// A connection owns a buffer only while it holds bytes that the other side would not take. Reads go through the loop's
// one scratch buffer.
const (
	// ScratchSize is the length of Loop.Scratch in bytes.
	ScratchSize = 64 << 10

	minBufferShift = 12 // 4 KiB
	maxBufferShift = 16 // 64 KiB: what a scratch buffer can leave over
	// idleBufferBytes bounds what the pool keeps of each size; more is left to the garbage collector.
	idleBufferBytes = 1 << 20
)

// bufferPool keeps byte buffers of a few sizes for one loop.
type bufferPool struct {
	idle [maxBufferShift - minBufferShift + 1][][]byte
}

// class is the index of the smallest size that holds n bytes.
func class(n int) int {
	return max(bits.Len(uint(n-1)), minBufferShift) - minBufferShift
}

// get returns a buffer of length n > 0 with unspecified contents. One that is longer than the largest size is not kept.
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

// put takes back a buffer from get. The caller must not use it again. What append has made of one has no size of the pool's, and is not kept.
func (p *bufferPool) put(b []byte) {
	c := class(cap(b))
	if c < len(p.idle) && cap(b) == 1<<(c+minBufferShift) && len(p.idle[c]) < idleBufferBytes>>(c+minBufferShift) {
		p.idle[c] = append(p.idle[c], b)
	}
}
