package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// socketPath returns a path for a unix socket; it must be short.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kroxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func dialUnix(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// tally is a listener on its own loop that counts connections.
type tally struct {
	*enginetest.Loop
	*engine.Listener
	probe *enginetest.Probe
	held  []int32
	peers []netip.AddrPort
}

func accepts(t *testing.T, fd int, limit *engine.Limit) *tally {
	t.Helper()
	g := &tally{Loop: enginetest.Start(t, engine.Options{})}
	g.probe = g.Probe()
	g.Do(func() {
		var err error
		g.Listener, err = engine.NewListener(g.Loop.Loop, fd, engine.ListenerOptions{Limit: limit, Accept: func(_ *engine.Listener, fd int32, peer netip.AddrPort) {
			g.held = append(g.held, fd)
			g.peers = append(g.peers, peer)
			g.probe.Note()
		}})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		g.Do(func() {
			g.Close()
			for _, fd := range g.held {
				engine.CloseFD(fd)
			}
		})
	})
	return g
}

func (g *tally) await(t *testing.T, n int) {
	t.Helper()
	g.probe.Await(t, fmt.Sprint(n, " clients"), func() bool { return len(g.held) == n })
}

func duplicate(t *testing.T, fd int) int {
	t.Helper()
	second, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	return second
}

func TestListenUnix(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	e := engine.Endpoint{Unix: path, Mode: 0o640}
	fd, err := e.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o640 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if addrs, err := engine.ListensOn(fd); err != nil || len(addrs) != 0 {
		t.Errorf("listens on %v, %v", addrs, err)
	}
	if err := e.CheckFree(); err != nil {
		t.Errorf("CheckFree: %v", err)
	}
	g := accepts(t, fd, nil)
	dialUnix(t, path)
	g.await(t, 1)
	g.Do(func() {
		if g.peers[0].IsValid() {
			t.Errorf("a client of a unix socket is %v", g.peers[0])
		}
	})
	if second, err := e.Listen(); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a second socket: %d, %v", second, err)
	}
	e.Mode = 0o666
	if err := e.Change(fd); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o666 {
		t.Errorf("the file: %v, %v", info, err)
	}
	dialUnix(t, path) // it still listens
	g.await(t, 2)
	g.Do(func() { g.Close() })
	// Now the file's process is gone.
	fd, err = e.Listen()
	if err != nil {
		t.Fatalf("in the place of a stale file: %v", err)
	}
	defer unix.Close(fd)
	dialUnix(t, path)
}

func TestListenUnixRefuses(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	dir := filepath.Dir(path)
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("precious"), 0o600), os.Symlink(file, link), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "datagram"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	for at, want := range map[string]error{
		file:                               engine.ErrNotSocket,
		link:                               engine.ErrNotSocket,
		pipe:                               engine.ErrNotSocket,
		dir:                                engine.ErrNotSocket,
		datagram.LocalAddr().String():      unix.EADDRINUSE,
		filepath.Join(dir, "no", "where"):  unix.ENOENT,
		filepath.Join(file, "s"):           unix.ENOTDIR,
		"/" + strings.Repeat("x", 107):     unix.ENAMETOOLONG,
		dir + strings.Repeat("/dir", 1000): unix.ENAMETOOLONG,
	} {
		if fd, err := (engine.Endpoint{Unix: at}).Listen(); !errors.Is(err, want) || fd != -1 {
			t.Errorf("%.60s: %d, %v, want %v", at, fd, err, want)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file: %q, %v", text, err)
	}
	for _, at := range []string{link, pipe, datagram.LocalAddr().String()} {
		if _, err := os.Lstat(at); err != nil {
			t.Error(err)
		}
	}
}

