package httpcodec

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
)

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in, reply string
		set             func(s *flat, soon time.Duration)
		out, ending     string
	}{
		{"half a head", getRoot[:20], "", func(s *flat, soon time.Duration) { s.Server.ClientHeaderTimeout = soon }, page(408, false), "eof"},
		{"empty lines only", "\r\n\r\n", "", func(s *flat, soon time.Duration) { s.Server.ClientHeaderTimeout = soon }, "", "eof"},
		{"nothing", "", "", func(s *flat, soon time.Duration) { s.Server.ClientHeaderTimeout = soon }, "", "eof"},
		{"idle", getRoot, hi, func(s *flat, soon time.Duration) { s.Server.KeepaliveTimeout = soon }, hi, "eof"},
		{"half a body", postRoot + "Content-Length: 5\r\n\r\nab", hi, func(s *flat, soon time.Duration) { s.ClientBodyTimeout = soon }, page(408, false), "eof"},
		{"half a chunked body", postRoot + te + "\r\n5\r\nab", hi, func(s *flat, soon time.Duration) { s.ClientBodyTimeout = soon }, page(408, false), "eof"},
		{"half a body, both timeouts", postRoot + "Content-Length: 5\r\n\r\nab", hi,
			func(s *flat, soon time.Duration) { s.ClientBodyTimeout, s.ProxyReadTimeout = soon, soon }, page(408, false), "eof"},
		{"silent host", getRoot, halts, func(s *flat, soon time.Duration) { s.ProxyReadTimeout, s.Server.KeepaliveTimeout = soon, soon }, page(504, true), "eof"},
		{"silent host behind a body in two parts", postRoot + "Content-Length: 2\r\n\r\na|b", halts,
			func(s *flat, soon time.Duration) {
				s.ClientBodyTimeout, s.ProxyReadTimeout, s.Server.KeepaliveTimeout = 10*time.Second, soon, soon
			}, page(504, true), "eof"},
		{"silent host, 100 awaited", postRoot + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", early + halts, func(s *flat, soon time.Duration) { s.ProxyReadTimeout = soon }, page(504, false), "eof"},
		{"half a response head", getRoot, "HTTP/1.1 200 OK\r\nX-" + halts, func(s *flat, soon time.Duration) { s.ProxyReadTimeout, s.Server.KeepaliveTimeout = soon, soon }, page(504, true), "eof"},
		{"half a response", getRoot, okHead + "Content-Length: 5\r\n\r\nab" + halts, func(s *flat, soon time.Duration) { s.ProxyReadTimeout = soon }, okHead + "Content-Length: 5\r\n\r\nab", "reset"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
				h := startRecorder(t, tc.reply)
				p := startProxy(t, func(s *flat) { tc.set(s, unit) }, h.addr)
				c := p.dial()
				began := time.Now()
				in, rest, _ := strings.Cut(tc.in, "|")
				send(c, in, nil)
				if rest != "" {
					time.Sleep(2 * unit) // the client may be slow: the host is not waited for
					send(c, rest, nil)
				}
				got, how := readAll(c)
				if got != tc.out || how != tc.ending {
					t.Errorf("got %q, %s\nwant %q, %s", got, how, tc.out, tc.ending)
				}
				if d := time.Since(began); d < unit-20*time.Millisecond {
					t.Errorf("after %v, want about %v", d, unit)
				}
			})
		})
	}
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	p := startProxy(t, func(s *flat) { s.Group.ConnectTimeout = 100 * time.Millisecond }, enginetest.BlackHole(t, enginetest.Loopback))
	c := p.dial()
	send(c, getRoot+getRoot, nil)
	readN(t, c, pageLater(504)+pageLater(504))
	stillOpen(t, c)
}

// A client that gives up while the proxy connects to a host leaves nothing behind.
func TestClientLeavesWhileConnecting(t *testing.T) {
	t.Parallel()
	p := startProxy(t, nil, enginetest.BlackHole(t, enginetest.Loopback))
	c := p.dial()
	send(c, getRoot, nil)
	p.settle()
	_ = c.SetLinger(0)
	c.Close()
	awaitActive(t, p, 0)
}

