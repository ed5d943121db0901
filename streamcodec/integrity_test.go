package streamcodec

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"kroxy-ev/config"
	"kroxy-ev/engine/enginetest"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// TestBytesSurvive sends random data in both directions at once through many sessions, in chunks and with pauses that make the
// proxy copy, splice, and change between the two. It ends the directions in either order, and compares hashes.
func TestBytesSurvive(t *testing.T) {
	t.Parallel()
	for _, pipes := range []int{0, 1, 64} {
		t.Run(fmt.Sprintf("pipes=%d", pipes), func(t *testing.T) {
			t.Parallel()
			hosts := listen(t)
			proxy, server := startProxy(t, hosts.Addr(), pipes, config.Route{})
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var wg sync.WaitGroup
			for i := range 12 {
				client, host := pair(t, proxy, hosts)
				upward, downward := newFlow(seed, uint64(2*i)), newFlow(seed, uint64(2*i+1))
				run := func(f func() error) {
					wg.Go(func() {
						if err := f(); err != nil {
							t.Errorf("session %d: %v", i, err)
						}
					})
				}
				run(func() error { return upward.send(client) })
				run(func() error { return downward.send(host) })
				run(func() error { return upward.receive(host) })
				run(func() error { return downward.receive(client) })
			}
			wg.Wait()
			awaitIdle(t, server)
			spliced := server.Stats().Spliced.Load()
			total := server.Stats().BytesUp.Load() + server.Stats().BytesDown.Load()
			t.Logf("%d MB, %d%% of them spliced", total>>20, 100*spliced/total)
			if pipes == 0 && spliced != 0 {
				t.Errorf("%d bytes were spliced without a pipe", spliced)
			}
			if pipes == 64 && (spliced == 0 || spliced == total) {
				t.Errorf("%d of %d bytes were spliced: both ways of moving bytes were to be tried", spliced, total)
			}
		})
	}
}

// awaitIdle waits until the server has no session.
func awaitIdle(t *testing.T, server *Server) {
	t.Helper()
	for deadline := time.Now().Add(enginetest.Patience); server.Stats().Active.Load() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions are still there", server.Stats().Active.Load())
		}
		time.Sleep(time.Millisecond)
	}
}

// flow is one direction of a session: what is sent, and how. It is random but repeatable.
type flow struct {
	plan, data, taste *rand.Rand // the sender's steps, the bytes, the receiver's pace
	sent              chan [sha256.Size]byte
}

func newFlow(seed, n uint64) *flow {
	source := func(k uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 3*n+k)) }
	return &flow{plan: source(0), data: source(1), taste: source(2), sent: make(chan [sha256.Size]byte, 1)}
}

// send sends phases of small pieces and of bulk, then half-closes.
func (f *flow) send(c *net.TCPConn) error {
	sum := sha256.New()
	buf := make([]byte, 256<<10)
	for range 3 + f.plan.IntN(5) {
		steps, size := 1+f.plan.IntN(40), 1+f.plan.IntN(2000)
		if f.plan.IntN(2) == 0 {
			steps, size = 1+f.plan.IntN(24), len(buf)
		}
		for range steps {
			if err := f.sendChunk(c, sum, buf[:1+f.plan.IntN(size)]); err != nil {
				return err
			}
		}
	}
	f.sent <- [sha256.Size]byte(sum.Sum(nil))
	return c.CloseWrite()
}

func (f *flow) sendChunk(c *net.TCPConn, sum hash.Hash, p []byte) error {
	for i := 0; i < len(p); i += 8 {
		v := f.data.Uint64()
		for k := i; k < min(i+8, len(p)); k++ {
			p[k], v = byte(v), v>>8
		}
	}
	sum.Write(p)
	if f.plan.IntN(10) == 0 {
		time.Sleep(time.Duration(f.plan.IntN(2000)) * time.Microsecond)
	}
	if _, err := c.Write(p); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}

// receive reads to the end at a changing pace, and compares.
func (f *flow) receive(c *net.TCPConn) error {
	sum := sha256.New()
	buf := make([]byte, 128<<10)
	for {
		if f.taste.IntN(20) == 0 {
			time.Sleep(time.Duration(f.taste.IntN(3000)) * time.Microsecond)
		}
		n, err := c.Read(buf[:1+f.taste.IntN(len(buf))])
		sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
	}
	if [sha256.Size]byte(sum.Sum(nil)) != <-f.sent {
		return errors.New("the bytes received are not the bytes sent")
	}
	return nil
}
