package httpcodec

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// idleHosts counts the pooled connections.
func (p *proxy) idleHosts() (n int) {
	done := make(chan struct{})
	p.loop.Post(func() {
		n = p.hosts.Idle()
		close(done)
	})
	<-done
	return n
}

// flood is a host that answers the first request with a body of n bytes, and reports how its connection ended.
func flood(t testing.TB, head string, n int) (at netip.AddrPort, ended chan string) {
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

// A client that takes nothing for send_timeout is reset, and so is the connection to the host.
func TestSendTimeout(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{"length": "Content-Length: 1000000000\r\n", "chunked": te, "until close": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, ended := flood(t, head, 1e9)
			p := startProxy(t, func(s *flat) { s.SendTimeout, s.ProxyReadTimeout = soon, 10*time.Second }, at)
			c := p.dial()
			began := time.Now()
			send(c, getRoot, nil)
			if how := <-ended; how != "reset" && how != "eof" {
				t.Errorf("the host's connection ended with %s", how)
			}
			if d := time.Since(began); d < soon-20*time.Millisecond || d > 10*time.Second {
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

// A client that takes something now and then is not cut off, however long the whole response takes.
func TestSendTimeoutSparesSlowClients(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		step  int // bytes taken at a time
		steps int
	}{
		{"much at a time", 2 << 20, 14},
		// Less within send_timeout than the kernel wants free before it reports the socket as writable.
		{"little at a time", 16 << 10, 14},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
				at, _ := flood(t, te, 1e9)
				p := startProxy(t, func(s *flat) { s.SendTimeout = 5 * unit }, at)
				c := p.dial()
				send(c, getRoot, nil)
				b := make([]byte, tc.step)
				for left := tc.steps; left > 0; left-- {
					if n, err := io.ReadFull(c, b); err != nil {
						t.Fatalf("%v, %d bytes into a step, %d steps before the end", err, n, left)
					}
					time.Sleep(unit / 2)
				}
			})
		})
	}
}

// bottomless is a host that reads only the head, replies with early if that is not empty, and goes on as after says.
func bottomless(t testing.TB, early string, after func(*net.TCPConn)) netip.AddrPort {
	return enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_ = c.SetReadBuffer(128 << 10) // more than a segment of loopback, or the kernel takes its time
		_, _ = io.ReadFull(c, make([]byte, len(postRoot)))
		send(c, early, nil)
		after(c)
	})
}

// upload sends a request with an endless body until that fails, and says how.
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
			p := startProxy(t, func(s *flat) {
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
			if d := time.Since(began); d < soon-20*time.Millisecond || d > enginetest.Patience {
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

// The host has begun its response and takes no more of the request: the response is sent completely, the request is not.
func TestProxySendTimeoutInsideAResponse(t *testing.T) {
	t.Parallel()
	timed(t, func(t testing.TB, unit time.Duration) {
		ended := make(chan string, 1)
		var log lockedBuffer
		p := rig{log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}.start(t, func(s *flat) { s.ProxySendTimeout, s.ProxyReadTimeout = unit, 10*time.Second },
			bottomless(t, okHead+"Content-Length: 5\r\n\r\nab", func(c *net.TCPConn) {
				if !log.says(causeHostTakesNoMore.text) {
					t.Errorf("the log says %q", log.String())
				}
				send(c, "cde", nil)
				_, err := io.Copy(io.Discard, c)
				ended <- endingOf(err)
			}))
		c := p.dial()
		sent := make(chan string, 1)
		go func() { sent <- upload(c, te) }()
		if got, how := readAll(c); got != okHead+"Content-Length: 5\r\nConnection: close\r\n\r\nabcde" || how != "eof" {
			t.Errorf("got %q, %s; want the whole response", got, how)
		}
		if how := <-ended; how != "reset" {
			t.Errorf("the host's connection ended with %s, want reset", how)
		}
		c.Close()
		<-sent
		awaitActive(t, p, 0)
	})
}

// While the host takes no bytes, proxy_send_timeout runs, and no response is waited for.
func TestProxyReadTimeoutWhileTheHostIsFull(t *testing.T) {
	t.Parallel()
	timed(t, func(t testing.TB, unit time.Duration) {
		const size = 30 << 20
		framing := "Content-Length: 31457280\r\n"
		p := startProxy(t, func(s *flat) { s.ProxySendTimeout, s.ProxyReadTimeout = 10*time.Second, unit },
			bottomless(t, "", func(c *net.TCPConn) {
				time.Sleep(4 * unit)
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
	})
}

// A client that owes part of its body is not waited for while it waits for the host's 100.
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
			timed(t, func(t testing.TB, unit time.Duration) {
				p := startProxy(t, func(s *flat) { s.ClientBodyTimeout = unit }, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
					_, _ = io.ReadFull(c, make([]byte, len(ask)))
					time.Sleep(3 * unit)
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
		})
	}
}

// A slow client is not cut off as long as some of its body arrives in time, nor is a slow host.
func TestReadTimeoutsCountFromTheLastByte(t *testing.T) {
	t.Parallel()
	slowly := func(c *net.TCPConn, s string, unit time.Duration) {
		for i := range len(s) {
			time.Sleep(unit / 2)
			send(c, s[i:i+1], nil)
		}
	}
	for name, framing := range map[string]string{"length": "Content-Length: 12\r\n\r\nabcdefghijkl", "chunked": te + "\r\n6\r\nabcdef\r\n6\r\nghijkl\r\n0\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
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
					slowly(c, body, unit)
					enginetest.Hold(c)
				})
				p := startProxy(t, func(s *flat) {
					s.ClientBodyTimeout, s.ProxyReadTimeout, s.SendTimeout, s.ProxySendTimeout = 5*unit, 5*unit, 5*unit, 5*unit
				}, h)
				c := p.dial()
				send(c, postRoot+head, nil)
				slowly(c, body, unit)
				if got := readMessages(t, c, 1); !strings.HasPrefix(got, okHead) {
					t.Errorf("got %q", got)
				}
				stillOpen(t, c)
			})
		})
	}
}

