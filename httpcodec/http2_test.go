package httpcodec

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// x/net's client sends bodies of all sizes concurrently over one connection, with trailers, and receives each back with its
// digest in a trailer.
func TestHTTP2Echo(t *testing.T) {
	t.Parallel()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Asked")
		w.Header().Set("X-Proto", r.Proto)
		_ = http.NewResponseController(w).EnableFullDuplex()
		digest := sha256.New()
		_, _ = io.Copy(w, io.TeeReader(r.Body, digest))
		w.Header().Set("X-Sum", fmt.Sprintf("%x", digest.Sum(nil)))
		w.Header().Set("X-Asked", r.Trailer.Get("X-Sum"))
	}))
	t.Cleanup(host.Close)
	p := startH2C(t, nil, netip.MustParseAddrPort(host.Listener.Addr().String()))
	client := p.transport()
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			body := bytes.Repeat([]byte{byte(i)}, i*i*700) // up to 1 MB
			req, err := http.NewRequest(http.MethodPost, "http://p/", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(body))
			if i%2 == 1 {
				req.ContentLength = -1
				req.Trailer = http.Header{"X-Sum": {sum}}
			}
			res, err := client.Do(req)
			if err != nil {
				t.Errorf("request %d: %v", i, err)
				return
			}
			got, err := io.ReadAll(res.Body)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes have come back, and %d were sent: %v", len(got), len(body), err)
			}
			if res.Trailer.Get("X-Sum") != sum || i%2 == 1 && res.Trailer.Get("X-Asked") != sum {
				t.Errorf("trailers %v, want %s", res.Trailer, sum)
			}
		})
	}
	all.Wait()
	if n := p.server.Stats().Clients.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// If a client may speak several versions of HTTP, its first bytes tell which one it speaks.
func TestHTTP2ByItsPreface(t *testing.T) {
	t.Parallel()
	const both = HTTP1 | H2C
	drip := func(c net.Conn, s string) {
		for i := range len(s) {
			send(c, s[i:i+1], nil)
			time.Sleep(time.Millisecond)
		}
	}
	half := func(c net.Conn, s string) {
		send(c, s, nil)
		_ = c.(*net.TCPConn).CloseWrite()
	}
	whole := func(c net.Conn, s string) { send(c, s, nil) }
	hello := xhttp2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, tc := range map[string]struct {
		protocols Protocols
		send      func(net.Conn, string)
		in        string
		want      string // the beginning of what is received
	}{
		"http/1":                          {both, whole, getRoot, "HTTP/1.1 200 "},
		"http/1 in pieces":                {both, drip, getRoot, "HTTP/1.1 200 "},
		"http/1 that begins like it":      {both, drip, "PRI / HTTP/1.1\r\nHost: p\r\n\r\n", "HTTP/1.1 200 "},
		"http/2":                          {both, whole, hello, "\x00\x00"},
		"http/2 in pieces":                {both, drip, hello, "\x00\x00"},
		"half a preface":                  {both, half, hello[:10], ""},
		"nearly a preface":                {both, whole, "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", "HTTP/1.1 505 "},
		"http/2 where it is not":          {HTTP1, whole, hello, "HTTP/1.1 505 "},
		"http/2 where it is not, by zero": {0, whole, hello, "HTTP/1.1 505 "},
		"http/2 alone":                    {H2C, whole, hello, "\x00\x00"},
		"http/1 where only http/2 is":     {H2C, whole, getRoot, "\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, always+hi)
			p := rig{opts: EntryOptions{Protocols: tc.protocols}}.start(t, nil, h.addr)
			c := p.dial()
			tc.send(c, tc.in)
			if tc.want == "" {
				if got, how := readAll(c); got != "" || how != "eof" {
					t.Errorf("got %q, %s", got, how)
				}
				return
			}
			got := make([]byte, len(tc.want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
			if name == "http/1 where only http/2 is" {
				if rest, how := readAll(c); !strings.Contains(rest, "\x00\x00\x00\x01") || how != "eof" {
					t.Errorf("got %q, %s; want a GOAWAY with PROTOCOL_ERROR", rest, how)
				}
			}
		})
	}
}

// A connection takes one place of the limit and counts as one client, however many streams it has.
func TestHTTP2IsOneClient(t *testing.T) {
	t.Parallel()
	limit := engine.NewLimit(1)
	limit.Set(1, 40)
	release := make(chan struct{})
	asked := make(chan struct{}, 20)
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
		asked <- struct{}{}
		<-release
		send(c, hi, nil)
		enginetest.Hold(c)
	})
	table := newTable(t)
	p := rig{opts: EntryOptions{Protocols: H2C}, limit: limit, table: table}.start(t, nil, host)
	w := p.wire()
	for i := range 10 {
		w.ask(uint32(1+2*i), true, "GET", "/")
	}
	for range 10 {
		<-asked
	}
	active := func() int64 { return table.Server(p.entry.Settings.Place).Active.Value() }
	if a, n := p.server.Stats().Active.Load(), active(); a != 1 || n != 1 {
		t.Errorf("%d clients are active, %d by the metrics; want one", a, n)
	}
	next := p.dial() // it waits in the kernel's queue
	send(next, xhttp2.ClientPreface, nil)
	_ = next.SetReadDeadline(time.Now().Add(soon))
	if n, err := next.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("a second client is served")
	}
	close(release)
	for i := range 10 {
		if got := w.get(uint32(1 + 2*i)); got != h2hi {
			t.Errorf("stream %d got %s", 1+2*i, got)
		}
	}
	w.conn.Close()
	_ = next.SetReadDeadline(time.Now().Add(enginetest.Patience))
	if _, err := next.Read(make([]byte, 1)); err != nil {
		t.Errorf("the second client: %v", err)
	}
	next.Close()
	awaitActive(t, p, 0)
	if n := active(); n != 0 {
		t.Errorf("%d clients are active by the metrics", n)
	}
}

