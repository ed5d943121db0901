package main_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ample is a timeout, in ms, of tests that must do something before it passes. A loaded machine may stand still for a second meanwhile, more than once.
const ample = 4000

// Every timeout, with its status, and whether the client's connection is kept.
func TestHTTPTimeouts(t *testing.T) {
	t.Parallel()
	type peers struct {
		client, server *net.TCPConn
		in             *bufio.Reader // from the client
	}
	read := func(t *testing.T, c net.Conn, s string) *bufio.Reader {
		t.Helper()
		send(t, c, s)
		return bufio.NewReader(c)
	}
	silent := func(t *testing.T, text string) func(*proxy, *host) peers {
		return func(p *proxy, h *host) peers {
			c := p.dial()
			in := read(t, c, text)
			if strings.Contains(text, "\r\n\r\n") {
				return peers{c, h.accept(), in}
			}
			return peers{c, nil, in}
		}
	}
	for name, test := range map[string]struct {
		setting string
		begin   func(t *testing.T) func(*proxy, *host) peers
		status  int
		keeps   bool
	}{
		"half a head": {"client_header_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return silent(t, "GET / HTTP/1.1\r\nHost: p\r\n")
		}, 408, false},
		"one byte of a head": {"client_header_timeout", func(t *testing.T) func(*proxy, *host) peers { return silent(t, "G") }, 408, false},
		"half a second head": {"client_header_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return func(p *proxy, h *host) peers {
				c := p.dial()
				in := read(t, c, getRequest)
				s := h.accept()
				send(t, s, hello)
				expectStatus(t, in, 200)
				send(t, c, "GET")
				return peers{c, nil, in}
			}
		}, 408, false},
		"no body": {"client_body_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return silent(t, postHead+"Content-Length: 5\r\n\r\n")
		}, 408, false},
		"half a body": {"client_body_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return silent(t, postHead+"Content-Length: 5\r\n\r\nhel")
		}, 408, false},
		"half a chunk": {"client_body_timeout", func(t *testing.T) func(*proxy, *host) peers { return silent(t, chunkedHead+"5\r\nhel") }, 408, false},
		"no answer":    {"proxy_read_timeout", func(t *testing.T) func(*proxy, *host) peers { return silent(t, getRequest) }, 504, true},
		"no answer to a body": {"proxy_read_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return silent(t, postHead+"Content-Length: 5\r\n\r\nhello")
		}, 504, true},
		"half an answer head": {"proxy_read_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return func(p *proxy, h *host) peers {
				all := silent(t, getRequest)(p, h)
				send(t, all.server, okHead)
				return all
			}
		}, 504, true},
		"only 100": {"proxy_read_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return func(p *proxy, h *host) peers {
				all := silent(t, postHead+"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n")(p, h)
				send(t, all.server, "HTTP/1.1 100 Continue\r\n\r\n")
				expect(t, all.client, "HTTP/1.1 100 Continue\r\n\r\n")
				send(t, all.client, "x")
				return all
			}
		}, 504, true},
		"no 100": {"proxy_read_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return silent(t, postHead+"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		}, 504, false},
		"half an answer body": {"proxy_read_timeout", func(t *testing.T) func(*proxy, *host) peers {
			return func(p *proxy, h *host) peers {
				all := silent(t, getRequest)(p, h)
				send(t, all.server, okHead+"Content-Length: 10\r\n\r\nhello")
				return all
			}
		}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", nil)
			begin := time.Now()
			p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{test.setting: ample}})
			all := test.begin(t)(p, h)
			if test.status == 0 {
				if n, err := io.Copy(io.Discard, all.in); howEnded(err) != "reset" {
					t.Errorf("the response ended after %d bytes with %v, want a reset", n, err)
				}
				notBefore(t, begin, ample*time.Millisecond)
				expectClosed(t, all.server)
				return
			}
			res := expectStatus(t, all.in, test.status)
			notBefore(t, begin, ample*time.Millisecond)
			if res.Close == test.keeps {
				t.Errorf("whether the response has Connection: close: %v", res.Close)
			}
			if all.server != nil {
				expectClosed(t, all.server)
			}
			if !test.keeps {
				expectEnd(t, all.in)
				return
			}
			send(t, all.client, getRequest)
			send(t, h.accept(), hello)
			expectStatus(t, all.in, 200)
		})
	}
}

// No host could be connected to, or resolved, in time.
func TestHTTPConnectTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T) setup{
		"connect_timeout": func(t *testing.T) setup {
			return setup{hosts: []endpoint{blackHole(t)}, settings: settings{"connect_timeout": short}}
		},
		"resolve_timeout": func(t *testing.T) setup {
			return setup{hosts: []endpoint{{"db.test", 9}}, settings: settings{"resolve_timeout": short}, prepare: silentNameServer(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test(t)
			p := startHTTP(t, s)
			idle := p.sockets()
			c := p.dial()
			in := bufio.NewReader(c)
			for range 2 {
				begin := time.Now()
				send(t, c, getRequest)
				expectStatus(t, in, 504)
				if name == "connect_timeout" {
					notBefore(t, begin, short*time.Millisecond)
				}
			}
			_ = c.Close()
			p.awaitSockets(t, "all sockets are closed", func(n int) bool { return n <= idle })
		})
	}
}

