package engine_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// An event of a closed connection may reach the connection that got its descriptor in the same batch. These tests force
// that: two connections become ready while the loop is blocked, and the handler of the first closes the second. Because all
// lower descriptors are in use, the next socket gets its number.

// plug occupies all descriptors lower than fd. Like await, it is called on the loop and must not end the test.
func plug(t *testing.T, fd int32) {
	for {
		n, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = unix.Close(n) })
		if n > int(fd) {
			return
		}
	}
}

// stale makes two connections ready in one batch, each by cause. The handler of the first one calls
// replace with the other, which is already closed, and with the number of its descriptor. replace reports whether it got that number;
// if another thread was faster, stale starts again.
func stale(t *testing.T, cause func(*net.TCPConn), replace func(loop *enginetest.Loop, victim *engine.Conn, fd int32) bool) *enginetest.Loop {
	t.Helper()
	for range 10 {
		if loop, got := tryStale(t, cause, replace); got {
			return loop
		}
	}
	t.Fatal("other threads take the number time after time")
	return nil
}

// tryStale makes one attempt of stale.
func tryStale(t *testing.T, cause func(*net.TCPConn), replace func(loop *enginetest.Loop, victim *engine.Conn, fd int32) bool) (loop *enginetest.Loop, got bool) {
	t.Helper()
	loop = enginetest.Start(t, engine.Options{})
	peerA, fdA := enginetest.Pair(t)
	peerB, fdB := enginetest.Pair(t)
	var a, b engine.Conn
	p := loop.Probe()
	loop.AttachFD(t, &a, fdA, p)
	loop.AttachFD(t, &b, fdB, p)
	p.Await(t, "room to write", func() bool { return a.Writable() && b.Writable() })
	replaced := 0
	loop.Do(func() {
		p.OnReady = func(c *engine.Conn) {
			victim, fd := &a, fdA
			if c == &a {
				victim, fd = &b, fdB
			}
			replaced++
			victim.Close()
			got = replace(loop, victim, fd)
		}
		cause(peerA)
		cause(peerB)
		await(t, fdA, fdB)
		plug(t, max(fdA, fdB)) // also the peers' descriptors, which a reset has closed
	})
	p.Await(t, "the first of two events", func() bool { return replaced > 0 })
	loop.Do(func() {
		if replaced != 1 {
			t.Errorf("the closed connection's handler was called %d times", replaced-1)
		}
	})
	return loop, got
}

// move renumbers a descriptor to the number to, which is free unless another thread has just taken it. It reports whether it succeeded;
// otherwise the descriptor is unchanged.
func move(t *testing.T, from int, to int32) bool {
	n, err := unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, int(to))
	if err != nil {
		t.Error(err)
		return false
	}
	if n != int(to) {
		_ = unix.Close(n)
		return false
	}
	_ = unix.Close(from)
	return true
}

// dial connects victim to addr, and reports whether it got descriptor fd.
func dial(t *testing.T, loop *enginetest.Loop, victim *engine.Conn, fd int32, addr netip.AddrPort, h engine.Handler) bool {
	if err := loop.Dial(victim, addr, false, h); err != nil {
		t.Error(err)
		return false
	}
	if victim.FD() != int(fd) {
		victim.Close()
		return false
	}
	return true
}

// await waits until the descriptors are readable.
func await(t *testing.T, fds ...int32) {
	for _, fd := range fds {
		p := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
		if n, err := unix.Poll(p, int(enginetest.Patience.Milliseconds())); n != 1 {
			t.Errorf("descriptor %d is not ready: %v", fd, err)
		}
	}
}

var causes = []struct {
	name string
	do   func(*net.TCPConn)
}{
	{"bytes", func(c *net.TCPConn) { _, _ = c.Write([]byte("not for the new one")) }},
	{"end", func(c *net.TCPConn) { _, _ = c.Write([]byte("not for the new one")); _ = c.CloseWrite() }},
	{"reset", func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }},
}