// A connection has a place for one stream. Further streams take descriptors like clients do, up to three quarters of those
// available; beyond that they are refused, and may be retried. New clients are still served.
func TestHTTP2StreamsTakePlaces(t *testing.T) {
	t.Parallel()
	limit := engine.NewLimit(1)
	limit.Set(10, 14)
	var hold sync.RWMutex // held while nothing is to be answered
	hold.Lock()
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		for request := make([]byte, len(getRoot)); ; {
			if _, err := io.ReadFull(c, request); err != nil {
				return
			}
			hold.RLock()
			send(c, hi, nil)
			hold.RUnlock()
		}
	})
	p := rig{opts: EntryOptions{Protocols: H2C}, limit: limit}.start(t, nil, host)
	a, b := p.wire(), p.wire()
	ask := func(w *wire, from, n uint32, refused bool) {
		t.Helper()
		for id := from; id < from+2*n; id += 2 {
			w.ask(id, true, "GET", "/")
			if refused {
				if got := w.get(id); got != "REFUSED_STREAM" {
					t.Errorf("stream %d got %s", id, got)
				}
			}
		}
		w.ping()
	}
	ask(a, 1, 7, false) // with the two connections, ten of fourteen descriptors
	ask(a, 15, 2, true) // four are left, but not for streams
	ask(b, 1, 1, false) // its first
	ask(b, 3, 1, true)  // but not its second
	c, d := p.wire(), p.wire()
	ask(c, 1, 1, false)
	ask(d, 1, 1, false)
	ask(d, 3, 1, true)
	hold.Unlock()
	for id := uint32(1); id < 15; id += 2 {
		if got := a.get(id); got != h2hi {
			t.Errorf("stream %d got %s", id, got)
		}
	}
	for _, w := range []*wire{b, c, d} {
		if got := w.get(1); got != h2hi {
			t.Errorf("a first stream got %s", got)
		}
	}
	for id := uint32(101); id < 141; id += 2 { // everything that was taken has been returned, however it ended
		a.ask(id, true, "GET", "/")
		b.ask(id, true, "GET", "/")
		b.reset(id, xhttp2.ErrCodeCancel)
		if got := a.get(id); got != h2hi {
			t.Errorf("stream %d got %s", id, got)
		}
	}
	for _, w := range []*wire{a, b, c, d} {
		w.conn.Close()
	}
	awaitActive(t, p, 0)
	hold.Lock()
	e := p.wire()
	ask(e, 1, 9, false) // one connection and eight further streams, as at the beginning
	ask(e, 19, 1, true)
	hold.Unlock()
	for id := uint32(1); id < 19; id += 2 {
		if got := e.get(id); got != h2hi {
			t.Errorf("stream %d got %s", id, got)
		}
	}
}

