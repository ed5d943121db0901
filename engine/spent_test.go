package engine_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// inode identifies a socket, even if several had the same descriptor one after the other. It is zero if fd is not open.
func inode(fd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}

// dialled is a connection that says hello to a host and reads until the end.
type dialled struct {
	*reader
	engine.Conn
	fd    int
	inode uint64
	ended int64 // when end returned, in ms on the loop's clock
}

// late reports whether the socket of d may have been closed because it was not used in time. Tests on a machine that stands still meet that.
// It is called on the loop.
func (d *dialled) late(loop *enginetest.Loop) bool { return loop.Now()-d.ended >= engine.SpentKeep }

// dialTo connects to a host and waits for the echo. The connection is closed when the test ends.
func dialTo(t *testing.T, loop *enginetest.Loop, host netip.AddrPort) *dialled {
	t.Helper()
	d := &dialled{reader: newReader(loop, 100)}
	read, sent := d.OnReady, false
	d.OnReady = func(c *engine.Conn) {
		if !sent && c.Connected(host) == nil {
			sent = true
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Errorf("writing to %v: %v", host, err)
			}
		}
		if sent {
			read(c)
		}
	}
	loop.Do(func() {
		if err := loop.Dial(&d.Conn, host, true, d.reader); err != nil {
			t.Errorf("dialling %v: %v", host, err)
			return
		}
		d.fd = d.FD()
		d.inode = inode(d.fd)
		loop.Again(&d.Conn)
	})
	t.Cleanup(func() { loop.Do(d.Close) })
	d.Await(t, "the echo", func() bool { return string(d.got) == "hello" || d.err != nil })
	return d
}

// end ends the connection in good order; with first, before the host does.
func (d *dialled) end(t *testing.T, loop *enginetest.Loop, first bool) {
	t.Helper()
	if first {
		loop.Do(func() {
			if err := d.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
		})
	}
	d.Await(t, "the end", func() bool { return d.err != nil })
	loop.Do(func() {
		if !errors.Is(d.err, io.EOF) {
			t.Errorf("the stream ended with %v", d.err)
		}
		d.ended = loop.Now()
		d.CloseEnded()
		if d.Open() {
			t.Error("open after CloseEnded")
		}
		for !d.confirmed() {
			// The host's kernel, which is this one, is about to acknowledge.
		}
	})
}

// confirmed reports whether the host has acknowledged all bytes and the FIN.
func (d *dialled) confirmed() bool {
	n, err := unix.IoctlGetInt(d.fd, unix.SIOCOUTQ)
	return n == 0 || err != nil
}

// echoOnce sends back five bytes and ends the connection.
func echoOnce(c *net.TCPConn) { _, _ = io.CopyN(enginetest.OnlyWriter{Writer: c}, c, 5) }

// outside returns an address of this machine other than loopback, with port zero.
func outside(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Skipf("no addresses: %v", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return net.JoinHostPort(n.IP.String(), "0")
		}
	}
	t.Skip("no address but loopback")
	return ""
}

// The socket of an ended connection is reused for the next one, whichever side ended it first and wherever the next one goes.
func TestSpentSocketServesAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, at string
		serve    func(*net.TCPConn)
		first    bool
	}{
		{"ended by us", enginetest.Loopback, enginetest.Echo, true},
		{"ended by the host", enginetest.Loopback, echoOnce, false},
		{"IPv6", "[::1]:0", enginetest.Echo, true},
		{"not loopback", "", echoOnce, false}, // where connecting completes by an event
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at := c.at
			if at == "" {
				at = outside(t)
			}
			probe, err := net.Listen("tcp", at)
			if err != nil {
				t.Skipf("not on this machine: %v", err)
			}
			_ = probe.Close()
			hosts := []netip.AddrPort{enginetest.Accepting(t, at, c.serve), enginetest.Accepting(t, at, c.serve)}
			loop := enginetest.Start(t, engine.Options{MaxSpent: 4})
			var last *dialled
			for i := range 6 {
				d := dialTo(t, loop, hosts[i%2])
				late := false
				loop.Do(func() { late = last != nil && last.late(loop) })
				if last != nil && d.inode != last.inode && !late {
					t.Errorf("connection %d has a socket of its own", i)
				}
				d.end(t, loop, c.first)
				last = d
			}
		})
	}
}

// Bytes that the host has not acknowledged must still reach it, so the socket is not touched until then.
func TestUnconfirmedSocketIsNotReused(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	received := make(chan int64, 1)
	busy := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		echoOnce(c)
		_ = c.CloseWrite()
		<-goOn
		n, err := io.Copy(io.Discard, c)
		if err != nil {
			t.Errorf("the busy host: %v", err)
		}
		received <- n
	})
	host := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	loop := enginetest.Start(t, engine.Options{MaxSpent: 4})
	slow := dialTo(t, loop, busy)
	slow.Await(t, "the host's end", func() bool { return slow.err != nil })
	var sent int64
	loop.Do(func() {
		for chunk := make([]byte, 100_000); ; {
			n, err := slow.Write(chunk)
			sent += int64(n)
			if err != nil {
				break
			}
		}
		slow.CloseEnded()
		if slow.confirmed() {
			t.Error("all is confirmed by a host that does not read")
		}
	})
	// Other connections come across the slow socket, and eventually reuse their own again.
	sockets := make(map[uint64]bool)
	for range 6 {
		d := dialTo(t, loop, host)
		sockets[d.inode] = true
		d.end(t, loop, true)
	}
	if sockets[slow.inode] {
		t.Error("the socket was used again while bytes were on their way")
	}
	if len(sockets) == 6 {
		t.Error("no socket was used again")
	}
	close(goOn)
	if n := <-received; n != sent {
		t.Errorf("the host received %d bytes of %d", n, sent)
	}
}

