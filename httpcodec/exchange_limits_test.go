package httpcodec

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// soon is a timeout that a test waits for; ample is one that does not pass while a test sleeps for soon or less, several
// times in a row.
const (
	soon  = 100 * time.Millisecond
	ample = 5 * soon
)

// idleHosts counts the pooled connections.
func (p *proxy) idleHosts() (n int) {
	done := make(chan struct{})
	p.loop.Post(func() {
		for _, list := range p.server.pool.idle {
			n += len(list)
		}
		close(done)
	})
	<-done
	return n
}

// flood is a host that answers the first request with a body of n bytes, and tells how its connection ended.
func flood(t *testing.T, head string, n int) (at netip.AddrPort, ended chan string) {
	ended = make(chan string, 1)
	return enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
		send(c, "HTTP/1.1 200 OK\r\n"+head+"\r\n", nil)
		var w io.Writer = c
		if head == te {
			w = chunkWriter{c}
		}
		for chunk := make([]byte, 64<<10); n > 0; n -= len(chunk) {
			if _, err := w.Write(chunk[:min(n, len(chunk))]); err != nil {
				break
			}
		}
		if head == te {
			send(c, "0\r\n\r\n", nil)
		}
		if head == "" {
			_ = c.CloseWrite()
		}
		_, err := io.Copy(io.Discard, c)
		ended <- endingOf(err)
	}), ended
}

// A client that takes nothing for send_timeout loses its connection, by a reset, and so does the host.
func TestSendTimeout(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{"length": "Content-Length: 1000000000\r\n", "chunked": te, "until close": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, ended := flood(t, head, 1e9)
			p := startProxy(t, func(s *Settings) { s.SendTimeout, s.ProxyReadTimeout = soon, 10*time.Second }, at)
			c := p.dial()
			began := time.Now()
			send(c, getRoot, nil)
			if how := <-ended; how != "reset" && how != "eof" {
				t.Errorf("the host's connection ended with %s", how)
			}
			if d := time.Since(began); d < soon || d > 10*time.Second {
				t.Errorf("after %v, want about %v", d, soon)
			}
			awaitActive(t, p, 0)
			if got, how := readAll(c); how != "reset" || !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || strings.HasSuffix(got, "0\r\n\r\n") {
				t.Errorf("the client got %d bytes, and %s; want a reset", len(got), how)
			}
			if n := p.idleHosts(); n != 0 {
				t.Errorf("%d host connections in the pool", n)
			}
		})
	}
}

// A client that takes something now and then is not cut off, however long the whole takes.
func TestSendTimeoutSparesSlowClients(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		step  int // taken at a time
		steps int
	}{
		{"much at a time", 2 << 20, 14},
		// Less within send_timeout than what the kernel wants to be free before it says that there is room.
		{"little at a time", 16 << 10, 14},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			at, _ := flood(t, te, 1e9)
			p := startProxy(t, func(s *Settings) { s.SendTimeout = ample }, at)
			c := p.dial()
			send(c, getRoot, nil)
			for b := make([]byte, tc.step); tc.steps > 0; tc.steps-- {
				if n, err := io.ReadFull(c, b); err != nil {
					t.Fatalf("%v, %d bytes into a step, %d steps before the end", err, n, tc.steps)
				}
				time.Sleep(soon / 2)
			}
		})
	}
}

// bottomless is a host that reads only the head, answers with early if that is not empty, and goes on as after says.
func bottomless(t *testing.T, early string, after func(*net.TCPConn)) netip.AddrPort {
	return enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_ = c.SetReadBuffer(128 << 10) // more than a segment of loopback, or the kernel takes its time
		_, _ = io.ReadFull(c, make([]byte, len(postRoot)))
		send(c, early, nil)
		after(c)
	})
}

// upload sends a request with a body that does not end, until that fails, and says how.
func upload(c *net.TCPConn, framing string) string {
	send(c, "PUT / HTTP/1.1\r\nHost: p\r\n"+framing+"\r\n", nil)
	var w io.Writer = c
	if framing == te {
		w = chunkWriter{c}
	}
	for chunk := make([]byte, 64<<10); ; {
		if _, err := w.Write(chunk); err != nil {
			return endingOf(err)
		}
	}
}

