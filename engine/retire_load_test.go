package engine_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// Sockets are opened and retired a hundred times while clients connect continuously, and no client notices.
func TestSocketsComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	const cycles, lasting, passing, clients = 10, 2, 10, 8
	s := share(t, "127.0.0.1", 0)
	loop := enginetest.Start(t, engine.Options{})
	answer := []byte("y")
	got := make(map[*engine.Listener]*atomic.Int64)
	var total atomic.Int64
	// add opens a socket as a master does, which keeps it, and makes a worker accept from it.
	add := func() (l *engine.Listener) {
		s.open(t)
		fd, err := unix.FcntlInt(uintptr(s.fds[len(s.fds)-1]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		mine := new(atomic.Int64)
		loop.Do(func() {
			l, err = engine.NewListener(loop.Loop, fd, engine.ListenerOptions{Accept: func(l *engine.Listener, fd int32, _ netip.AddrPort) {
				_, _ = unix.Write(int(fd), answer)
				engine.CloseFD(fd)
				l.Release()
				mine.Add(1)
				total.Add(1)
			}})
		})
		if err != nil {
			t.Fatal(err)
		}
		got[l] = mine
		return l
	}
	var stay, pass []*engine.Listener
	for range lasting {
		stay = append(stay, add())
	}
	s.steer(t, 0, lasting)

	var (
		running         sync.WaitGroup
		stop            atomic.Bool
		made, late, bad atomic.Int64
	)
	for range clients {
		running.Go(func() {
			for !stop.Load() {
				began := time.Now()
				err := func() error {
					c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.addr))
					if err != nil {
						return err
					}
					defer c.Close()
					_ = c.SetLinger(0) // no TIME_WAIT
					_ = c.SetDeadline(time.Now().Add(enginetest.Patience))
					if b, err := io.ReadAll(c); err != nil || string(b) != "y" {
						return fmt.Errorf("the answer: %q, %w", b, err)
					}
					return nil
				}()
				made.Add(1)
				if time.Since(began) > 900*time.Millisecond {
					late.Add(1)
				}
				if err != nil && bad.Add(1) < 5 {
					t.Error(err)
				}
			}
		})
	}
	for range cycles {
		for range passing {
			pass = append(pass, add())
		}
		s.steer(t, 0, lasting+passing)
		enough := total.Load() + 20*passing
		idle := func(l *engine.Listener) bool { return got[l].Load() == 0 }
		for deadline := time.Now().Add(enginetest.Patience); total.Load() < enough || slices.ContainsFunc(pass, idle); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("clients do not get on, or a socket gets no client at all")
			}
		}
		s.steer(t, 0, lasting)
		var retired sync.WaitGroup
		retired.Add(passing)
		loop.Do(func() {
			for _, l := range pass {
				l.Retire(retired.Done)
			}
		})
		retired.Wait()
		for range passing {
			s.close(len(s.fds) - 1)
		}
		pass = nil
	}
	stop.Store(true)
	running.Wait()
	loop.Do(func() {
		for _, l := range stay {
			l.Close()
		}
	})
	t.Logf("%d connections, %d bad, %d took a second try", made.Load(), bad.Load(), late.Load())
}