// A slow stream blocks neither the other streams of its connection nor other connections.
func TestHTTP2SlowStream(t *testing.T) {
	t.Parallel()
	p := startH2C(t, nil, endless(t))
	w := p.wire()
	w.slow = 1
	w.ask(1, true, "GET", "/endless")
	const window = 65535
	w.await(func() bool { return w.answer(1).bytes >= window })
	for i := range 50 {
		id := uint32(3 + 2*i)
		w.ask(id, true, "GET", "/")
		if got := w.get(id); got != h2hi {
			t.Fatalf("stream %d got %s", id, got)
		}
	}
	if n := w.answer(1).bytes; n != window {
		t.Errorf("%d bytes have come on the slow stream, want its window", n)
	}
	other := p.wire()
	other.ask(1, true, "GET", "/")
	if got := other.get(1); got != h2hi {
		t.Errorf("another client got %s", got)
	}
	w.check(w.framer.WriteWindowUpdate(1, 100_000))
	w.await(func() bool { return w.answer(1).bytes >= window+100_000 })
	w.reset(1, xhttp2.ErrCodeCancel)
	w.stillServed(201)
}

// endless is a host whose responses under /endless have no end, and are short elsewhere.
func endless(t testing.TB) netip.AddrPort {
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = []string{"t"}
		w.Header()["Content-Type"] = nil
		for err := error(nil); r.URL.Path == "/endless" && err == nil; {
			_, err = w.Write(make([]byte, 32<<10))
		}
		_, _ = io.WriteString(w, "hi")
	}))
	t.Cleanup(host.Close)
	return netip.MustParseAddrPort(host.Listener.Addr().String())
}

// A client that ends a stream or its connection is logged as having left, whatever the state of the stream. The host learns of
// it by the end of its connection.
func TestHTTP2ClientLeaves(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		host  string // what it replies to the head
		ask   func(*wire)
		ready func(*wire) bool // nil if it is enough that the host has the head
		log   string
	}{
		{"before the host has answered", "", func(w *wire) { w.ask(1, true, "GET", "/") }, nil, "GET / 499"},
		{"inside its body", "", func(w *wire) {
			w.ask(1, false, "POST", "/", "content-length: 5")
			w.data(1, false, "ab")
		}, nil, "POST / 499"},
		{"behind a 103", "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n", func(w *wire) { w.ask(1, true, "GET", "/") },
			func(w *wire) bool { return len(w.answer(1).parts) > 0 }, "GET / 499"},
		{"inside the response", okHead + "Content-Length: 5\r\n\r\nab", func(w *wire) { w.ask(1, true, "GET", "/") },
			func(w *wire) bool { return w.answer(1).bytes == 2 }, "GET / 499"},
		{"inside a chunked response", okHead + te + "\r\n2\r\nab\r\n", func(w *wire) { w.ask(1, true, "GET", "/") },
			func(w *wire) bool { return w.answer(1).bytes == 2 }, "GET / 499"},
		{"inside both bodies", okHead + "Content-Length: 5\r\n\r\nab", func(w *wire) {
			w.ask(1, false, "POST", "/", "content-length: 5")
			w.data(1, false, "ab")
		}, func(w *wire) bool { return w.answer(1).bytes == 2 }, "POST / 499"},
	} {
		for _, how := range []string{"stream", "connection"} {
			t.Run(tc.name+", "+how, func(t *testing.T) {
				t.Parallel()
				asked, ended := make(chan struct{}), make(chan error, 1)
				host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
					in := bufio.NewReader(c)
					if _, err := http.ReadRequest(in); err != nil {
						t.Error(err)
					}
					send(c, tc.host, nil)
					close(asked)
					_, err := io.Copy(io.Discard, in)
					ended <- err
				})
				l := rig{opts: EntryOptions{Protocols: H2C}}.startLogged(t, h2line, nil, host)
				w := l.wire()
				tc.ask(w)
				<-asked
				if tc.ready != nil {
					w.await(func() bool { return tc.ready(w) })
				}
				want := []string{"HTTP/2.0 " + tc.log + " client_abort"}
				if how == "stream" {
					w.reset(1, xhttp2.ErrCodeCancel)
					w.stillServed(3)
					want = append(want, "HTTP/2.0 OPTIONS * 200 complete")
				}
				w.conn.Close()
				err := <-ended
				if strings.Contains(tc.log, "POST") && endingOf(err) != "reset" {
					t.Errorf("the host has a part of a request, and its connection ended with %v; want a reset", err)
				}
				awaitActive(t, l.proxy, 0)
				if got, _ := l.lines(t); !slices.Equal(got, want) {
					t.Errorf("logged %q\nwant %q", got, want)
				}
			})
		}
	}
}

