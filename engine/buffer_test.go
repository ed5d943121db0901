package engine

import "testing"

func TestBufferClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, size int }{
		{1, 4096}, {2, 4096}, {4095, 4096}, {4096, 4096}, {4097, 8192}, {8192, 8192}, {8193, 16384},
		{16384, 16384}, {16385, 32768}, {32769, 65536}, {ScratchSize, ScratchSize},
	} {
		var p bufferPool
		b := p.get(c.n)
		if len(b) != c.n || cap(b) != c.size {
			t.Errorf("get(%d): length %d, capacity %d, want capacity %d", c.n, len(b), cap(b), c.size)
		}
		// The buffer is reused for any length of its class, even though it was shortened.
		p.put(b[:1])
		again := p.get(c.size)
		if len(again) != c.size || &again[0] != &b[0] {
			t.Errorf("get(%d): not the buffer that was put back", c.size)
		}
	}
}

func TestBufferIsLentOnce(t *testing.T) {
	t.Parallel()
	var p bufferPool
	lent := make(map[*byte]bool)
	var all [][]byte
	for range 3 {
		for range 50 {
			b := p.get(5000)
			if lent[&b[0]] {
				t.Fatal("a buffer was lent twice")
			}
			lent[&b[0]] = true
			all = append(all, b)
		}
		for _, b := range all {
			delete(lent, &b[0])
			p.put(b)
		}
		all = all[:0]
	}
}

func TestIdleBuffersAreBounded(t *testing.T) {
	t.Parallel()
	var p bufferPool
	for n := 1 << minBufferShift; n <= ScratchSize; n *= 2 {
		var all [][]byte
		for range 2*idleBufferBytes/n + 3 {
			all = append(all, p.get(n))
		}
		for _, b := range all {
			p.put(b)
		}
		held := 0
		for _, b := range p.idle[class(n)] {
			held += cap(b)
		}
		if held != idleBufferBytes {
			t.Errorf("size %d: the pool keeps %d bytes, want %d", n, held, idleBufferBytes)
		}
	}
}

// A buffer that append has reallocated is not reused as one of the pool's sizes.
func TestBufferThatHasGrown(t *testing.T) {
	t.Parallel()
	var p bufferPool
	p.put(append(p.get(4096), make([]byte, 1000)...))
	if b := p.get(8192); len(b) != 8192 {
		t.Errorf("a buffer of %d bytes", len(b))
	}
}
