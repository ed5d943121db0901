package engine_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
)

// still returns a loop that does not run, with two connections whose peers the test owns. Nothing else may happen in the process
// while allocations are counted, so these tests are not parallel.
func still(t *testing.T) (loop *engine.Loop, a, b *engine.Conn, peerA, peerB int) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	loop, err := engine.NewLoop(engine.Options{MaxPipes: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loop.Close)
	open := func() (*engine.Conn, int) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := new(engine.Conn)
		if err := loop.Attach(c, int32(fds[0]), ignore{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.Close()
			_ = unix.Close(fds[1])
		})
		return c, fds[1]
	}
	a, peerA = open()
	b, peerB = open()
	return loop, a, b, peerA, peerB
}

func expectNoAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

func TestConnAllocatesNothing(t *testing.T) {
	loop, a, b, peerA, peerB := still(t)
	chunk := make([]byte, 10_000)
	expectNoAllocs(t, "copying a chunk", func() {
		if _, err := unix.Write(peerA, chunk); err != nil {
			t.Error(err)
		}
		n, err := a.Read(loop.Scratch())
		if n != len(chunk) || err != nil {
			t.Error(n, err)
		}
		if n, err := b.Write(loop.Scratch()[:n]); n != len(chunk) || err != nil {
			t.Error(n, err)
		}
		if n, err := unix.Read(peerB, chunk); n != len(chunk) || err != nil {
			t.Error(n, err)
		}
	})
	expectNoAllocs(t, "an empty read", func() {
		if _, err := a.Read(loop.Scratch()); !errors.Is(err, unix.EAGAIN) {
			t.Error(err)
		}
	})
	expectNoAllocs(t, "asking for the error", func() {
		if err := a.SocketError(); err != nil {
			t.Error(err)
		}
	})
}

func TestPipeAllocatesNothing(t *testing.T) {
	loop, a, b, peerA, peerB := still(t)
	chunk := make([]byte, 3000)
	loop.GivePipe(loop.TakePipe())
	expectNoAllocs(t, "splicing a chunk", func() {
		if _, err := unix.Write(peerA, chunk); err != nil {
			t.Error(err)
		}
		p := loop.TakePipe()
		if n, err := p.Fill(a, 1<<20); n != len(chunk) || err != nil {
			t.Error(n, err)
		}
		if _, err := p.Drain(b); err != nil {
			t.Error(err)
		}
		loop.GivePipe(p)
		if n, err := unix.Read(peerB, chunk); n != len(chunk) || err != nil {
			t.Error(n, err)
		}
	})
}

func TestTimersAllocateNothing(t *testing.T) {
	loop, _, _, _, _ := still(t)
	timer := engine.Timer{Handler: ignore{}}
	far := int64(1_000_000)
	expectNoAllocs(t, "arming, moving and disarming", func() {
		far -= 100 // each arms the timerfd
		loop.Arm(&timer, far)
		loop.Arm(&timer, far+500)
		loop.Arm(&timer, far-50)
		loop.Disarm(&timer)
	})
}

func TestAgainAllocatesNothing(t *testing.T) {
	loop, a, b, _, _ := still(t)
	expectNoAllocs(t, "being called again", func() {
		loop.Again(a)
		loop.Again(b)
		loop.RunAgain()
	})
}

func TestBuffersAllocateNothing(t *testing.T) {
	loop, _, _, _, _ := still(t)
	for _, n := range []int{1, 5000, engine.ScratchSize} {
		expectNoAllocs(t, "borrowing a buffer", func() { loop.FreeBuffer(loop.Buffer(n)) })
	}
}

// A full iteration of a running loop, including the wait and the dispatch.
func TestLoopAllocatesNothing(t *testing.T) {
	loop, _, _, _, _ := still(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[1], true); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	var c engine.Conn
	h := &ponger{loop: loop}
	h.timer.Handler = h
	if err := loop.Attach(&c, int32(fds[1]), h); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- loop.Run() }()
	buf := make([]byte, 64)
	expectNoAllocs(t, "a round trip", func() {
		if _, err := unix.Write(fds[0], buf); err != nil {
			t.Error(err)
		}
		if n, err := unix.Read(fds[0], buf); n != len(buf) || err != nil {
			t.Error(n, err)
		}
	})
	loop.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.Close()
}

// ponger sends back what it reads, and postpones a deadline each time.
type ponger struct {
	loop  *engine.Loop
	timer engine.Timer
}

func (p *ponger) Ready(c *engine.Conn) {
	if n, err := c.Read(p.loop.Scratch()); err == nil {
		p.loop.Arm(&p.timer, p.loop.Now()+10_000)
		_, _ = c.Write(p.loop.Scratch()[:n])
	}
}

func (p *ponger) Expired(*engine.Timer) {}
