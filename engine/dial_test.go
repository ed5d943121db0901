package engine_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// outcome dials addr and waits for the outcome. It closes the connection when the test ends.
func outcome(t *testing.T, addr netip.AddrPort) (*enginetest.Loop, *engine.Conn, error) {
	t.Helper()
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	c := new(engine.Conn)
	var result error
	known := false
	p.OnReady = func(c *engine.Conn) {
		if known {
			return
		}
		if result = c.Connected(addr); !errors.Is(result, unix.EALREADY) {
			known = true
		}
	}
	loop.Do(func() {
		if err := loop.Dial(c, addr, false, p); err != nil {
			known, result = true, err
			if c.Open() {
				t.Error("open after an error")
			}
		} else if c.Writable() {
			known = true
		}
	})
	t.Cleanup(func() { loop.Do(c.Close) })
	p.Await(t, "the outcome", func() bool { return known })
	return loop, c, result
}

func TestDial(t *testing.T) {
	t.Parallel()
	v4 := enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold)
	mapped := netip.AddrPortFrom(netip.AddrFrom16(v4.Addr().As16()), v4.Port())
	for _, c := range []struct {
		name string
		addr netip.AddrPort
		want error
	}{
		{"accepted", v4, nil},
		{"accepted at a mapped address", mapped, nil},
		{"refused", enginetest.Refusing(t, enginetest.Loopback), unix.ECONNREFUSED},
		{"broadcast", netip.MustParseAddrPort("255.255.255.255:9"), errAny},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			loop, conn, err := outcome(t, c.addr)
			if errors.Is(c.want, errAny) {
				if err == nil {
					t.Error("connected")
				}
				return
			}
			if !errors.Is(err, c.want) {
				t.Fatalf("outcome: %v, want %v", err, c.want)
			}
			if err != nil {
				return
			}
			loop.Do(func() {
				if !conn.Writable() {
					t.Error("not writable")
				}
				if err := conn.Connected(c.addr); err != nil {
					t.Errorf("asked again: %v", err)
				}
			})
		})
	}
}

// With Prompt, the first bytes complete the handshake.
func TestDialPrompt(t *testing.T) {
	t.Parallel()
	addr := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	loop := enginetest.Start(t, engine.Options{})
	r := newReader(loop, 100)
	c := new(engine.Conn)
	t.Cleanup(func() { loop.Do(c.Close) })
	sent := false
	read := r.OnReady
	r.OnReady = func(c *engine.Conn) {
		if !sent && c.Connected(addr) == nil {
			sent = true
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Error(err)
			}
		}
		if sent {
			read(c)
		}
	}
	loop.Do(func() {
		if err := loop.Dial(c, addr, true, r); err != nil {
			t.Error(err)
		}
		loop.Again(c)
	})
	r.Await(t, "the echo", func() bool { return string(r.got) == "hello" })
}

var errAny = errors.New("any error")

// A host that accepts, sends and resets before the loop looks counts as connected: its bytes are read, and then the reset.
func TestDialHeardAndReset(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(enginetest.Loopback)))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	// With this address Linux also connects within the machine, but Dial does not check at once whether the connection is established.
	addr := netip.AddrPortFrom(netip.IPv4Unspecified(), ln.Addr().(*net.TCPAddr).AddrPort().Port())
	var c engine.Conn
	r := newReader(loop, 100)
	read, connected := r.OnReady, false
	r.OnReady = func(c *engine.Conn) {
		if !connected {
			if err := c.Connected(addr); err != nil {
				t.Errorf("connecting: %v", err)
				r.err = err
				return
			}
			connected = true // the reset may come with an event of its own
		}
		read(c)
	}
	loop.Do(func() {
		if err := loop.Dial(&c, addr, false, r); err != nil {
			t.Error(err)
			return
		}
		host, err := ln.AcceptTCP()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err = host.Write([]byte("a word")); err != nil {
			t.Error(err)
		}
		_ = host.SetLinger(0)
		_ = host.Close()
	})
	r.Await(t, "the end", func() bool { return r.err != nil })
	loop.Do(func() {
		if string(r.got) != "a word" || !errors.Is(r.err, unix.ECONNRESET) {
			t.Errorf("got %q and %v, want the word and a reset", r.got, r.err)
		}
		c.Close()
	})
}

func TestDialIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	defer l.Close()
	if _, _, err := outcome(t, l.Addr().(*net.TCPAddr).AddrPort()); err != nil {
		t.Errorf("outcome: %v", err)
	}
}

// A connection to a black hole neither succeeds nor fails.
func TestDialBlackHole(t *testing.T) {
	t.Parallel()
	addr := enginetest.BlackHole(t, enginetest.Loopback)
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	var c engine.Conn
	timer := engine.Timer{Handler: p}
	loop.Do(func() {
		if err := loop.Dial(&c, addr, false, p); err != nil {
			t.Error(err)
		}
		loop.Arm(&timer, loop.Now()+50)
	})
	p.Await(t, "the timer", func() bool { return p.Expiries == 1 })
	loop.Do(func() {
		if err := c.Connected(addr); !errors.Is(err, unix.EALREADY) {
			t.Errorf("Connected: %v, want EALREADY", err)
		}
		if p.Readies != 0 {
			t.Errorf("%d events", p.Readies)
		}
		c.Close()
	})
}

func TestDialLeaksNothing(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	good := enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold)
	bad := enginetest.Refusing(t, enginetest.Loopback)
	t.Run("warm", func(t *testing.T) { _, _, _ = outcome(t, good) })
	check := enginetest.NoLeaks(t)
	for range 3 {
		t.Run("run", func(t *testing.T) {
			_, _, _ = outcome(t, good)
			_, _, _ = outcome(t, bad)
			_, _, _ = outcome(t, netip.MustParseAddrPort("255.255.255.255:9"))
		})
	}
	check()
}

func TestZoneIndex(t *testing.T) {
	t.Parallel()
	ifaces, err := net.Interfaces()
	if err != nil || len(ifaces) == 0 {
		t.Skipf("no interfaces: %v", err)
	}
	link := netip.MustParseAddr("fe80::1")
	for zone, want := range map[string]uint32{
		"":                              0,
		ifaces[0].Name:                  uint32(ifaces[0].Index),
		strconv.Itoa(ifaces[0].Index):   uint32(ifaces[0].Index),
		"4000000000":                    4000000000,
		"there is no interface of this": 0,
	} {
		if got := engine.ZoneIndex(link.WithZone(zone)); got != want {
			t.Errorf("zone %q: %d, want %d", zone, got, want)
		}
	}
}

// A connection to a unix socket is established at once or refused, even if the socket's backlog is full. At its end the socket is closed,
// and not kept for reuse.
func TestDialUnix(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ln, err := net.Listen("unix", at("listening"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	full, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	if err := errors.Join(unix.Bind(full, &unix.SockaddrUnix{Name: at("full")}), unix.Listen(full, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	loop := enginetest.Start(t, engine.Options{MaxSpent: 4})
	p := loop.Probe()
	dial := func(path string) (c *engine.Conn, err error) {
		c = new(engine.Conn)
		t.Cleanup(func() { loop.Do(c.Close) })
		loop.Do(func() { err = loop.DialUnix(c, path, p) })
		return c, err
	}
	if _, err := dial(at("full")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"full": unix.ECONNREFUSED, "none": unix.ENOENT, "file": unix.ECONNREFUSED, strings.Repeat("x", 108): unix.ENAMETOOLONG} {
		if c, err := dial(at(name)); !errors.Is(err, want) || errors.Is(err, unix.EAGAIN) || c.Open() {
			t.Errorf("%s: %v, open: %v; want %v", name, err, c.Open(), want)
		}
	}
	c, err := dial(at("listening"))
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if _, err := io.WriteString(peer, "hello"); err != nil {
		t.Fatal(err)
	}
	p.Await(t, "bytes", c.Readable)
	loop.Do(func() {
		if n, err := c.Read(loop.Scratch()); string(loop.Scratch()[:n]) != "hello" {
			t.Errorf("read %q, %v", loop.Scratch()[:n], err)
		}
		if !c.Writable() {
			t.Error("not writable")
		}
		if _, err := c.WriteLast([]byte("bye")); err != nil {
			t.Error(err)
		}
		c.QuickAck()
		fd, is := c.FD(), inode(c.FD())
		if c.CloseEnded(); inode(fd) == is {
			t.Error("the socket was not closed")
		}
	})
	if rest, err := io.ReadAll(peer); string(rest) != "bye" || err != nil {
		t.Errorf("the peer read %q, %v", rest, err)
	}
}