func TestProxySendTimeout(t *testing.T) {
	t.Parallel()
	for name, framing := range map[string]string{"length": "Content-Length: 1000000000\r\n", "chunked": te} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release, ended := make(chan struct{}), make(chan string, 2)
			p := startProxy(t, func(s *Settings) {
				s.ProxySendTimeout, s.ProxyReadTimeout, s.ClientBodyTimeout = soon, 10*time.Second, 10*time.Second
			},
				bottomless(t, "", func(c *net.TCPConn) {
					<-release
					_, err := io.Copy(io.Discard, c)
					ended <- endingOf(err)
				}))
			c := p.dial()
			began := time.Now()
			go upload(c, framing)
			readN(t, c, page(504, false))
			if d := time.Since(began); d < soon-20*time.Millisecond || d > 5*time.Second {
				t.Errorf("after %v, want about %v", d, soon)
			}
			close(release)
			if how := <-ended; how != "reset" {
				t.Errorf("the host's connection ended with %s, want reset", how)
			}
			c.Close()
			awaitActive(t, p, 0)
			if n := p.idleHosts(); n != 0 || len(ended) > 0 {
				t.Errorf("%d host connections in the pool, %d more were made", n, len(ended))
			}
		})
	}
}

// A host that has begun its response, and takes no more of the request: the response is cut short.
func TestProxySendTimeoutInsideAResponse(t *testing.T) {
	t.Parallel()
	part := okHead + "Content-Length: 5\r\nConnection: close\r\n\r\nab"
	over := make(chan struct{})
	p := startProxy(t, func(s *Settings) { s.ProxySendTimeout, s.ProxyReadTimeout = soon, 10*time.Second },
		bottomless(t, okHead+"Content-Length: 5\r\n\r\nab", func(*net.TCPConn) { <-over }))
	c := p.dial()
	sent := make(chan string)
	go func() { sent <- upload(c, te) }()
	readN(t, c, part)
	got, how := readAll(c)
	if got != "" || how != "reset" && how != "eof" {
		t.Errorf("got %q, %s; want no more of the response", got, how)
	}
	c.Close()
	<-sent
	close(over)
}

// While the host takes no bytes, proxy_send_timeout counts, and no answer is waited for.
func TestProxyReadTimeoutWhileTheHostIsFull(t *testing.T) {
	t.Parallel()
	const size = 30 << 20
	framing := "Content-Length: 31457280\r\n"
	p := startProxy(t, func(s *Settings) { s.ProxySendTimeout, s.ProxyReadTimeout = 10*time.Second, soon },
		bottomless(t, "", func(c *net.TCPConn) {
			time.Sleep(4 * soon)
			n := int64(size + len("PUT / HTTP/1.1\r\nHost: p\r\n"+framing+"\r\n") - len(postRoot))
			_, _ = io.CopyN(io.Discard, c, n)
			send(c, hi, nil)
			enginetest.Hold(c)
		}))
	c := p.dial()
	go func() {
		send(c, "PUT / HTTP/1.1\r\nHost: p\r\n"+framing+"\r\n", nil)
		_, _ = c.Write(make([]byte, size))
	}()
	readN(t, c, hi)
}

// A client that owes some of its body is not waited for while it waits itself: for the host's 100.
func TestBodyTimeoutCountsFromThe100(t *testing.T) {
	t.Parallel()
	ask := postRoot + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
	cont := "HTTP/1.1 100 Continue\r\n\r\n"
	for name, tc := range map[string]struct {
		body string
		want string
	}{"client goes on": {"abc", hi}, "client does not": {"", page(408, false)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, func(s *Settings) { s.ClientBodyTimeout = soon }, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, len(ask)))
				time.Sleep(3 * soon)
				send(c, cont, nil)
				_, _ = io.ReadFull(c, make([]byte, len("abc")))
				send(c, hi, nil)
				enginetest.Hold(c)
			}))
			c := p.dial()
			send(c, ask, nil)
			readN(t, c, cont)
			send(c, tc.body, nil)
			readN(t, c, tc.want)
		})
	}
}

