package engine_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// flow is a source and a sink on one loop.
type flow struct {
	*enginetest.Loop
	from, to             *engine.Conn
	fromPeer, toPeer     *net.TCPConn
	fromEvents, toEvents *enginetest.Probe
}

func newFlow(t *testing.T, maxPipes int) *flow {
	t.Helper()
	f := &flow{Loop: enginetest.Start(t, engine.Options{MaxPipes: maxPipes})}
	f.fromEvents, f.toEvents = f.Probe(), f.Probe()
	f.fromPeer, f.from = f.Attach(t, f.fromEvents)
	f.toPeer, f.to = f.Attach(t, f.toEvents)
	f.fromEvents.Await(t, "the first event", f.from.Writable)
	f.toEvents.Await(t, "the first event", f.to.Writable)
	return f
}

func TestPipeMovesBytes(t *testing.T) {
	t.Parallel()
	f := newFlow(t, 1)
	write(t, f.fromPeer, "hello, pipe")
	f.fromEvents.Await(t, "bytes", f.from.Readable)
	f.Do(func() {
		p := f.TakePipe()
		defer func() { f.GivePipe(p) }()
		if n, err := p.Drain(f.to); n != 0 || err != nil {
			t.Errorf("draining an empty pipe: %d, %v", n, err)
		}
		if n, err := p.Fill(f.from, 5); n != 5 || err != nil || p.Len() != 5 {
			t.Errorf("filling with 5: %d, %v, holds %d", n, err, p.Len())
		}
		if n, err := p.Drain(f.to); n != 5 || err != nil || p.Len() != 0 {
			t.Errorf("draining: %d, %v, holds %d", n, err, p.Len())
		}
		if n, err := p.Fill(f.from, 1<<20); n != 6 || err != nil {
			t.Errorf("filling with what is there: %d, %v", n, err)
		}
		if n, err := p.Drain(f.to); n != 6 || err != nil {
			t.Errorf("draining: %d, %v", n, err)
		}
		if n, err := p.Fill(f.from, 1<<20); n != 0 || !errors.Is(err, unix.EAGAIN) || f.from.Readable() {
			t.Errorf("filling with nothing: %d, %v, readable %v", n, err, f.from.Readable())
		}
	})
	got := make([]byte, 11)
	if _, err := io.ReadFull(f.toPeer, got); err != nil || string(got) != "hello, pipe" {
		t.Errorf("the sink got %q, %v", got, err)
	}
	_ = f.fromPeer.CloseWrite()
	f.fromEvents.Await(t, "the end", f.from.Readable)
	f.Do(func() {
		p := f.TakePipe()
		if n, err := p.Fill(f.from, 100); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("filling at the end: %d, %v", n, err)
		}
		f.GivePipe(p)
	})
}

func TestPipeErrors(t *testing.T) {
	t.Parallel()
	f := newFlow(t, 1)
	write(t, f.fromPeer, "hello")
	f.fromEvents.Await(t, "bytes", f.from.Readable)
	reset(t, f.toPeer)
	f.toEvents.Await(t, "a reset", f.to.Errored)
	f.Do(func() {
		p := f.TakePipe()
		defer f.GivePipe(p)
		if n, err := p.Fill(f.from, 100); n != 5 || err != nil {
			t.Errorf("filling: %d, %v", n, err)
		}
		// The pending error comes first, then EPIPE; no signal ends the process.
		if n, err := p.Drain(f.to); n != 0 || !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
			t.Errorf("draining into a reset connection: %d, %v", n, err)
		}
		if n, err := p.Drain(f.to); n != 0 || !errors.Is(err, unix.EPIPE) || p.Len() != 5 {
			t.Errorf("draining again: %d, %v, holds %d", n, err, p.Len())
		}
	})
	reset(t, f.fromPeer)
	f.fromEvents.Await(t, "a reset", f.from.Errored)
	f.Do(func() {
		p := f.TakePipe()
		defer f.GivePipe(p)
		if n, err := p.Fill(f.from, 100); n != 0 || !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("filling from a reset connection: %d, %v", n, err)
		}
	})
}

