package engine_test

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// outcome awaits what becomes of a connection to addr, and closes it when the test ends.
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

// Bytes that are sent at once complete the handshake.
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

// A black hole is neither good nor bad.
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