// A client that resets its connection right after its request leaves nothing behind either: the loop learns of both at once.
func TestClientLeavesWithItsRequest(t *testing.T) {
	t.Parallel()
	p := startProxy(t, nil, enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold))
	c, stands, gone := p.dial(), make(chan struct{}), make(chan struct{})
	p.loop.Post(func() {
		close(stands)
		<-gone
	})
	<-stands
	send(c, getRoot, nil)
	_ = c.SetLinger(0)
	c.Close()
	close(gone)
	awaitActive(t, p, 0)
}

// awaitActive waits until the server has n clients.
func awaitActive(t testing.TB, p *proxy, n int64) {
	t.Helper()
	for began := time.Now(); p.server.Stats().Active.Load() != n; p.settle() {
		if time.Since(began) > enginetest.Patience {
			t.Fatalf("%d clients, want %d", p.server.Stats().Active.Load(), n)
		}
	}
}

// Shutdown closes idle clients, serves those that have sent a request, and waits for exchanges.
func TestShutdown(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	asked := make(chan struct{}, 2)
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
		asked <- struct{}{}
		<-release
		send(c, hi, nil)
		enginetest.Hold(c)
	})
	p := startProxy(t, nil, host)
	idle, fresh, busy := p.dial(), p.dial(), p.dial()
	send(idle, ping, nil)
	readN(t, idle, pingBack)
	send(busy, getRoot, nil)
	<-asked
	drained := make(chan struct{})
	// The last client's bytes have arrived, but the loop is already busy with the shutdown.
	in := make(chan struct{})
	p.loop.Post(func() {
		<-in
		p.server.Shutdown(func() { close(drained) })
	})
	late := p.dial()
	send(late, getRoot, nil)
	close(in)
	<-asked
	for name, c := range map[string]*net.TCPConn{"idle": idle, "fresh": fresh} {
		if s, how := readAll(c); s != "" || how != "eof" {
			t.Errorf("%s: %q, %s; want the end", name, s, how)
		}
	}
	close(release)
	for name, c := range map[string]*net.TCPConn{"busy": busy, "late": late} {
		if s, how := readAll(c); s != okHead+"Content-Length: 2\r\nConnection: close\r\n\r\nhi" || how != "eof" {
			t.Errorf("%s: %q, %s", name, s, how)
		}
		p.unharmed(c)
		c.Close()
	}
	<-drained
	if n := p.server.Stats().Active.Load(); n != 0 {
		t.Errorf("%d clients after the drain", n)
	}
}

// AnnounceClose applies to the response to a request that came before it, and holds until Resume.
func TestAnnounceClose(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		for {
			if _, err := io.ReadFull(c, make([]byte, len(getRoot))); err != nil {
				return
			}
			asked <- struct{}{}
			<-release
			send(c, hi, nil)
		}
	})
	p := startProxy(t, nil, host)
	c := p.dial()
	send(c, getRoot, nil)
	<-asked
	p.server.AnnounceClose()
	release <- struct{}{}
	if s, how := readAll(c); s != okHead+"Content-Length: 2\r\nConnection: close\r\n\r\nhi" || how != "eof" {
		t.Errorf("after AnnounceClose: %q, %s", s, how)
	}
	p.loop.Post(p.server.Resume)
	c = p.dial()
	send(c, getRoot, nil)
	<-asked
	release <- struct{}{}
	readN(t, c, hi)
	stillOpen(t, c)
}

// unharmed fails the test if what c sends after its last response meets a reset, which could destroy the response.
func (p *proxy) unharmed(c *net.TCPConn) {
	for range 3 {
		if _, err := c.Write([]byte(getRoot)); err != nil {
			p.t.Errorf("sending behind the last response: %v", err)
		}
		p.settle()
	}
}

// A keep-alive response that is being sent when the shutdown begins is the client's last, which the client does not know.
func TestShutdownInsideAResponse(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
		send(c, hi[:len(hi)-1], nil)
		<-release
		send(c, hi[len(hi)-1:], nil)
		enginetest.Hold(c)
	})
	p := startProxy(t, nil, host)
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, hi[:len(hi)-1])
	drained := make(chan struct{})
	p.loop.Post(func() { p.server.Shutdown(func() { close(drained) }) })
	p.settle()
	close(release)
	if s, how := readAll(c); s != "i" || how != "eof" {
		t.Errorf("got %q, %s", s, how)
	}
	p.unharmed(c)
	c.Close()
	<-drained
}