func TestRetireUnix(t *testing.T) {
	t.Parallel()
	const clients = 100
	path := socketPath(t)
	fd, err := engine.Endpoint{Unix: path, Mode: 0o600}.Listen()
	if err != nil {
		t.Fatal(err)
	}
	g := accepts(t, fd, nil)
	done := make(chan struct{})
	g.Do(func() {
		for range clients {
			dialUnix(t, path)
		}
		g.Retire(func() { close(done) })
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, "the end", done)
	g.Do(func() {
		if len(g.held) != clients || g.Open() {
			t.Errorf("%d clients were accepted, want %d; open: %v", len(g.held), clients, g.Open())
		}
	})
}

// A loop that cannot accept a client must not be the only one that is woken for it.
func TestCommonSocketOfAFullLoop(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	fd, err := engine.Endpoint{Unix: path, Mode: 0o600}.Listen()
	if err != nil {
		t.Fatal(err)
	}
	second := duplicate(t, fd)
	full := accepts(t, fd, engine.NewLimit(1))
	dialUnix(t, path)
	full.await(t, 1)
	other := accepts(t, second, nil)
	for n := range 3 {
		time.Sleep(150 * time.Millisecond) // longer than a pause, whose end no event announces
		dialUnix(t, path)
		other.await(t, n+1)
	}
	// When it has a place, it accepts again.
	other.Do(func() { other.Close() })
	full.Do(func() {
		engine.CloseFD(full.held[0])
		full.held = nil
		full.Release()
	})
	dialUnix(t, path)
	full.await(t, 1)
}

func TestListenIPv6Only(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{false, true} {
		// The port is free for IPv4, and stays so: for a socket of IPv6 only, the kernel might choose one on which somebody listens.
		var port uint16
		var fd int
		for try := 1; ; try++ {
			var err error
			port = enginetest.Reserve(t, "0.0.0.0:0").Port()
			e := engine.Endpoint{Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), port), IPv6Only: only}
			if fd, err = e.Listen(); err == nil {
				break
			}
			if errors.Is(err, unix.EAFNOSUPPORT) {
				t.Skipf("no IPv6 here: %v", err)
			}
			if !errors.Is(err, unix.EADDRINUSE) || try == 20 { // somebody may have the port for IPv6
				t.Fatal(err)
			}
		}
		c, err := net.Dial("tcp4", fmt.Sprint("127.0.0.1:", port))
		if (err != nil) != only {
			t.Errorf("IPv6 only is %v, and a client of IPv4 gets %v", only, err)
		}
		if err == nil {
			_ = c.Close()
		}
		c, err = net.Dial("tcp6", fmt.Sprintf("[::1]:%d", port))
		if err != nil {
			t.Errorf("IPv6 only is %v, and a client of IPv6 gets %v", only, err)
		} else {
			_ = c.Close()
		}
		addrs, err := engine.ListensOn(fd)
		if err != nil || (len(addrs) == 1) != only {
			t.Errorf("listens on %v, %v", addrs, err)
		}
		all := engine.Endpoint{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}
		if err := all.CheckFree(); (err == nil) != only {
			t.Errorf("IPv6 only is %v, and all of IPv4 is free: %v", only, err)
		}
		_ = unix.Close(fd)
	}
}

// Accepted connections inherit keepalive, also after it has been changed.
func TestListenKeepalive(t *testing.T) {
	t.Parallel()
	e := engine.Endpoint{Addr: netip.MustParseAddrPort(enginetest.Loopback)}
	fd, err := e.Listen()
	if err != nil {
		t.Fatal(err)
	}
	g := accepts(t, fd, nil)
	addr := net.TCPAddrFromAddrPort(enginetest.LocalAddr(t, fd))
	for n, keepalive := range []time.Duration{0, 30 * time.Second, time.Millisecond, 0, 1000 * time.Hour} {
		e.Keepalive = keepalive
		if err := e.Change(fd); err != nil {
			t.Fatal(err)
		}
		c, err := net.DialTCP("tcp", nil, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		g.await(t, n+1)
		g.Do(func() {
			client := int(g.held[n])
			on, err := unix.GetsockoptInt(client, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			if err != nil || (on != 0) != (keepalive > 0) {
				t.Errorf("%v: keepalive is %d, %v", keepalive, on, err)
			}
			if keepalive == 0 {
				return
			}
			want := int(min(max(keepalive/time.Second, 1), 32767))
			for _, option := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL} {
				if v, err := unix.GetsockoptInt(client, unix.IPPROTO_TCP, option); err != nil || v != want {
					t.Errorf("%v: option %d is %d, %v, want %d", keepalive, option, v, err, want)
				}
			}
		})
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	silent, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(silent)
	datagram, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(datagram)
	for _, fd := range []int{silent, datagram, -1} {
		if err := (engine.Endpoint{}).Adopt(fd); err == nil {
			t.Errorf("descriptor %d was adopted", fd)
		}
	}
	path := socketPath(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := (engine.Endpoint{Unix: path}).Adopt(int(f.Fd())); err != nil {
		t.Error(err)
	}
}