// A slow client is not cut off as long as some of its body comes in time, nor is a slow host.
func TestReadTimeoutsCountFromTheLastByte(t *testing.T) {
	t.Parallel()
	slowly := func(c *net.TCPConn, s string) {
		for i := range len(s) {
			time.Sleep(soon / 2)
			send(c, s[i:i+1], nil)
		}
	}
	for name, framing := range map[string]string{"length": "Content-Length: 12\r\n\r\nabcdefghijkl", "chunked": te + "\r\n6\r\nabcdef\r\n6\r\nghijkl\r\n0\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			head, body, _ := strings.Cut(framing, "\r\n\r\n")
			head += "\r\n\r\n"
			h := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
				b := make([]byte, 4096)
				for got := ""; !strings.HasSuffix(got, "l") && !strings.HasSuffix(got, "0\r\n\r\n"); {
					k, err := c.Read(b)
					if err != nil {
						return
					}
					got += string(b[:k])
				}
				send(c, okHead+head, nil)
				slowly(c, body)
				enginetest.Hold(c)
			})
			p := startProxy(t, func(s *Settings) {
				s.ClientBodyTimeout, s.ProxyReadTimeout, s.SendTimeout, s.ProxySendTimeout = ample, ample, ample, ample
			}, h)
			c := p.dial()
			send(c, postRoot+head, nil)
			slowly(c, body)
			if got := readMessages(t, c, 1); !strings.HasPrefix(got, okHead) {
				t.Errorf("got %q", got)
			}
			stillOpen(t, c)
		})
	}
}

// A host that falls silent inside a body: the client must not take what it has for the whole.
func TestProxyReadTimeoutInsideABody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ request, reply, want string }{
		"length":             {getRoot, okHead + "Content-Length: 5\r\n\r\nab", okHead + "Content-Length: 5\r\n\r\nab"},
		"chunked":            {getRoot, okHead + te + "\r\n3\r\nabc\r\n", okHead + te + "\r\n3\r\nabc\r\n"},
		"before its end":     {getRoot, okHead + te + "\r\n3\r\nabc\r\n0\r\n", okHead + te + "\r\n3\r\nabc\r\n"},
		"until close":        {getRoot, okHead + "\r\nabc", okHead + te + "\r\n3\r\nabc\r\n"},
		"until close to 1.0": {"GET / HTTP/1.0\r\nHost: p\r\n\r\n", okHead + "\r\nabc", okHead + "Connection: close\r\n\r\nabc"},
		"behind a 1xx":       {getRoot, "HTTP/1.1 103 Early\r\n\r\n", "HTTP/1.1 103 Early\r\n\r\n" + page(504, true)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, tc.reply+halts)
			p := startProxy(t, func(s *Settings) { s.ProxyReadTimeout, s.KeepaliveTimeout = soon, soon }, h.addr)
			c := p.dial()
			began := time.Now()
			send(c, tc.request, nil)
			got, how := readAll(c)
			if got != tc.want {
				t.Errorf("got %q, %s\nwant %q", got, how, tc.want)
			}
			// Where the end of the connection is that of the body, it must be a reset.
			if how != "reset" && (how != "eof" || strings.HasSuffix(name, "1.0")) || how == "reset" && strings.Contains(got, "504") {
				t.Errorf("the connection ended with %s", how)
			}
			if d := time.Since(began); d < soon {
				t.Errorf("after %v, want %v", d, soon)
			}
			p.stop()
			h.seen(1)
		})
	}
}

// keepalive_timeout counts from the end of a response, and ends with the first byte of a request.
func TestKeepaliveTimeout(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, always+hi)
	p := startProxy(t, func(s *Settings) { s.KeepaliveTimeout, s.ClientHeaderTimeout = ample, 4*ample }, h.addr)
	c := p.dial()
	for range 7 {
		send(c, getRoot, nil)
		readN(t, c, hi)
		time.Sleep(soon)
	}
	send(c, getRoot[:10], nil)
	time.Sleep(ample + soon)
	send(c, getRoot[10:], nil)
	readN(t, c, hi)
	last := time.Now()
	if got, how := readAll(c); got != "" || how != "eof" {
		t.Errorf("got %q, %s; want the end", got, how)
	}
	if d := time.Since(last); d < ample-20*time.Millisecond {
		t.Errorf("%v behind the last response, want %v", d, ample)
	}
}

// A pooled connection is closed when it was idle for long enough, and not before: neither while it is busy, nor by what
// its last idle time has left.
func TestUpstreamKeepaliveTimeout(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	conns, ended := make(chan struct{}, 9), make(chan time.Time, 9)
	at := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		conns <- struct{}{}
		for i := 0; ; i++ {
			if _, err := io.ReadFull(c, make([]byte, len(getRoot))); err != nil {
				ended <- time.Now()
				return
			}
			if i == 1 {
				<-slow
			}
			send(c, hi, nil)
		}
	})
	p := startProxy(t, func(s *Settings) { s.UpstreamKeepaliveTimeout = ample }, at)
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	send(c, getRoot, nil)
	time.Sleep(ample + soon)
	close(slow)
	readN(t, c, hi)
	for range 6 {
		time.Sleep(soon)
		send(c, getRoot, nil)
		readN(t, c, hi)
	}
	idle := time.Now()
	if at := <-ended; at.Sub(idle) < ample-20*time.Millisecond || len(conns) != 1 {
		t.Errorf("%d connections; the last ended %v behind its last response, want %v", len(conns), at.Sub(idle), ample)
	}
	if n := p.idleHosts(); n != 0 {
		t.Errorf("%d connections in the pool", n)
	}
	stillOpen(t, c)
}

