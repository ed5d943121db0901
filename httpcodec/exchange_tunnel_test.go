package httpcodec

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
)

// tunnelled is a host that switches protocols and then does what it is told.
func tunnelled(t testing.TB, behind string, then func(c *net.TCPConn)) netip.AddrPort {
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

// Either side of a tunnel may end its stream and continue to receive. Bytes that follow the heads are delivered.
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

// A shutdown waits for tunnels; an abort resets them.
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

// A tunnel that is silent for proxy_read_timeout ends; one with traffic in either direction does not.
func TestTunnelTimeout(t *testing.T) {
	t.Parallel()
	for _, speaker := range []string{"client", "host"} {
		t.Run(speaker, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
				ended := make(chan string, 1)
				talk := func(c *net.TCPConn) {
					for range 6 {
						time.Sleep(unit)
						send(c, "x", nil)
					}
				}
				p := startProxy(t, func(s *flat) {
					s.ProxyReadTimeout, s.Server.ClientHeaderTimeout, s.Server.KeepaliveTimeout, s.ClientBodyTimeout = 5*unit, unit, unit, unit
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
				if d := time.Since(began); d < 11*unit-20*time.Millisecond {
					t.Errorf("after %v, want about %v", d, 11*unit)
				}
				awaitActive(t, p, 0)
			})
		})
	}
}