// The new connection may be told of readiness that is not its own. Its reads and writes return the actual state.
func TestStaleEventForAnEstablishedConnection(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	for _, cause := range causes {
		t.Run(cause.name, func(t *testing.T) {
			peer, spare := enginetest.Pair(t)
			var (
				r        *reader
				spurious bool
			)
			loop := stale(t, cause.do, func(loop *enginetest.Loop, victim *engine.Conn, fd int32) bool {
				r = newReader(loop, 100)
				read := r.OnReady
				r.OnReady = func(c *engine.Conn) {
					// Nothing was sent yet.
					if r.Readies == 1 {
						spurious = c.Readable()
						if _, err := c.Read(loop.Scratch()); !errors.Is(err, unix.EAGAIN) || c.Readable() {
							t.Errorf("read of a stale event: %v, readable %v", err, c.Readable())
						}
						if err := c.SocketError(); err != nil || c.Errored() {
							t.Errorf("error of a stale event: %v, errored %v", err, c.Errored())
						}
					}
					read(c)
				}
				if !move(t, int(spare), fd) {
					return false
				}
				if err := loop.Loop.Attach(victim, fd, r); err != nil {
					t.Error(err)
				}
				return true
			})
			r.Await(t, "the stale event", func() bool { return r.Readies > 0 })
			loop.Do(func() {
				if !spurious {
					t.Error("the event was not stale: this test tests nothing")
				}
			})
			write(t, peer, "its own")
			r.Await(t, "its bytes", func() bool { return len(r.got) == len("its own") })
			loop.Do(func() {
				if string(r.got) != "its own" || r.err != nil {
					t.Errorf("got %q, %v", r.got, r.err)
				}
			})
		})
	}
}

// A stale event makes a connection in progress look neither established nor failed.
func TestStaleEventForAConnectionBeingMade(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	for _, cause := range causes {
		t.Run(cause.name, func(t *testing.T) {
			hole := enginetest.BlackHole(t, enginetest.Loopback)
			var (
				p     *enginetest.Probe
				first error
			)
			stale(t, cause.do, func(loop *enginetest.Loop, victim *engine.Conn, fd int32) bool {
				p = loop.Probe()
				p.OnReady = func(c *engine.Conn) {
					if p.Readies == 1 && !c.Readable() {
						t.Error("the event was not stale: this test tests nothing")
					}
					first = c.Connected(hole)
					if c.Writable() {
						t.Error("writable before it is connected")
					}
				}
				return dial(t, loop, victim, fd, hole, p)
			})
			p.Await(t, "the stale event", func() bool { return p.Readies > 0 })
			p.Await(t, "the answer", func() bool { return errors.Is(first, unix.EALREADY) })
		})
	}
}

// A connection in progress that gets a stale event still learns that it was established.
func TestStaleEventThenConnected(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	addr := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	for _, cause := range causes {
		t.Run(cause.name, func(t *testing.T) {
			var r *reader
			sent := false
			stale(t, cause.do, func(loop *enginetest.Loop, victim *engine.Conn, fd int32) bool {
				r = newReader(loop, 100)
				read := r.OnReady
				r.OnReady = func(c *engine.Conn) {
					if r.Readies == 1 && !c.Readable() {
						t.Error("the event was not stale: this test tests nothing")
					}
					if !sent && c.Connected(addr) == nil {
						if _, err := c.Write([]byte("hello")); err != nil {
							t.Error(err)
						}
						sent = true
					}
					if sent {
						read(c)
					}
				}
				return dial(t, loop, victim, fd, addr, r)
			})
			r.Await(t, "the echo", func() bool { return string(r.got) == "hello" && r.err == nil })
		})
	}
}

// A listener that gets a stale event finds no waiting client.
func TestStaleEventForAListener(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	fd, err := engine.Listen(netip.MustParseAddrPort(enginetest.Loopback))
	if err != nil {
		t.Fatal(err)
	}
	addr := enginetest.LocalAddr(t, fd)
	var ln *engine.Listener
	accepted := 0
	var p *enginetest.Probe
	loop := stale(t, causes[0].do, func(loop *enginetest.Loop, _ *engine.Conn, old int32) bool {
		p = loop.Probe()
		if !move(t, fd, old) {
			return false
		}
		ln, err = engine.NewListener(loop.Loop, int(old), engine.ListenerOptions{
			Accept: func(_ *engine.Listener, fd int32, _ netip.AddrPort) {
				accepted++
				engine.CloseFD(fd)
				ln.Release()
				p.Note()
			},
		})
		if err != nil {
			t.Error(err)
		}
		return true
	})
	defer loop.Do(func() { ln.Close() })
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Await(t, "a client", func() bool { return accepted == 1 })
}
