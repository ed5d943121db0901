package engine_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

func TestLimit(t *testing.T) {
	t.Parallel()
	limit := engine.NewLimit(2)
	g := newGate(t, limit)
	g.dial(t)
	g.dial(t)
	g.probe.Await(t, "two clients", func() bool { return len(g.held) == 2 })
	third := g.dial(t)
	g.probe.Await(t, "a pause", func() bool { return len(g.pauses) > 0 })
	g.Do(func() {
		if !errors.Is(g.pauses[0], engine.ErrLimit) {
			t.Errorf("paused because of %v", g.pauses[0])
		}
		if len(g.held) != 2 {
			t.Errorf("%d clients are in, want 2", len(g.held))
		}
	})
	// It retries by itself, and the third client still has to wait.
	g.probe.Await(t, "a second pause", func() bool { return len(g.pauses) > 1 })
	g.Do(func() {
		if len(g.held) != 2 {
			t.Errorf("%d clients are in, want 2", len(g.held))
		}
		g.drop()
	})
	g.probe.Await(t, "the third client", func() bool { return len(g.peers) == 3 })
	g.Do(func() {
		if want := third.LocalAddr().(*net.TCPAddr).AddrPort(); g.peers[2] != want {
			t.Errorf("let in %v, want %v", g.peers[2], want)
		}
	})
	// A raised limit lets the next client in at the next retry.
	g.dial(t)
	pauses := 0
	g.Do(func() { pauses = len(g.pauses) })
	g.probe.Await(t, "a pause for the fourth", func() bool { return len(g.pauses) > pauses })
	limit.Set(3, 6)
	g.probe.Await(t, "the fourth client", func() bool { return len(g.held) == 3 })
}

// Further requests on connections take descriptors too, except for the quarter that is reserved for waiting clients.
func TestLimitOfDescriptors(t *testing.T) {
	t.Parallel()
	limit := engine.NewLimit(1)
	limit.Set(5, 8)
	g := newGate(t, limit)
	g.dial(t)
	g.probe.Await(t, "a client", func() bool { return len(g.held) == 1 })
	g.Do(func() {
		for i, want := range []bool{true, true, true, true, false} {
			if got := g.Share(); got != want {
				t.Errorf("a place for further request %d: %v", i, got)
			}
		}
	})
	g.dial(t)
	g.probe.Await(t, "another client", func() bool { return len(g.held) == 2 })
	g.dial(t)
	g.probe.Await(t, "a pause", func() bool { return len(g.pauses) > 0 })
	g.Do(func() {
		if len(g.held) != 2 {
			t.Errorf("%d clients are in, and there was room for two", len(g.held))
		}
		g.Unshare()
		g.Unshare()
	})
	g.probe.Await(t, "the third client", func() bool { return len(g.held) == 3 })
	g.Do(func() {
		g.Unshare()
		g.Unshare()
		g.drop()
		if !g.Share() {
			t.Error("no place was given back")
		}
		g.Unshare()
	})
}

// A released place is taken at once, not at the next retry.
func TestReleaseLetsTheNextInAtOnce(t *testing.T) {
	t.Parallel()
	const rounds = 20
	g := newGate(t, engine.NewLimit(1))
	g.dial(t)
	for try, came := 1, 1; ; try++ {
		for range rounds {
			g.dial(t)
		}
		g.probe.Await(t, "a pause", func() bool { return len(g.peers) == came && len(g.pauses) > 0 })
		start := time.Now()
		for range rounds {
			came++
			g.Do(g.drop)
			g.probe.Await(t, "the next client", func() bool { return len(g.peers) == came })
		}
		// With the timer alone it would be 100 ms per round, at least. A machine that stands still may take as long.
		took := time.Since(start)
		if took < rounds*50*time.Millisecond {
			break
		}
		if try == 20 {
			t.Fatalf("%d rounds took %v, and %d tries before that took as long", rounds, took, try-1)
		}
	}
	g.Do(func() {
		if len(g.held) != 1 {
			t.Errorf("%d clients are in, want 1", len(g.held))
		}
	})
}

// A limit is shared by all listeners, and a place that another listener has released is found by retrying.
func TestLimitOverListeners(t *testing.T) {
	t.Parallel()
	limit := engine.NewLimit(1)
	a, b := newGate(t, limit), newGate(t, limit)
	a.dial(t)
	a.probe.Await(t, "a client", func() bool { return len(a.held) == 1 })
	b.dial(t)
	b.probe.Await(t, "a pause", func() bool { return len(b.pauses) > 0 })
	b.Do(func() {
		if len(b.held) != 0 {
			t.Error("the limit was passed")
		}
	})
	a.Do(a.drop)
	b.probe.Await(t, "the other client", func() bool { return len(b.held) == 1 })
}

// A listener whose clients come and go does not take every released place from another listener of its loop.
func TestPlacesGoAroundListeners(t *testing.T) {
	t.Parallel()
	const rounds = 20
	busy := newGate(t, engine.NewLimit(1))
	for range rounds + 1 {
		busy.dial(t)
	}
	busy.probe.Await(t, "a pause", func() bool { return len(busy.peers) == 1 && len(busy.pauses) > 0 })
	fd, err := engine.Listen(netip.MustParseAddrPort(enginetest.Loopback))
	if err != nil {
		t.Fatal(err)
	}
	other := &gate{Loop: busy.Loop, probe: busy.probe, addr: enginetest.LocalAddr(t, fd), fd: fd}
	other.open(t, busy.limit)
	t.Cleanup(func() {
		busy.Do(func() {
			other.Close()
			for _, fd := range other.held {
				engine.CloseFD(fd)
			}
		})
	})
	other.dial(t)
	busy.probe.Await(t, "a pause of the other", func() bool { return len(other.pauses) > 0 })
	for round := 1; ; round++ {
		if round > rounds {
			t.Fatalf("none of %d places went to the other listener", rounds)
		}
		busy.Do(busy.drop)
		busy.probe.Await(t, "the next client", func() bool { return len(busy.held)+len(other.held) == 1 })
		came := false
		busy.Do(func() { came = len(other.held) == 1 })
		if came {
			return
		}
	}
}