// With no bound on connecting, a client that gives up is all that can end the attempt.
func TestClientLeavesWhileConnectingForEver(t *testing.T) {
	t.Parallel()
	p := startProxy(t, func(s *Settings) { s.Group.ConnectTimeout = 0 }, enginetest.BlackHole(t, enginetest.Loopback))
	c := p.dial()
	send(c, getRoot, nil)
	hosts := p.server.settings.Group.Balance.Hosts()
	for began := time.Now(); hosts.Active(0) == 0 && time.Since(began) < enginetest.Patience; {
		p.settle()
	}
	_ = c.SetLinger(0)
	c.Close()
	awaitActive(t, p, 0)
	if n := hosts.Active(0); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

// New settings that bound the idle time no more hold for connections that are idle already.
func TestSwapEndsTheIdleTime(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, always+hi)
	p := startProxy(t, func(s *Settings) { s.UpstreamKeepaliveTimeout = soon }, h.addr)
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	p.loop.Post(func() {
		s := *p.server.settings
		s.UpstreamKeepaliveTimeout = 0
		p.server.Swap(&s, nil)
	})
	p.settle()
	time.Sleep(2 * soon)
	if n := p.idleHosts(); n != 1 {
		t.Errorf("%d connections in the pool, want the one", n)
	}
}

// A long response with another behind it, which nobody has asked for: whoever asks next must not get that. All of it is in
// the proxy's socket when the proxy begins to read.
func TestStrayResponseBehindALongOne(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("a", engine.ScratchSize+1000)
	first := okHead + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	asked, sent := make(chan struct{}, 2), make(chan struct{}, 2)
	at := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		for range 2 {
			if _, err := io.ReadFull(c, make([]byte, len(getRoot))); err != nil {
				return
			}
			asked <- struct{}{}
			send(c, first+hi, nil)
			sent <- struct{}{}
		}
	})
	p := startProxy(t, nil, at)
	c := p.dial()
	busy := make(chan struct{})
	send(c, getRoot+getRoot, nil)
	<-asked
	p.loop.Post(func() {
		<-sent
		close(busy)
	})
	<-busy
	readN(t, c, first)
	readN(t, c, first)
	stillOpen(t, c)
}

// The pool is last in, first out; a connection that a host ends while it is idle is dropped from wherever it is.
func TestIdleConnectionsThatEnd(t *testing.T) {
	t.Parallel()
	const n = 4
	conns := make(chan *net.TCPConn, 2*n)
	both := make(chan struct{})
	at := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		conns <- c
		for {
			if _, err := io.ReadFull(c, make([]byte, len(getRoot))); err != nil {
				return
			}
			<-both
			send(c, hi, nil)
		}
	})
	p := startProxy(t, nil, at)
	var clients, hosts []*net.TCPConn
	for range n {
		c := p.dial()
		send(c, getRoot, nil)
		clients = append(clients, c)
		hosts = append(hosts, <-conns)
	}
	close(both)
	for _, c := range clients {
		readN(t, c, hi)
	}
	for i, h := range hosts {
		if i%2 == 0 {
			send(h, "x", nil) // bytes that nobody asked for
		} else {
			_ = h.CloseWrite()
		}
		p.settle()
		if got := p.idleHosts(); got != n-1-i {
			t.Errorf("%d connections in the pool, want %d", got, n-1-i)
		}
	}
	send(clients[0], getRoot, nil)
	readN(t, clients[0], hi)
	if len(conns) != 1 {
		t.Errorf("%d new connections", len(conns))
	}
}

// tunnelled is a host that switches protocols and then does what it is told.
func tunnelled(t *testing.T, behind string, then func(c *net.TCPConn)) netip.AddrPort {
	return enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		b := make([]byte, len(askSwitch))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != askSwitch {
			t.Errorf("the host got %q, %v", b, err)
			return
		}
		send(c, switched+behind, nil)
		then(c)
	})
}

