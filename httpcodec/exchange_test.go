package httpcodec

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/http1/http1test"
)

// One client connection and one host connection serve many requests. A second client uses the same host connection.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, always+hi)
	p := startProxy(t, nil, h.addr)
	for range 3 {
		c := p.dial()
		for range 5 {
			send(c, getRoot, nil)
			readN(t, c, hi)
		}
		stillOpen(t, c)
	}
	p.stop()
	if got := h.seen(1); !slices.Equal(got, []string{strings.Repeat(getRoot, 15)}) {
		t.Errorf("the host got %q, want 15 requests over one connection", got)
	}
}

// stale is a host that answers the first request, and closes the connection when it sees the second.
func stale(t *testing.T) *recorder { return startRecorder(t, hi, closes, hi) }

func TestStalePooledConnection(t *testing.T) {
	t.Parallel()
	put := "PUT / HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\nabc"
	for _, tc := range []struct {
		name, second string
		repeated     bool
	}{
		{"get", getRoot, true},
		{"put with its body at hand", put, true},
		{"post", postRoot + "Content-Length: 3\r\n\r\nabc", false},
		{"post without body", postRoot + "\r\n", false},
		{"chunked put", "PUT / HTTP/1.1\r\nHost: p\r\n" + te + "\r\n3\r\nabc\r\n0\r\n\r\n", true},
		{"propfind", "PROPFIND" + getRoot[3:], true},
		{"lock", "LOCK" + getRoot[3:], false},
		{"patch", "PATCH" + getRoot[3:], false},
		{"upgrade", askSwitch, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := stale(t)
			p := startProxy(t, nil, h.addr)
			c := p.dial()
			send(c, getRoot, nil)
			readN(t, c, hi)
			send(c, tc.second, nil)
			want, host := page(502, true), []string{getRoot + tc.second}
			if tc.repeated {
				want, host = hi, append(host, tc.second)
			}
			readN(t, c, want)
			stillOpen(t, c)
			p.stop()
			if got := h.seen(len(host)); !slices.Equal(got, host) {
				t.Errorf("the host got %q\nwant %q", got, host)
			}
		})
	}
}

// A request is not repeated when a new connection ends: the host has seen the request.
func TestRepeatedOnce(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, hi, closes, closes, hi)
	p := startProxy(t, nil, h.addr)
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	send(c, getRoot, nil)
	readN(t, c, page(502, true))
	stillOpen(t, c)
	if n := h.served.Load(); n != 3 {
		t.Errorf("the host saw %d requests, want 3", n)
	}
}

func TestRefusedHost(t *testing.T) {
	t.Parallel()
	p := startProxy(t, nil, enginetest.Refusing(t, enginetest.Loopback))
	c := p.dial()
	send(c, strings.Repeat(getRoot, 20), nil)
	readN(t, c, strings.Repeat(pageLater(502), 20))
	stillOpen(t, c)

	h := startRecorder(t, always+hi)
	p = startProxy(t, nil, enginetest.Refusing(t, enginetest.Loopback), h.addr)
	c = p.dial()
	send(c, getRoot+getRoot, nil)
	readN(t, c, hi+hi)
}

func TestNoHost(t *testing.T) {
	t.Parallel()
	p := startProxy(t, nil)
	c := p.dial()
	send(c, getRoot+getRoot, nil)
	readN(t, c, pageLater(503)+pageLater(503))
	stillOpen(t, c)
}

// A client that requests the proxy's own replies without end gets them, and other clients get their turn.
func TestEndlessOwnReplies(t *testing.T) {
	t.Parallel()
	p := startProxy(t, nil)
	c := p.dial()
	const n = 20_000
	go send(c, strings.Repeat(ping, n), nil)
	other := p.dial()
	send(other, ping, nil)
	readN(t, other, pingBack)
	if got, err := io.CopyN(io.Discard, c, int64(n*len(pingBack))); err != nil {
		t.Fatalf("%d bytes, %v", got, err)
	}
	stillOpen(t, c)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, hi)
	headers := http1test.Headers(t, "X-Host", "h=$host", "x-addr", "$addr")
	p := startProxy(t, func(s *flat) {
		s.Policies.Request, s.Server.ForwardedHeaders, s.UpstreamHost = headers, true, true
		s.Server.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}, h.addr)
	c := p.dial()
	send(c, "GET / HTTP/1.1\r\nHost: p\r\nX-ADDR: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n", nil)
	readN(t, c, hi)
	p.stop()
	want := "GET / HTTP/1.1\r\nHost: " + h.addr.String() + "\r\nX-Forwarded-Proto: https\r\nX-Host: h=127.0.0.1\r\nx-addr: 127.0.0.1\r\n" +
		"X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\nX-Forwarded-Host: p\r\n\r\n"
	if got := h.seen(1); !slices.Equal(got, []string{want}) {
		t.Errorf("the host got %q\nwant %q", got, want)
	}
}

// Idle host connections are limited in number and time.
func TestUpstreamKeepalive(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		max   int
		conns int
	}{{0, 3}, {1, 1}} {
		h := startRecorder(t, always+hi)
		p := startProxy(t, func(s *flat) { s.Group.Keepalive = tc.max }, h.addr)
		c := p.dial()
		for range 3 {
			send(c, getRoot, nil)
			readN(t, c, hi)
		}
		p.stop()
		if got := h.seen(tc.conns); len(got) != tc.conns {
			t.Errorf("upstream_keepalive %d: %d connections, want %d", tc.max, len(got), tc.conns)
		}
	}
	h := startRecorder(t, always+hi)
	p := startProxy(t, func(s *flat) { s.Group.KeepaliveTimeout = 50 * time.Millisecond }, h.addr)
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	h.seen(1) // returns once the idle connection has ended
	stillOpen(t, c)
}

func TestNoLeaks(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	check := enginetest.NoLeaks(t)
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) { r.run(t, []string{"whole", "host drips"}[i%2], len(r.in)) })
	}
	check()
}

// When descriptors have run out, the descriptor of an idle connection to another host is used.
func TestIdleConnectionsAreGivenUp(t *testing.T) {
	if !enginetest.Child(t) {
		return
	}
	ln, err := net.Listen("tcp4", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if errors.Is(err, unix.EMFILE) { // the host shares the descriptors, and waits for one
				continue
			}
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					if _, err := io.WriteString(c, hi); err != nil {
						return
					}
				}
			}()
		}
	}()
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	p := startProxy(t, func(s *flat) { s.Group.Keepalive = upstream.KeepaliveAuto }, at, at)
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	p.settle()
	for {
		if _, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			break
		}
	}
	send(c, getRoot, nil) // for the other host, by round robin
	readN(t, c, hi)
}