// A connection may be released before Accept returns.
func TestReleaseInsideAccept(t *testing.T) {
	t.Parallel()
	const clients = 10
	fd, err := engine.Listen(netip.MustParseAddrPort(enginetest.Loopback))
	if err != nil {
		t.Fatal(err)
	}
	addr := enginetest.LocalAddr(t, fd)
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	var l *engine.Listener
	accepted := 0
	loop.Do(func() {
		l, err = engine.NewListener(loop.Loop, fd, engine.ListenerOptions{
			Limit: engine.NewLimit(1),
			Accept: func(_ *engine.Listener, fd int32, _ netip.AddrPort) {
				accepted++
				engine.CloseFD(fd)
				l.Release()
				p.Note()
			},
			Paused: func(reason error) { t.Errorf("paused: %v", reason) },
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Do(func() { l.Close() })
	for range clients {
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	p.Await(t, "all clients", func() bool { return accepted == clients })
}

// A listener that is closed while paused stays closed, whatever is released later.
func TestCloseWhilePaused(t *testing.T) {
	t.Parallel()
	g := newGate(t, engine.NewLimit(1))
	g.dial(t)
	waiting := g.dial(t)
	g.probe.Await(t, "a pause", func() bool { return len(g.held) == 1 && len(g.pauses) > 0 })
	pauses := 0
	g.Do(func() {
		g.Close()
		g.drop()
		pauses = len(g.pauses)
	})
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("the client that waited got bytes")
	}
	timer := engine.Timer{Handler: g.probe}
	g.Do(func() { g.Arm(&timer, g.Now()+150) }) // longer than a pause
	g.probe.Await(t, "the timer", func() bool { return g.probe.Expiries == 1 })
	g.Do(func() {
		if len(g.pauses) != pauses || len(g.peers) != 1 {
			t.Errorf("%d pauses and %d clients after Close", len(g.pauses)-pauses, len(g.peers)-1)
		}
	})
}

// A client gets a descriptor that was kept for later, and does not have to wait.
func TestListenerHasDescriptorsGivenUp(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	g := newGate(t, nil)
	var plugs []int
	asked := 0
	g.Do(func() {
		g.WhenShort(func() bool {
			asked++
			_ = unix.Close(plugs[0])
			plugs = plugs[1:]
			return true
		})
		g.WhenShort(func() bool { return false })
		g.dial(t)
		g.queued(t, 1)
		plugs = useUpFiles(t)
	})
	g.probe.Await(t, "the client", func() bool { return len(g.held) == 1 })
	g.Do(func() {
		if asked != 1 || len(g.pauses) != 0 {
			t.Errorf("asked %d times to give up, %d pauses", asked, len(g.pauses))
		}
		for _, fd := range plugs {
			_ = unix.Close(fd)
		}
	})
}

func TestListenerRunsOutOfDescriptors(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	const clients, room = 5, 3
	g := newGate(t, nil)
	var plugs []int
	unplug := func() {
		_ = unix.Close(plugs[0])
		plugs = plugs[1:]
	}
	g.Do(func() { // so that they queue up
		for range clients {
			g.dial(t)
		}
		g.queued(t, clients)
		plugs = useUpFiles(t)
		for range room {
			unplug()
		}
	})
	g.probe.Await(t, "a pause", func() bool { return len(g.pauses) > 0 })
	g.Do(func() {
		if !errors.Is(g.pauses[0], unix.EMFILE) {
			t.Errorf("paused because of %v", g.pauses[0])
		}
		if len(g.held) != room {
			t.Errorf("%d clients are in, want %d", len(g.held), room)
		}
	})
	// While it waits it costs next to nothing, and calls Paused once per pause: about every 100 ms.
	timer := engine.Timer{Handler: g.probe}
	var (
		began         int64
		pauses, waits int
	)
	g.probe.OnExpired = func(*engine.Timer) {
		took := g.Now() - began // more than 450 if the machine stood still
		if n := int64(len(g.pauses) - pauses); n < 1 || n > took/100+1 {
			t.Errorf("%d pauses in %d ms", n, took)
		}
		if n := int64(g.waits - waits); n > took/4 { // a loop that spun would have thousands
			t.Errorf("%d wake-ups in %d ms", n, took)
		}
	}
	g.Do(func() {
		began, pauses, waits = g.Now(), len(g.pauses), g.waits
		g.Arm(&timer, began+450)
	})
	g.probe.Await(t, "the timer", func() bool { return g.probe.Expiries == 1 })
	g.Do(func() {
		if len(g.held) != room {
			t.Errorf("%d clients are in, want %d", len(g.held), room)
		}
		// A client leaves, and another takes its place.
		g.drop()
	})
	g.probe.Await(t, "the next client", func() bool { return len(g.peers) == room+1 })
	// Descriptors become available elsewhere: the listener retries by itself.
	g.Do(func() {
		for len(plugs) > 0 {
			unplug()
		}
	})
	g.probe.Await(t, "all clients", func() bool { return len(g.peers) == clients })
}