// Interim responses are limited by their size, not by their number.
func TestInterimBytes(t *testing.T) {
	t.Parallel()
	for _, interim := range []string{"HTTP/1.1 102 P\r\n\r\n", "HTTP/1.1 103 E\r\nLink: " + strings.Repeat("a", 8<<10) + "\r\n\r\n"} {
		fit := maxInterims / len(interim)
		for n, last := range map[int]string{fit: hi, fit + 1: page(502, true)} {
			h := startRecorder(t, strings.Repeat(interim, n)+hi)
			p := startProxy(t, func(s *flat) { s.Server.KeepaliveTimeout = soon }, h.addr)
			c := p.dial()
			send(c, getRoot, nil)
			got, how := readAll(c)
			relayed, ok := strings.CutSuffix(got, last) // the last of too many may be held back
			if !ok || how != "eof" || strings.ReplaceAll(relayed, interim, "") != "" || n == fit && len(relayed) != n*len(interim) {
				t.Errorf("%d of %.30q: got %d bytes, ending in %.200q, %s", n, interim, len(got), got[max(0, len(got)-200):], how)
			}
			p.stop()
			h.seen(1)
		}
	}
}

// The head of a response must arrive within a number of proxy_read_timeouts, whatever precedes it; the body need not.
func TestDeadlineOfAHead(t *testing.T) {
	t.Parallel()
	x := &exchange{client: &client{settings: &Settings{}}, route: &Route{Route: &config.Route{ProxyReadTimeout: time.Second}}, target: &Target{}, phase: relaying}
	x.request.Done = true
	x.up.WroteAt = 1000
	for _, tc := range []struct {
		readAt  int64
		replied bool
		at      int64
		why     cause
	}{
		{1000, false, 2000, causeHostReadTimeout},
		{9500, false, 10500, causeHostReadTimeout},
		{10500, false, 11000, causeHeadWait},
		{10500, true, 11500, causeHostReadTimeout},
	} {
		x.down.ReadAt, x.replied = tc.readAt, tc.replied
		first, reason := engine.Never, cause{}
		for at, why := range x.deadlines {
			if at < first {
				first, reason = at, why
			}
		}
		if first != tc.at || reason != tc.why {
			t.Errorf("%+v: at %d, %s", tc, first, reason.text)
		}
	}
}

// A host that is never silent and never sends a response is given up nevertheless. A host that takes longer than
// proxy_read_timeout in this way is not.
func TestProxyReadTimeoutBoundsAHead(t *testing.T) {
	t.Parallel()
	const interim = "HTTP/1.1 102 P\r\n\r\n"
	for name, tc := range map[string]struct {
		timeout           time.Duration
		begin, piece, end string // what the host sends, with piece repeated times times
		times             int
		pause             time.Duration
		want              string
	}{
		"interims without end": {soon, "", interim, "", 1 << 30, soon / 5, page(504, true)},
		"a head without end":   {soon, "HTTP/1.1 200 OK\r\nX: ", "y", "", 1 << 30, soon / 5, page(504, true)},
		"interims for a while": {ample, "", interim, hi, 10, soon, hi},
		"a head that is slow":  {ample, "HTTP/1.1 200 OK\r\nX: ", "y", "\r\nContent-Length: 0\r\n\r\n", 10, soon, "Content-Length: 0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
				scale := unit / soon
				p := startProxy(t, func(s *flat) { s.ProxyReadTimeout, s.Server.KeepaliveTimeout = tc.timeout*scale, unit }, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
					_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
					send(c, tc.begin, nil)
					for range tc.times {
						if _, err := io.WriteString(c, tc.piece); err != nil {
							return
						}
						time.Sleep(tc.pause * scale)
					}
					send(c, tc.end, nil)
					enginetest.Hold(c)
				}))
				c := p.dial()
				send(c, getRoot, nil)
				if got, how := readAll(c); !strings.HasSuffix(got, tc.want) || how != "eof" {
					t.Errorf("got %q, %s", got, how)
				}
			})
		})
	}
}

// A host falls silent inside a body: the client must not take the part it has for the whole.
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
			timed(t, func(t testing.TB, unit time.Duration) {
				h := startRecorder(t, tc.reply+halts)
				p := startProxy(t, func(s *flat) { s.ProxyReadTimeout, s.Server.KeepaliveTimeout = unit, unit }, h.addr)
				c := p.dial()
				began := time.Now()
				send(c, tc.request, nil)
				got, how := readAll(c)
				if got != tc.want {
					t.Errorf("got %q, %s\nwant %q", got, how, tc.want)
				}
				// Where closing the connection would mean the end of the body, it must be reset.
				if how != "reset" && (how != "eof" || strings.HasSuffix(name, "1.0")) || how == "reset" && strings.Contains(got, "504") {
					t.Errorf("the connection ended with %s", how)
				}
				if d := time.Since(began); d < unit-20*time.Millisecond {
					t.Errorf("after %v, want %v", d, unit)
				}
				p.stop()
				h.seen(1)
			})
		})
	}
}