// A client that gives up while the proxy connects to a host, or while it waits for its turn, leaves nothing behind.
func TestHTTP2ClientLeavesWhileConnecting(t *testing.T) {
	t.Parallel()
	p := startH2C(t, nil, enginetest.BlackHole(t, enginetest.Loopback))
	w := p.wire()
	w.ask(1, true, "GET", "/")
	hosts := p.entry.Settings.only().Group.Balance.Hosts()
	w.ping()
	if n := hosts.Active(0); n != 1 {
		t.Fatalf("%d leases, want one", n)
	}
	w.reset(1, xhttp2.ErrCodeCancel)
	w.ping()
	if n := hosts.Active(0); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	w.stillServed(3)
}

// A client that waits for the host's 100 receives it, and the host receives the body.
func TestHTTP2Continue(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	head := "POST / HTTP/1.1\r\nhost: p\r\nexpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
	p := startH2C(t, nil, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		b := make([]byte, len(head)+3)
		_, _ = io.ReadFull(c, b[:len(head)])
		send(c, "HTTP/1.1 100 Continue\r\n\r\n", nil)
		_, _ = io.ReadFull(c, b[len(head):])
		send(c, hi, nil)
		got <- string(b)
		enginetest.Hold(c)
	}))
	w := p.wire()
	w.ask(1, false, "POST", "/", "content-length: 3", "expect: 100-continue")
	w.await(func() bool { return len(w.answer(1).parts) > 0 })
	w.data(1, true, "abc")
	if got, want := w.get(1), ":status: 100 / "+h2hi; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if s := <-got; s != head+"abc" {
		t.Errorf("the host got %q", s)
	}
}

// A request that is too malformed to become one is logged at debug with the reason, and nowhere else: there is no access log
// line, and hosts receive nothing.
func TestHTTP2RefusedRequests(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	g := rig{opts: EntryOptions{Protocols: H2C}, log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	l := g.startLogged(t, h2line, nil)
	w := l.wire()
	for i, tc := range []struct{ field, reason string }{
		{"connection: close", "a field that is specific to HTTP/1 connections"}, {"X-A: 1", "a field name that is not lower case"},
		{":path: /b", "a repeated pseudo-header field"}, {"te: gzip", "te with a value other than trailers"}, {"host: q", "host differs from :authority"},
	} {
		id := uint32(1 + 2*i)
		w.ask(id, true, "GET", "/", tc.field)
		if got := w.get(id); got != "PROTOCOL_ERROR" {
			t.Errorf("%s: the client got %s", tc.field, got)
		}
		if lines := out.String(); !strings.Contains(lines, "level=DEBUG msg=\"http: a request was refused\" client=127.0.0.1 error=\""+tc.reason) {
			t.Errorf("%s: logged %q, want %q", tc.field, lines, tc.reason)
		}
	}
	if got, _ := l.lines(t); len(got) > 0 {
		t.Errorf("the access log has %q", got)
	}
}

// Clients that wait for a host are known, on any kind of connection.
func TestHTTP2Waiting(t *testing.T) {
	t.Parallel()
	h := startHeld(t)
	p := startH2C(t, nil, h.addr)
	w, c := p.wire(), p.dial()
	for id := uint32(1); id <= 5; id += 2 {
		w.ask(id, true, "GET", "/")
	}
	send(c, getRoot, nil)
	for range 4 {
		<-h.asked
	}
	n := make(chan int)
	count := func() {
		all := 0
		for range p.server.waiting {
			all++
		}
		n <- all
	}
	p.loop.Post(count)
	if got := <-n; got != 4 {
		t.Errorf("%d clients wait for the host, want 4", got)
	}
	h.let <- struct{}{}
	close(h.let)
	readN(t, c, hi)
	for id := uint32(1); id <= 5; id += 2 {
		w.get(id)
	}
	p.loop.Post(count)
	if got := <-n; got != 0 {
		t.Errorf("%d clients wait for the host that has answered all", got)
	}
}

// A timeout ends the stream, by an error response if none has begun, and does not affect the rest of the connection.
func TestHTTP2Timeouts(t *testing.T) {
	t.Parallel()
	post := func(w *wire) {
		w.ask(1, false, "POST", "/", "content-length: 5")
		w.data(1, false, "ab")
	}
	get := func(w *wire) { w.ask(1, true, "GET", "/") }
	for _, tc := range []struct {
		name  string
		set   func(s *flat, soon time.Duration)
		ask   func(*wire)
		reply string
		want  string
		log   string
	}{
		{"half a body", func(s *flat, soon time.Duration) { s.ClientBodyTimeout = soon }, post, hi, h2page(408) + " / NO_ERROR", "POST / 408 client_body_timeout"},
		{"silent host", func(s *flat, soon time.Duration) { s.ProxyReadTimeout = soon }, get, halts, h2page(504), "GET / 504 proxy_read_timeout"},
		{"half a response", func(s *flat, soon time.Duration) { s.ProxyReadTimeout = soon }, get, okHead + "Content-Length: 5\r\n\r\nab" + halts,
			":status: 200|content-length: 5 / {ab} / INTERNAL_ERROR", "GET / 200 proxy_read_timeout"},
		{"the client takes nothing", func(s *flat, soon time.Duration) { s.SendTimeout = soon }, func(w *wire) {
			w.slow = 1
			w.ask(1, true, "GET", "/")
		}, okHead + "Content-Length: 70000\r\n\r\n" + strings.Repeat("a", 70000),
			":status: 200|content-length: 70000 / {" + strings.Repeat("a", 65535) + "} / INTERNAL_ERROR", "GET / 200 send_timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
				h := startRecorder(t, tc.reply)
				l := rig{opts: EntryOptions{Protocols: H2C}}.startLogged(t, h2line, func(s *flat) { tc.set(s, unit) }, h.addr)
				w := l.wire()
				w.exchange(tc.ask, tc.want)
				want := []string{"HTTP/2.0 " + tc.log, "HTTP/2.0 OPTIONS * 200 complete"}
				if got, _ := l.lines(t); !slices.Equal(got, want) {
					t.Errorf("logged %q\nwant %q", got, want)
				}
			})
		})
	}
}