// keepalive_timeout silently closes connections that are idle between requests, and no others.
func TestHTTPKeepaliveTimeout(t *testing.T) {
	t.Parallel()
	h := serve(t, "127.0.0.1", mirror)
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"keepalive_timeout": ample}})
	c := p.dial()
	in := bufio.NewReader(c)
	fresh := p.dial() // without a request so far, client_header_timeout applies
	busy := p.dial()
	send(t, busy, "GET / HT")
	var begin time.Time
	for range 3 {
		begin = time.Now()
		send(t, c, getRequest)
		expectStatus(t, in, 200)
	}
	expectEnd(t, in)
	notBefore(t, begin, ample*time.Millisecond)
	send(t, busy, "TP/1.1\r\nHost: p\r\n\r\n")
	expectStatus(t, bufio.NewReader(busy), 200)
	send(t, fresh, getRequest)
	expectStatus(t, bufio.NewReader(fresh), 200)
}

// A client that never sends anything is disconnected after client_header_timeout; single bytes of a head do not extend that time.
func TestHTTPHeaderTimeoutIsForTheWhole(t *testing.T) {
	t.Parallel()
	h := serve(t, "127.0.0.1", mirror)
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"client_header_timeout": ample}})
	mute := p.dial()
	begin := time.Now()
	drips := p.dial()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(drips, "GET / HTTP/1.1\r\nX: ")
		for {
			select {
			case <-stop:
				return
			case <-time.After(ample * time.Millisecond / 10):
				_, _ = drips.Write([]byte("x"))
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(drips), nil)
	close(stop)
	<-done
	if err != nil || res.StatusCode != 408 {
		t.Errorf("got %v, error %v; want 408", res, err)
	}
	notBefore(t, begin, ample*time.Millisecond)
	expectEnd(t, mute)
}

// A body that keeps arriving does not time out, however long it takes as a whole.
func TestHTTPSlowBodyIsTaken(t *testing.T) {
	t.Parallel()
	h := serve(t, "127.0.0.1", mirror)
	for framing, chunked := range bodies {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"client_body_timeout": ample, "proxy_read_timeout": ample}})
			c := p.dial()
			const n = 15
			if chunked {
				send(t, c, "POST /echo HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n")
			} else {
				send(t, c, "POST /echo HTTP/1.1\r\nHost: p\r\nContent-Length: 15\r\n\r\n")
			}
			for range n {
				time.Sleep(ample * time.Millisecond / 10)
				if chunked {
					send(t, c, "1\r\nx\r\n")
				} else {
					send(t, c, "x")
				}
			}
			if chunked {
				send(t, c, "0\r\n\r\n")
			}
			res, body := reply(t, bufio.NewReader(c), http.MethodPost)
			if res.StatusCode != 200 || body != strings.Repeat("x", n) {
				t.Errorf("got status %d, body %q", res.StatusCode, body)
			}
		})
	}
}

// Peers that read nothing: a client is disconnected, and for a host the client gets a 504.
func TestHTTPSendTimeouts(t *testing.T) {
	t.Parallel()
	t.Run("send_timeout", func(t *testing.T) {
		t.Parallel()
		done := make(chan error, 1)
		h := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(patternBytes); err != nil {
					done <- err
					return
				}
			}
		})
		p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"send_timeout": short}})
		begin := time.Now()
		c := p.dial()
		send(t, c, getRequest)
		<-done
		notBefore(t, begin, short*time.Millisecond)
		if n, err := io.Copy(io.Discard, c); err == nil {
			t.Errorf("the client read %d bytes and a regular end of a truncated response", n)
		}
	})
	t.Run("proxy_send_timeout", func(t *testing.T) {
		t.Parallel()
		h := listen(t, "127.0.0.1", hold(t))
		p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"proxy_send_timeout": short}})
		begin := time.Now()
		c := p.dial()
		send(t, c, postHead+"Content-Length: 1000000000\r\n\r\n")
		go func() {
			for {
				if _, err := c.Write(patternBytes); err != nil {
					return
				}
			}
		}()
		// The client is still sending. Its writes fail with a reset in the end, but not before it has the response.
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 504 {
			t.Errorf("got %v, error %v; want 504", res, err)
		}
		notBefore(t, begin, short*time.Millisecond)
	})
}

// Zero means no timeout.
func TestHTTPZeroIsNoTimeout(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", nil)
	s := settings{}
	for _, key := range []string{"client_header_timeout", "client_body_timeout", "keepalive_timeout", "send_timeout", "proxy_read_timeout", "proxy_send_timeout", "connect_timeout", "resolve_timeout", "upstream_keepalive_timeout"} {
		s[key] = 0
	}
	p := startHTTP(t, setup{hosts: endpoints(h), settings: s})
	c := p.dial()
	in := bufio.NewReader(c)
	nap := func() { time.Sleep(100 * time.Millisecond) }
	var server *net.TCPConn
	for range 2 {
		nap()
		send(t, c, "POST / HTTP/1.1\r\n")
		nap()
		send(t, c, "Host: p\r\nContent-Length: 2\r\n\r\n")
		if server == nil {
			server = h.accept()
		}
		req, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			t.Fatal(err)
		}
		nap()
		send(t, c, "ab")
		if _, err := io.Copy(io.Discard, req.Body); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		nap()
		send(t, server, hello)
		expectStatus(t, in, 200)
	}
}
