package main_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// noise is what the streams of the soak test consist of.
var noise = func() []byte {
	b := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{'n', 'o', 'i', 's', 'e'}).Read(b)
	return b
}()

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// flowSize picks the length of a stream: mostly short, sometimes long, rarely very long.
func flowSize(r *rand.Rand) int {
	switch k := r.IntN(100); {
	case k < 60:
		return r.IntN(20_000)
	case k < 97:
		return r.IntN(3 << 20)
	default:
		return 30 << 20
	}
}

// pauseSometimes rarely sleeps a little.
func pauseSometimes(r *rand.Rand) {
	if r.IntN(50) == 0 {
		time.Sleep(time.Duration(r.IntN(5000)) * time.Microsecond)
	}
}

// chunkSize picks how much to write or read at once. The kind of chunk stays the same for a while, so that the proxy switches between copying and splicing.
func chunkSize(r *rand.Rand, at int) int {
	switch at >> 20 % 3 {
	case 0:
		return 1 + r.IntN(256<<10)
	case 1:
		return 1 + r.IntN(8<<10)
	}
	return 1 + r.IntN(64<<10)
}

// sendFlow writes a stream: its size, the bytes, their checksum, and the end.
func sendFlow(c *net.TCPConn, r *rand.Rand, size int) error {
	sum := uint32(0)
	head := binary.BigEndian.AppendUint64(nil, uint64(size))
	if _, err := c.Write(head); err != nil {
		return err
	}
	for at := 0; at < size; {
		n := min(chunkSize(r, at), size-at)
		from := r.IntN(len(noise) - n)
		piece := noise[from:][:n]
		if _, err := c.Write(piece); err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, piece)
		at += n
		pauseSometimes(r)
	}
	if _, err := c.Write(binary.BigEndian.AppendUint32(nil, sum)); err != nil {
		return err
	}
	return c.CloseWrite()
}

// receiveFlow reads what sendFlow wrote, to the end of the stream, and checks it.
func receiveFlow(c *net.TCPConn, r *rand.Rand) error {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return fmt.Errorf("reading the length: %w", err)
	}
	size := int(binary.BigEndian.Uint64(head[:]))
	buf := make([]byte, 256<<10)
	sum := uint32(0)
	for at := 0; at < size; {
		n, err := c.Read(buf[:min(chunkSize(r, at), size-at)])
		sum = crc32.Update(sum, castagnoli, buf[:n])
		if at += n; err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", at, size, err)
		}
		pauseSometimes(r)
	}
	rest, err := io.ReadAll(c)
	if err != nil || len(rest) != 4 {
		return fmt.Errorf("after %d bytes: %d bytes more, error %w; want a checksum and the end", size, len(rest), err)
	}
	if want := binary.BigEndian.Uint32(rest); sum != want {
		return fmt.Errorf("wrong bytes: the checksum of %d bytes is %08x, want %08x", size, sum, want)
	}
	return nil
}

// exchange sends a stream and receives one, at the same time or one after the other.
func exchange(c *net.TCPConn, seed uint64, sendFirst, receiveFirst bool) error {
	out, in := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	if receiveFirst {
		if err := receiveFlow(c, in); err != nil {
			return err
		}
	}
	sent := make(chan error, 1)
	go func() { sent <- sendFlow(c, out, flowSize(out)) }()
	if sendFirst {
		if err := <-sent; err != nil {
			return err
		}
		sent <- nil
	}
	if !receiveFirst {
		if err := receiveFlow(c, in); err != nil {
			return err
		}
	}
	return <-sent
}

// soakPatience is how long a session of the soak test may take: it may move 60 MB, beside others.
const soakPatience = 6 * patience

// Random bytes both ways, copied, spliced and switching between both, with half-closes: all arrive unchanged.
func TestSoak(t *testing.T) {
	const clients, length = 20, 2500 * time.Millisecond
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	failed := make(chan error, 1<<16)
	var atHost atomic.Int64
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		atHost.Add(1)
		defer atHost.Add(-1)
		_ = c.SetDeadline(time.Now().Add(soakPatience))
		var head [9]byte // the seed and the order
		if _, err := io.ReadFull(c, head[:]); err != nil {
			failed <- fmt.Errorf("host: %w", err)
			return
		}
		if err := exchange(c, binary.BigEndian.Uint64(head[:]), head[8] == 2, head[8] == 1); err != nil {
			failed <- fmt.Errorf("host: %w", err)
		}
	})
	p := start(t, setup{hosts: endpoints(h)})
	before := p.sockets()
	var running sync.WaitGroup
	end := time.Now().Add(length)
	for i := range clients {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		running.Go(func() {
			for time.Now().Before(end) {
				c, err := p.tryDial()
				if err != nil {
					failed <- err
					return
				}
				_ = c.SetDeadline(time.Now().Add(soakPatience))
				order := byte(r.IntN(3)) // 1: the client sends first, 2: the host does, 0: both at the same time
				head := append(binary.BigEndian.AppendUint64(nil, r.Uint64()), order)
				_, err = c.Write(head)
				if err = errors.Join(err, exchange(c, r.Uint64(), order == 1, order == 2)); err != nil {
					failed <- fmt.Errorf("client %d: %w", i, err)
				}
				_ = c.Close()
			}
		})
	}
	running.Wait()
	p.awaitSockets(t, "all sessions have ended", func(n int) bool { return n <= before && atHost.Load() == 0 })
	for len(failed) > 0 {
		t.Error(<-failed)
	}
}