func TestSpentSocketsAreClosed(t *testing.T) {
	if !enginetest.Child(t) { // it counts descriptors
		return
	}
	host := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	open := func(all ...*dialled) (n int) {
		for _, d := range all {
			if inode(d.fd) == d.inode {
				n++
			}
		}
		return n
	}
	for max, want := range []int{0, 1, 2, 2} {
		loop := enginetest.Start(t, engine.Options{MaxSpent: max})
		var a, b *dialled
		for late := true; late; {
			a, b = dialTo(t, loop, host), dialTo(t, loop, host)
			a.end(t, loop, true)
			b.end(t, loop, true)
			loop.Do(func() {
				late = a.late(loop)
				if n := open(a, b); n != want && !late {
					t.Errorf("at most %d: %d are open, want %d", max, n, want)
				}
			})
		}
		if max < 3 {
			continue
		}
		p := loop.Probe()
		timer := engine.Timer{Handler: p}
		loop.Do(func() { loop.Arm(&timer, loop.Now()+2*engine.SpentKeep+100) })
		p.Await(t, "the timer", func() bool { return p.Expiries == 1 })
		if n := open(a, b); n != 0 {
			t.Errorf("%d are open after their time", n)
		}
	}
	check := enginetest.NoLeaks(t)
	t.Run("closing the loop", func(t *testing.T) {
		loop := enginetest.Start(t, engine.Options{MaxSpent: 4})
		dialTo(t, loop, host).end(t, loop, true)
	})
	check()
}

// While descriptors are short, no loop keeps any that another loop may need.
func TestNoSocketIsSpentWhileDescriptorsAreShort(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	host := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	a, b := enginetest.Start(t, engine.Options{MaxSpent: 4}), enginetest.Start(t, engine.Options{MaxSpent: 4})
	var d *dialled
	var plugs []int
	var err error
	for late := true; late; {
		d = dialTo(t, a, host)
		d.end(t, a, true)
		a.Do(func() {
			if late = d.late(a); late {
				return
			}
			if inode(d.fd) != d.inode {
				t.Error("no socket is kept")
			}
			plugs = useUpFiles(t)
			// It needs a new socket, because the spent one is of the other family.
			var c engine.Conn
			err = a.Dial(&c, netip.MustParseAddrPort("[::1]:1"), false, a.Probe())
			c.Close()
		})
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("no IPv6 here")
	}
	if errors.Is(err, unix.EMFILE) {
		t.Error("a socket is kept that another connection needs")
	}
	for _, fd := range plugs {
		_ = unix.Close(fd)
	}
	d = dialTo(t, b, host)
	d.end(t, b, true)
	if inode(d.fd) == d.inode {
		t.Error("another loop keeps a socket")
	}
}

// useUpFiles lowers the limit on open files and opens as many as possible. The test needs its own process; the caller
// may be on any goroutine.
func useUpFiles(t *testing.T) (fds []int) {
	t.Helper()
	highest := 0
	for fd := range enginetest.FDs(t) {
		highest = max(highest, fd)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Error(err)
	}
	limit.Cur = uint64(highest) + 8
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Error(err)
		return nil
	}
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fds // EMFILE, or EINVAL
		}
		fds = append(fds, fd)
	}
}

// Only a socket that Dial has made can be reused by Dial.
func TestOtherSocketsAreJustClosed(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{MaxSpent: 4})
	peer, c := loop.Attach(t, loop.Probe())
	loop.Do(c.CloseEnded)
	if n, err := io.Copy(io.Discard, peer); n != 0 || err != nil {
		t.Errorf("the peer read %d bytes and %v", n, err)
	}
	host := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	d := dialTo(t, loop, host)
	loop.Do(func() { d.SetLayer(plain{}) })
	loop.Do(d.CloseEnded)
	if inode(d.fd) == d.inode {
		t.Error("a connection with a layer was not closed")
	}
}

// A connection to a host may have TCP keepalive. Its socket is not reused, because the next connection may have none.
func TestSetKeepalive(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{MaxSpent: 4})
	d := dialTo(t, loop, enginetest.Accepting(t, enginetest.Loopback, echoOnce))
	option := func(level, name int) int {
		n, err := unix.GetsockoptInt(d.fd, level, name)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if option(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 {
		t.Error("keepalive is on without having been asked for")
	}
	loop.Do(func() { d.SetKeepalive(7500 * time.Millisecond) })
	for what, c := range map[string][3]int{
		"keepalive": {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"idle":      {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 7},
		"interval":  {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 7},
		"probes":    {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
	} {
		if n := option(c[0], c[1]); n != c[2] {
			t.Errorf("%s: %d, want %d", what, n, c[2])
		}
	}
	loop.Do(d.CloseEnded)
	if inode(d.fd) == d.inode {
		t.Error("the socket was not closed")
	}
}

// plain is a layer that does nothing.
type plain struct{ engine.Layer }

func (plain) Closing(*engine.Conn, bool) {}

func TestSpentSocketsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	loop, err := engine.NewLoop(engine.Options{MaxSpent: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	l, err := net.Listen("tcp", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	addr, fd := l.Addr().(*net.TCPAddr).AddrPort(), file.Fd()
	var c engine.Conn
	expectNoAllocs(t, "a connection", func() {
		if err := loop.Dial(&c, addr, false, ignore{}); err != nil {
			t.Error(err)
		}
		peer, _, errno := unix.Syscall(unix.SYS_ACCEPT, fd, 0, 0)
		if errno != 0 {
			t.Error(errno)
		}
		engine.CloseFD(int32(peer))
		if n, err := c.Read(loop.Scratch()); n != 0 || !errors.Is(err, io.EOF) {
			t.Error(n, err)
		}
		c.CloseEnded()
	})
}
