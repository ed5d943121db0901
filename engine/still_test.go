package engine_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// awaitEvent waits until the epoll set of l, whose goroutine calls it, has an event.
func awaitEvent(l *enginetest.Loop) error {
	set := []unix.PollFd{{Fd: int32(l.EpollFD()), Events: unix.POLLIN}}
	for {
		switch n, err := unix.Poll(set, int(enginetest.Patience.Milliseconds())); {
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0:
			return fmt.Errorf("no event came: %w", err)
		default:
			return nil
		}
	}
}

// A process that was stopped finds passed deadlines and arrived bytes at once. The bytes are served first; otherwise the peers
// that sent them would be taken for silent.
func TestEventsAreServedBeforeDeadlines(t *testing.T) {
	t.Parallel()
	for _, peers := range []int{1, 600} { // 600 are more than a batch
		t.Run(fmt.Sprint(peers), func(t *testing.T) {
			t.Parallel()
			loop := enginetest.Start(t, engine.Options{})
			p := loop.Probe()
			heard, heardBefore := 0, -1
			p.OnReady = func(c *engine.Conn) {
				if n, err := c.Read(loop.Scratch()); err == nil && n == 1 {
					heard++
				}
			}
			p.OnExpired = func(*engine.Timer) { heardBefore = heard }
			ends := make([]int, peers)
			for i := range ends {
				pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				ends[i] = pair[0]
				t.Cleanup(func() { _ = unix.Close(pair[0]) })
				loop.AttachFD(t, new(engine.Conn), int32(pair[1]), p)
			}
			p.Await(t, "all are attached", func() bool { return p.Readies >= peers })
			deadline := engine.Timer{Handler: p}
			loop.Do(func() {
				loop.Arm(&deadline, loop.Now()+1)
				if err := awaitEvent(loop); err != nil {
					t.Error(err)
				}
				for _, fd := range ends {
					if _, err := unix.Write(fd, []byte("x")); err != nil {
						t.Error(err)
					}
				}
			})
			p.Await(t, "the deadline", func() bool { return p.Expiries == 1 })
			if heardBefore != peers {
				t.Errorf("%d of %d had been heard when the deadline was served", heardBefore, peers)
			}
		})
	}
}

// If events never end, deadlines are still served.
func TestDeadlinesAreServedBesideFullBatches(t *testing.T) {
	t.Parallel()
	const many = 1500 // more than the longest batch
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	over := false
	p.OnReady = func(c *engine.Conn) {
		if !over {
			_, _ = unix.Write(c.FD(), []byte{1, 0, 0, 0, 0, 0, 0, 0}) // causes its next event
		}
	}
	p.OnExpired = func(*engine.Timer) { over = true }
	for range many {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		loop.AttachFD(t, new(engine.Conn), int32(fd), p)
	}
	deadline := engine.Timer{Handler: p}
	loop.Do(func() { loop.Arm(&deadline, loop.Now()+50) })
	p.Await(t, "the deadline", func() bool { return p.Expiries == 1 })
}

// crowdTimer is one of many timers.
type crowdTimer struct {
	engine.Timer
	loop    *engine.Loop
	again   int64 // ms after which it is armed once more, if not zero
	expired int
	left    *int // of all timers
}

func (*crowdTimer) Ready(*engine.Conn) {}

func (c *crowdTimer) Expired(*engine.Timer) {
	c.expired++
	*c.left--
	if c.again > 0 {
		c.loop.Arm(&c.Timer, c.loop.Now()+c.again)
		c.again = 0
		*c.left++
	}
}

// There are thousands of deadlines in one tick; some are re-armed when they expire, and others disarmed by the first. Each expires once, whether
// the loop slept until then or was stopped, and a connection is served at the same time.
func TestThousandsOfDeadlinesAtOnce(t *testing.T) {
	t.Parallel()
	const many = 20_000
	for _, still := range []bool{false, true} {
		t.Run(fmt.Sprintf("standing still %v", still), func(t *testing.T) {
			t.Parallel()
			loop := enginetest.Start(t, engine.Options{})
			p := loop.Probe()
			p.OnReady = func(c *engine.Conn) {
				if n, err := c.Read(loop.Scratch()); err == nil {
					_, _ = c.Write(loop.Scratch()[:n])
				}
			}
			peer, _ := loop.Attach(t, p)
			crowd := make([]crowdTimer, many)
			left := 0
			loop.Do(func() {
				at := loop.Now() + 100
				for i := range crowd {
					c := &crowd[i]
					c.loop, c.left, c.Handler = loop.Loop, &left, c
					if i%3 == 1 {
						c.again = 1 + int64(i%2)*70_000 // longer than a turn of the wheel
					}
					loop.Arm(&c.Timer, at)
					left++
				}
				for i := 2; i < many; i += 3 {
					loop.Disarm(&crowd[i].Timer)
					left--
				}
				if still {
					if err := awaitEvent(loop); err != nil {
						t.Error(err)
					}
				}
			})
			far := 0
			for i := range crowd {
				if i%3 == 1 && i%2 == 1 {
					far++
				}
			}
			timer := engine.Timer{Handler: p}
			for done := false; !done; {
				if _, err := peer.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if _, err := peer.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				p.Await(t, "another tick", func() bool {
					if done = left == far; !done && p.Expiries == 0 {
						loop.Arm(&timer, loop.Now()+1)
					}
					return done || p.Expiries > 0
				})
				loop.Do(func() { p.Expiries = 0 })
			}
			loop.Do(func() {
				for i := range crowd {
					want := 1
					switch {
					case i%3 == 2:
						want = 0
					case i%3 == 1 && i%2 == 0:
						want = 2
					}
					if crowd[i].expired != want {
						t.Errorf("timer %d expired %d times, want %d", i, crowd[i].expired, want)
						break
					}
					loop.Disarm(&crowd[i].Timer)
				}
			})
		})
	}
}
