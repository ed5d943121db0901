package main_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// A client that stops reading a download stops the host, costs no memory, and gets everything when it reads on.
func TestBackpressure(t *testing.T) {
	skipUnderRace(t, "it is about memory, of which the race detector has its own")
	const clients = 20
	const rest = 4 << 20   // the least that a host must still have to send when it is stopped
	took := make(chan int) // bytes that each host sent until it was stopped
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		at := writeUntilFull(t, c)
		took <- at
		for end := at + rest; at < end; {
			n, err := c.Write(pattern(at, min(end-at, 64<<10)))
			if at += n; err != nil {
				return
			}
		}
	})
	p := start(t, setup{hosts: endpoints(h)})
	before := p.status("VmRSS")
	conns := make([]*net.TCPConn, clients)
	for i := range conns {
		conns[i] = p.dial()
	}
	total := clients * rest
	for range conns {
		total += <-took
	}
	const limit = 16 << 10
	if grown := p.status("VmRSS") - before; grown > limit {
		t.Errorf("kroxy-ev grew by %d KiB for %d clients that read nothing, want at most %d", grown, clients, limit)
	}

	sizes := make(chan int, clients)
	for _, c := range conns {
		go func() {
			n, err := checkPattern(c)
			if err != nil {
				t.Errorf("after %d bytes: %v", n, err)
			}
			sizes <- n
		}()
	}
	for range conns {
		total -= <-sizes
	}
	if total != 0 {
		t.Errorf("%d of the bytes that the hosts sent did not arrive", total)
	}
}

// period is the length of the pattern that downloads repeat: a prime, so that it divides no buffer's length.
const period = 65521

var patternBytes = func() []byte {
	b := make([]byte, period+64<<10)
	for i := range b {
		k := i % period
		b[i] = byte(k ^ k>>8*7)
	}
	return b
}()

// pattern returns the n bytes, at most 64 KiB, of a download from offset on.
func pattern(offset, n int) []byte { return patternBytes[offset%period:][:n] }

// writeUntilCut writes the pattern until the proxy ends the connection.
func writeUntilCut(c net.Conn) {
	for {
		if _, err := c.Write(patternBytes); err != nil {
			return
		}
	}
}

// checkPattern reads a download to its end and returns its size.
func checkPattern(r io.Reader) (size int, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if !bytes.Equal(buf[:n], pattern(size, n)) {
			return size, errors.New("wrong bytes")
		}
		size += n
		switch {
		case err == io.EOF:
			return size, nil
		case err != nil:
			return size, err
		}
	}
}
