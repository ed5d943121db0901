package engine_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// retiring retires the gate's listener. The returned channel is closed when done is called; a second call would panic.
func (g *gate) retiring() (done chan struct{}) {
	done = make(chan struct{})
	g.Do(func() { g.Retire(func() { close(done) }) })
	return done
}

func awaitEnd(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(enginetest.Patience):
		t.Fatalf("waited in vain: %s", what)
	}
}

// refused checks that connections to the gate are refused.
func (g *gate) refused(t *testing.T) {
	t.Helper()
	if c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(g.addr)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a client of a closed listener: %v", err)
		_ = c.Close()
	}
}

// hang leaves a handshake incomplete: with TCP_DEFER_ACCEPT (tcp(7)) the kernel waits for the client's first bytes, although
// the client considers itself connected.
func (g *gate) hang(t *testing.T) *net.TCPConn {
	t.Helper()
	if err := unix.SetsockoptInt(g.fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30); err != nil {
		t.Fatal(err)
	}
	c := g.dial(t)
	for deadline := time.Now().Add(enginetest.Patience); ; time.Sleep(time.Millisecond) {
		found, err := engine.Handshakes(g.fd)
		if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOENT) {
			t.Skipf("this kernel does not tell of handshakes: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 1 {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d handshakes are under way, want 1", len(found))
		}
	}
}

func TestRetireServesTheQueue(t *testing.T) {
	t.Parallel()
	const clients = 100
	g := newGate(t, nil)
	done := make(chan struct{})
	began := time.Now()
	g.Do(func() {
		for range clients {
			g.dial(t)
		}
		g.queued(t, clients)
		g.Retire(func() { close(done) })
	})
	awaitEnd(t, "the end", done)
	t.Logf("it took %v", time.Since(began))
	g.Do(func() {
		if len(g.held) != clients || g.Open() {
			t.Errorf("%d clients were accepted, want %d; open: %v", len(g.held), clients, g.Open())
		}
	})
	g.refused(t)
}

func TestRetireWaitsForHandshakes(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	c := g.hang(t)
	done := g.retiring()
	select { // there is no event to wait for
	case <-done:
		t.Error("closed while a handshake was under way")
	case <-time.After(400 * time.Millisecond):
	}
	if _, err := c.Write([]byte("now")); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, "the end", done)
	g.Do(func() {
		if len(g.held) != 1 {
			t.Errorf("%d clients were accepted, want 1", len(g.held))
			return
		}
		if _, err := unix.Write(int(g.held[0]), []byte("hi")); err != nil {
			t.Error(err)
		}
		// The connection was accepted while its listener had a filter, but has none itself.
		if err := unix.SetsockoptInt(int(g.held[0]), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); !errors.Is(err, unix.ENOENT) {
			t.Errorf("detaching the connection's filter: %v", err)
		}
	})
	if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
		t.Errorf("the client was lost: %v", err)
	}
	g.refused(t)
}