// Either side of a tunnel may end its stream and go on receiving; bytes behind both heads are delivered.
func TestTunnelHalfCloses(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"client", "host"} {
		for _, early := range []string{"", "early "} {
			for _, behind := range []string{"", "behind "} {
				t.Run(first+" "+early+behind, func(t *testing.T) {
					t.Parallel()
					got := make(chan string, 1)
					p := startProxy(t, nil, tunnelled(t, behind, func(c *net.TCPConn) {
						if first == "host" {
							send(c, "from host", nil)
							_ = c.CloseWrite()
						}
						s, how := readAll(c)
						got <- s + how
						if first == "client" {
							send(c, "from host", nil)
						}
					}))
					c := p.dial()
					send(c, askSwitch+early, nil)
					readN(t, c, switched+behind)
					if first == "client" {
						send(c, "from client", nil)
						_ = c.CloseWrite()
					}
					if s, how := readAll(c); s != "from host" || how != "eof" {
						t.Errorf("the client got %q, %s", s, how)
					}
					if first == "host" {
						send(c, "from client", nil)
						_ = c.CloseWrite()
					}
					if s := <-got; s != early+"from clienteof" {
						t.Errorf("the host got %q", s)
					}
					awaitActive(t, p, 0)
				})
			}
		}
	}
}

// A shutdown waits for tunnels; an abort ends them by resets.
func TestShutdownBesideATunnel(t *testing.T) {
	t.Parallel()
	for _, abort := range []bool{false, true} {
		ended := make(chan string, 1)
		p := startProxy(t, nil, tunnelled(t, "", func(c *net.TCPConn) {
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					ended <- endingOf(err)
					return
				}
				_, _ = c.Write(b)
			}
		}))
		c := p.dial()
		send(c, askSwitch, nil)
		readN(t, c, switched)
		drained := make(chan struct{})
		p.loop.Post(func() { p.server.Shutdown(func() { close(drained) }) })
		p.settle()
		send(c, "x", nil)
		readN(t, c, "x")
		select {
		case <-drained:
			t.Error("drained with a tunnel open")
		default:
		}
		want := "eof"
		if abort {
			p.loop.Post(p.server.Abort)
		} else {
			_ = c.CloseWrite()
		}
		<-drained
		if s, how := readAll(c); s != "" || how != want && !abort {
			t.Errorf("abort %v: the client got %q, %s", abort, s, how)
		}
		if how := <-ended; how != want && !abort {
			t.Errorf("abort %v: the host's connection ended with %s", abort, how)
		}
		if n := p.server.Stats().Active.Load(); n != 0 || p.server.Stats().Exchanges.Load() != 1 {
			t.Errorf("%d clients are left, %d exchanges counted", n, p.server.Stats().Exchanges.Load())
		}
	}
}

// A tunnel that is silent for proxy_read_timeout ends; one in which something moves, either way, does not.
func TestTunnelTimeout(t *testing.T) {
	t.Parallel()
	for _, speaker := range []string{"client", "host"} {
		t.Run(speaker, func(t *testing.T) {
			t.Parallel()
			ended := make(chan string, 1)
			talk := func(c *net.TCPConn) {
				for range 6 {
					time.Sleep(soon)
					send(c, "x", nil)
				}
			}
			p := startProxy(t, func(s *Settings) {
				s.ProxyReadTimeout, s.ClientHeaderTimeout, s.KeepaliveTimeout, s.ClientBodyTimeout = ample, soon, soon, soon
			}, tunnelled(t, "", func(c *net.TCPConn) {
				if speaker == "host" {
					talk(c)
				}
				s, _ := readAll(c)
				ended <- s
			}))
			c := p.dial()
			send(c, askSwitch, nil)
			readN(t, c, switched)
			began, want := time.Now(), []string{"", "xxxxxx"}
			if speaker == "client" {
				talk(c)
				want = []string{"xxxxxx", ""}
			}
			s, _ := readAll(c)
			if got := []string{<-ended, s}; !slices.Equal(got, want) {
				t.Errorf("host and client got %q, want %q", got, want)
			}
			if d := time.Since(began); d < 6*soon+ample-20*time.Millisecond || d > 10*time.Second {
				t.Errorf("after %v, want about %v", d, 6*soon+ample)
			}
			awaitActive(t, p, 0)
		})
	}
}