// A connection without a request ends after client_header_timeout, one between requests after keepalive_timeout, and one with
// an incomplete head after client_header_timeout.
func TestHTTP2IdleTimeouts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		set  func(s *flat, soon time.Duration)
		do   func(*wire)
		want string
	}{
		{"no request", func(s *flat, soon time.Duration) { s.Server.ClientHeaderTimeout = 5 * soon }, func(*wire) {}, "NO_ERROR(0) eof"},
		{"between requests", func(s *flat, soon time.Duration) { s.Server.KeepaliveTimeout = 5 * soon }, func(w *wire) { w.stillServed(1) }, "NO_ERROR(1) eof"},
		{"half a head", func(s *flat, soon time.Duration) { s.Server.ClientHeaderTimeout = 5 * soon }, func(w *wire) {
			w.check(w.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("\x82")}))
		}, "eof"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
				p := startH2C(t, func(s *flat) { tc.set(s, unit) })
				began := time.Now()
				w := p.wire()
				tc.do(w)
				if got := w.ends(); got != tc.want {
					t.Errorf("it ended with %s, want %s", got, tc.want)
				}
				if d := time.Since(began); d < 5*unit-20*time.Millisecond {
					t.Errorf("after %v, want %v", d, 5*unit)
				}
				awaitActive(t, p, 0)
			})
		})
	}
}

// A client that may speak both versions, and has not begun to speak either, is not waited for longer than for a head.
func TestHTTP2HalfAPreface(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "PRI * HTTP/2.0\r\n"} {
		p := startH2C(t, func(s *flat) { s.Server.ClientHeaderTimeout = soon })
		c := p.dial()
		send(c, in, nil)
		if got, how := readAll(c); got != "" || how == "" {
			t.Errorf("%q: got %q, %s", in, got, how)
		}
		awaitActive(t, p, 0)
	}
}

// A request that a host fails is sent to another, and a cookie keeps a client with its host.
func TestHTTP2RetryAndSticky(t *testing.T) {
	t.Parallel()
	broken := startRecorder(t, always+resets)
	sound := startRecorder(t, always+okHead+"X-Host: b\r\nContent-Length: 0\r\n\r\n")
	s := NewSticky(&config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}, []byte("secret"), []string{"a", "b"})
	p := startH2C(t, func(f *flat) {
		retrying(1, config.RetryOn{Reset: true})(f)
		f.Sticky = s
	}, broken.addr, sound.addr)
	w := p.wire()
	const answer, length = ":status: 200|x-host: b", "|content-length: 0 / end"
	w.ask(1, false, "PUT", "/", "content-length: 3", "cookie: a=b", "cookie: kroxy="+string(s.tokens[0][:]))
	w.data(1, true, "abc")
	if got, want := w.get(1), answer+"|set-cookie: "+string(s.plain[1])+length; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	w.ask(3, true, "GET", "/", "cookie: a=b", "cookie: kroxy="+string(s.tokens[1][:]))
	if got := w.get(3); got != answer+length {
		t.Errorf("with its cookie the client got %s", got)
	}
}