// New clients are not accepted, so that retiring ends, but they are not refused as long as there is another socket.
func TestRetireAcceptsNoNewClients(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	second, err := engine.Listen(g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(second)
	if err := engine.Steer(g.fd, 1); err != nil {
		t.Fatal(err)
	}
	look, done := make(chan struct{}), make(chan struct{})
	g.Do(func() {
		g.RetireWith(func() { close(done) }, func() (map[engine.Handshake]struct{}, error) {
			<-look
			return nil, nil
		}, 0, 1<<40)
	})
	connected := make(chan error, 1)
	go func() {
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(g.addr))
		connected <- err
		if err == nil {
			_ = c.Close()
		}
	}()
	select { // there is no event to wait for
	case err := <-connected:
		t.Fatalf("a new client: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(look)
	awaitEnd(t, "the end", done)
	select { // the group has only this socket left
	case err := <-connected:
		if err != nil {
			t.Errorf("the client's next attempt: %v", err)
		}
	case <-time.After(enginetest.Patience):
		t.Error("the client got nowhere")
	}
	enginetest.Await(t, int32(second), unix.POLLIN)
	g.Do(func() {
		if len(g.held) != 0 {
			t.Errorf("%d clients were accepted", len(g.held))
		}
	})
}

func handshakesNamed(names ...byte) map[engine.Handshake]struct{} {
	found := make(map[engine.Handshake]struct{})
	for _, name := range names {
		found[engine.Handshake{name}] = struct{}{}
	}
	return found
}

// Only handshakes that were in progress at the first look count.
func TestRetireDoesNotWaitForLaterHandshakes(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	var looks atomic.Int32
	done := make(chan struct{})
	g.Do(func() {
		g.RetireWith(func() { close(done) }, func() (map[engine.Handshake]struct{}, error) {
			switch n := looks.Add(1); n {
			case 1:
				return handshakesNamed(1, 2), nil
			case 2:
				return handshakesNamed(2, 3), nil
			case 3:
				return handshakesNamed(1, 2), nil // 1 is a new handshake: the previous look did not find it
			default:
				return handshakesNamed(1, 3, byte(n)), nil
			}
		}, 0, 1<<40)
	})
	awaitEnd(t, "the end", done)
	if n := looks.Load(); n != 4 {
		t.Errorf("%d looks, want 4", n)
	}
}

func TestRetireTimesOut(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	done := make(chan struct{})
	var last int64
	g.Do(func() {
		last = g.Now() + 300
		g.RetireWith(func() { close(done) }, func() (map[engine.Handshake]struct{}, error) { return handshakesNamed(1), nil }, 0, 300)
	})
	awaitEnd(t, "the end of the timeout", done)
	g.Do(func() {
		if g.Now() < last {
			t.Errorf("%d ms too early", last-g.Now())
		}
	})
	g.refused(t)
}

// If the kernel cannot list handshakes, no client must come for a while, and each client restarts that time.
func TestRetireWithoutHandshakeList(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	c := g.hang(t)
	const quiet, before = 4000, 1000
	done := make(chan struct{})
	var began, came int64
	g.Do(func() {
		began = g.Now()
		g.RetireWith(func() { close(done) }, func() (map[engine.Handshake]struct{}, error) { return nil, unix.EPROTONOSUPPORT }, quiet, 1<<40)
	})
	select { // there is no event to wait for
	case <-done:
		t.Fatal("closed at once")
	case <-time.After(before * time.Millisecond):
	}
	_, _ = c.Write([]byte("now"))
	g.probe.Await(t, "the client", func() bool { came = g.Now(); return len(g.held) == 1 })
	awaitEnd(t, "the end", done)
	g.Do(func() {
		if g.Now()-began < before+quiet-50 {
			t.Errorf("closed %d ms after it began, %d ms after the last client", g.Now()-began, g.Now()-came)
		}
	})
	g.refused(t)
}

// Clients that wait while there is no place for them count as arrived, and are served.
func TestRetireWhilePaused(t *testing.T) {
	t.Parallel()
	g := newGate(t, engine.NewLimit(1))
	g.dial(t)
	g.probe.Await(t, "the first client", func() bool { return len(g.held) == 1 })
	g.dial(t)
	g.probe.Await(t, "a pause", func() bool { return len(g.pauses) > 0 })
	done := g.retiring()
	select { // there is no event to wait for
	case <-done:
		t.Fatal("closed with a client in the queue")
	case <-time.After(400 * time.Millisecond):
	}
	freed := time.Now()
	g.Do(g.drop)
	awaitEnd(t, "the end", done)
	g.Do(func() {
		if len(g.held) != 1 {
			t.Errorf("%d clients are there, want the second", len(g.held))
		}
	})
	// There is no place for a third client, but none is waiting either. The listener would give up after 10 s.
	if d := time.Since(freed); d > 8*time.Second {
		t.Errorf("it took %v after the last client was accepted", d)
	}
}

func TestRetireOnce(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	var calls []string
	call := func(what string) func() { return func() { calls = append(calls, what) } }
	look := make(chan struct{})
	defer close(look) // the look outlives its listener
	g.Do(func() {
		g.RetireWith(call("first"), func() (map[engine.Handshake]struct{}, error) {
			<-look
			return nil, nil
		}, 0, 1<<40)
		g.Retire(call("second"))
	})
	g.Do(func() {
		g.Close()
		g.Close()
		g.Retire(call("closed"))
		g.Retire(nil)
		if fmt.Sprint(calls) != "[first closed]" {
			t.Errorf("done was called: %v", calls)
		}
	})
	h := newGate(t, nil)
	h.Do(func() { h.Retire(nil) })
	h.Do(h.Close)
}

// The handler of a client that a tick accepts closes the listener.
func TestRetireAndCloseInAccept(t *testing.T) {
	t.Parallel()
	fd, err := engine.Listen(netip.MustParseAddrPort(enginetest.Loopback))
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Loop: enginetest.Start(t, engine.Options{}), fd: fd, addr: enginetest.LocalAddr(t, fd)}
	g.Do(func() {
		g.Listener, err = engine.NewListener(g.Loop.Loop, fd, engine.ListenerOptions{Accept: func(l *engine.Listener, fd int32, _ netip.AddrPort) {
			engine.CloseFD(fd)
			l.Release()
			l.Close()
		}})
		if err != nil {
			t.Error(err)
			return
		}
		calls := 0
		g.dial(t)
		g.queued(t, 1)
		g.RetireWith(func() { calls++ }, nil, 1<<40, 1<<40)
		if again := g.RetireTickBlind(); again || calls != 1 || g.Open() {
			t.Errorf("another tick is to come: %v; done was called %d times; open: %v", again, calls, g.Open())
		}
	})
}

// A closed listener leaves the epoll set even if another process still has its socket open.
func TestClosedListenerLeavesTheEpollSet(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*gate){
		"Close":  func(g *gate) { g.Do(g.Close) },
		"Retire": func(g *gate) { <-g.retiring() },
	} {
		g := newGate(t, nil)
		kept, err := unix.FcntlInt(uintptr(g.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(kept)
		watched := func() int {
			var info []byte
			g.Do(func() { info, err = os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", g.EpollFD())) })
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(info), "tfd:")
		}
		before := watched()
		end(g)
		if after := watched(); after != before-1 {
			t.Errorf("%s: %d descriptors in the epoll set, were %d with the listener", what, after, before)
		}
	}
}