// A sink that accepts nothing leaves bytes in the pipe. When it accepts bytes again, the flow continues without losing any.
func TestPipeWithASlowSink(t *testing.T) {
	t.Parallel()
	f := newFlow(t, 1)
	all := make([]byte, 32<<20)
	fill := rand.NewChaCha8([32]byte{2})
	_, _ = fill.Read(all)
	go func() {
		_, _ = f.fromPeer.Write(all)
		_ = f.fromPeer.CloseWrite()
	}()
	var (
		pipe    *engine.Pipe
		blocked int
		ended   bool
	)
	pump := func(*engine.Conn) {
		if pipe == nil {
			pipe = f.TakePipe()
		}
		for !ended {
			if pipe.Len() > 0 {
				held := pipe.Len()
				n, err := pipe.Drain(f.to)
				if n != held-pipe.Len() {
					t.Errorf("drained %d of %d, left %d", n, held, pipe.Len())
				}
				if err != nil {
					if !errors.Is(err, unix.EAGAIN) || pipe.Len() == 0 || f.to.Writable() {
						t.Errorf("draining: %v, holds %d, writable %v", err, pipe.Len(), f.to.Writable())
						ended = true
					}
					blocked++
					return
				}
			}
			if _, err := pipe.Fill(f.from, 1<<20); errors.Is(err, io.EOF) {
				_ = f.to.CloseWrite()
				f.GivePipe(pipe)
				ended = true
			} else if err != nil {
				return
			}
		}
	}
	f.Do(func() {
		f.fromEvents.OnReady, f.toEvents.OnReady = pump, pump
		f.Again(f.from)
	})
	f.toEvents.Await(t, "a full sink", func() bool {
		f.toEvents.Note() // the source's events count, too
		return blocked > 0
	})
	got, err := io.ReadAll(f.toPeer)
	if err != nil || !bytes.Equal(got, all) {
		t.Errorf("the sink got %d bytes of %d, %v; equal: %v", len(got), len(all), err, bytes.Equal(got, all))
	}
}

// Bytes that an ended flow has left in a pipe do not reach another flow.
func TestPipeWithBytesIsDestroyed(t *testing.T) {
	t.Parallel()
	f := newFlow(t, 1)
	write(t, f.fromPeer, "secret")
	f.fromEvents.Await(t, "bytes", f.from.Readable)
	peer, other := f.Attach(t, f.fromEvents)
	f.Do(func() {
		p := f.TakePipe()
		if n, err := p.Fill(f.from, 100); n != 6 || err != nil {
			t.Errorf("filling: %d, %v", n, err)
		}
		f.GivePipe(p)
	})
	write(t, peer, "for all to see")
	f.fromEvents.Await(t, "bytes of another", other.Readable)
	f.Do(func() {
		p := f.TakePipe()
		if p == nil || p.Len() != 0 {
			t.Error("no empty pipe, though the other was given back")
			return
		}
		if _, err := p.Fill(other, 100); err != nil {
			t.Error(err)
		}
		if _, err := p.Drain(f.to); err != nil {
			t.Error(err)
		}
		f.GivePipe(p)
		_ = f.to.CloseWrite()
	})
	if got, err := io.ReadAll(f.toPeer); err != nil || string(got) != "for all to see" {
		t.Errorf("the sink got %q, %v", got, err)
	}
}

func TestMaxPipes(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1, 2, 30} {
		loop, err := engine.NewLoop(engine.Options{MaxPipes: limit})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var all []*engine.Pipe
			for range limit {
				p := loop.TakePipe()
				if p == nil {
					t.Fatalf("pipe %d of %d was not given", len(all)+1, limit)
				}
				all = append(all, p)
			}
			if loop.TakePipe() != nil {
				t.Errorf("more pipes than %d", limit)
			}
			for _, p := range all {
				loop.GivePipe(p)
			}
		}
		loop.Close()
	}
}
