package httpcodec

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
)

// The response of an HTTP/2 host equals hi, but without a reason phrase.
const (
	okHead2 = "HTTP/1.1 200 OK\r\ndate: t\r\n"
	hi2     = okHead2 + "Content-Length: 2\r\n\r\nhi"
)

// overHTTP2 makes the proxy use HTTP/2 with hosts, and applies change.
func overHTTP2(change func(*flat)) func(*flat) {
	return func(s *flat) {
		s.Group.Protocol = upstream.HTTP2
		if change != nil {
			change(s)
		}
	}
}

// goHost is an HTTP/2 host: net/http's server, with a limit of streams per connection or without one. It counts its connections.
func goHost(t testing.TB, streams int, h http.HandlerFunc) (netip.AddrPort, *atomic.Int64) {
	t.Helper()
	var conns atomic.Int64
	l, err := net.Listen("tcp", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler: h, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				conns.Add(1)
			}
		},
	}
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort(), &conns
}

// frameHost is an HTTP/2 host that works frame by frame. Each of its connections is a wire whose peer is the proxy.
type frameHost struct {
	t        testing.TB
	addr     netip.AddrPort
	listener *net.TCPListener
}

func startFrameHost(t testing.TB) *frameHost {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(enginetest.Loopback)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_ = l.SetDeadline(time.Now().Add(3 * enginetest.Patience))
	return &frameHost{t, l.Addr().(*net.TCPAddr).AddrPort(), l}
}

// accept accepts the proxy's next connection, and sends the given settings.
func (h *frameHost) accept(settings ...xhttp2.Setting) *wire {
	h.t.Helper()
	c, err := h.listener.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(enginetest.Patience))
	readN(h.t, c, xhttp2.ClientPreface)
	w := &wire{t: h.t, conn: c, framer: xhttp2.NewFramer(c, c), answers: map[uint32]*answer{}}
	w.hpack = hpack.NewEncoder(&w.block)
	w.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.framer.AllowIllegalWrites = true
	w.check(w.framer.WriteSettings(settings...))
	return w
}

// request reads until the stream's request is complete, and returns it: its head with only the given fields, and its content.
func (w *wire) request(id uint32) string {
	w.t.Helper()
	a := w.answer(id)
	w.await(a.over)
	head, content, _ := strings.Cut(a.String(), " / ")
	var kept []string
	for _, f := range strings.Split(head, "|") {
		if strings.HasPrefix(f, ":") && !strings.HasPrefix(f, ":authority") || strings.HasPrefix(f, "content-length") || strings.HasPrefix(f, "te:") {
			kept = append(kept, f)
		}
	}
	return strings.Join(kept, "|") + " / " + content
}

// hi responds on a stream.
func (w *wire) hi(id uint32) {
	w.t.Helper()
	w.head(id, false, ":status: 200", "date: t", "content-length: 2")
	w.data(id, true, "hi")
}

// asked waits until the request of a stream has arrived. Get is the request it must be.
func (w *wire) asked(id uint32) {
	w.t.Helper()
	const get = ":method: GET|:scheme: http|:path: / / end"
	if got := w.request(id); got != get {
		w.t.Fatalf("stream %d asks for %q, want %q", id, got, get)
	}
}

func maxStreams(n uint32) xhttp2.Setting {
	return xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: n}
}

// Requests of HTTP/1.1 clients reach an HTTP/2 host, and its responses reach the clients.
func TestHostsInHTTP2(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 1<<16)
	at, conns := goHost(t, 0, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("X-Got", fmt.Sprintf("%s %s %s %d %v %v", r.Proto, r.Method, r.URL.Path, len(body), r.Trailer, err))
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(204)
		case "/early":
			w.WriteHeader(103)
			fmt.Fprint(w, "late")
		case "/long":
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			_, _ = io.WriteString(w, long)
		case "/unknown":
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, long)
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, "abc")
			w.Header().Set("X-Sum", "3")
		case "/echo":
			_, _ = w.Write(body)
		}
	})
	p := startProxy(t, overHTTP2(nil), at)
	c := p.dial()
	in := bufio.NewReader(c)
	for _, tc := range []struct {
		request, body string
		status        int
		got, want     string
		trailer       string
	}{
		{"GET /none", "", 204, "HTTP/2.0 GET /none 0 map[] <nil>", "", ""},
		{"HEAD /long", "", 200, "HTTP/2.0 HEAD /long 0 map[] <nil>", "", ""},
		{"GET /long", "", 200, "HTTP/2.0 GET /long 0 map[] <nil>", long, ""},
		{"GET /unknown", "", 200, "HTTP/2.0 GET /unknown 0 map[] <nil>", long, ""},
		{"GET /trailers", "", 200, "HTTP/2.0 GET /trailers 0 map[] <nil>", "abc", "3"},
		{"GET /early", "", 200, "HTTP/2.0 GET /early 0 map[] <nil>", "late", ""},
		{"POST /echo", "Content-Length: 3\r\n\r\nabc", 200, "HTTP/2.0 POST /echo 3 map[] <nil>", "abc", ""},
		{"POST /echo", "Content-Length: 0\r\n\r\n", 200, "HTTP/2.0 POST /echo 0 map[] <nil>", "", ""},
		{"POST /echo", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(long), long), 200, "HTTP/2.0 POST /echo 1048576 map[] <nil>", long, ""},
		{"PUT /echo", te + "\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", 200, "HTTP/2.0 PUT /echo 7 map[] <nil>", "abcdefg", ""},
		{"PUT /echo", "Trailer: X-Sum\r\n" + te + "\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n", 200, "HTTP/2.0 PUT /echo 3 map[X-Sum:[3]] <nil>", "abc", ""},
		{"PUT /echo", "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 200, "HTTP/2.0 PUT /echo 3 map[] <nil>", "abc", ""},
	} {
		method, path, _ := strings.Cut(tc.request, " ")
		if tc.body == "" {
			tc.body = "\r\n"
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			send(c, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: p\r\n%s", method, path, tc.body), nil)
		}()
		var res *http.Response
		var err error
		for res == nil || res.StatusCode < 200 {
			if res, err = http.ReadResponse(in, &http.Request{Method: method}); err != nil {
				t.Fatalf("%s: %v", tc.request, err)
			}
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != tc.status || res.Header.Get("X-Got") != tc.got || string(body) != tc.want || res.Trailer.Get("X-Sum") != tc.trailer {
			t.Errorf("%s: %d, host got %q, %d bytes, trailers %v, %v; want %d, %q, %d bytes, %q", tc.request, res.StatusCode, res.Header.Get("X-Got"),
				len(body), res.Trailer, err, tc.status, tc.got, len(tc.want), tc.trailer)
		}
		<-done
	}
	stillOpen(t, c)
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// Many concurrent requests need few connections, and each host gets its share of requests, however many connections carry them.
func TestManyRequestsFewConnections(t *testing.T) {
	t.Parallel()
	const clients = 200
	var in [2]atomic.Int64
	var sum atomic.Int64
	all := make(chan struct{})
	host := func(i int) (netip.AddrPort, *atomic.Int64) {
		return goHost(t, 60, func(w http.ResponseWriter, r *http.Request) {
			if in[i].Add(1); sum.Add(1) == clients {
				close(all)
			}
			<-all
			w.Header()["Content-Type"] = nil
			w.Header().Set("Date", "t")
			fmt.Fprint(w, "hi")
		})
	}
	one, oneConns := host(0)
	two, twoConns := host(1)
	p := startProxy(t, overHTTP2(func(s *flat) {
		b, err := balance.New("least_conn", nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Group.Balance = balance.NewGroup(2, b, balance.NewCounters(1, 2))
	}), one, two)
	list := make([]*net.TCPConn, clients)
	for i := range list {
		list[i] = p.dial()
		send(list[i], getRoot, nil)
	}
	for _, c := range list {
		readN(t, c, hi2)
	}
	if a, b := in[0].Load(), in[1].Load(); a != clients/2 || b != clients/2 {
		t.Errorf("the hosts got %d and %d requests", a, b)
	}
	if a, b := oneConns.Load(), twoConns.Load(); a+b > 6 {
		t.Errorf("the hosts got %d and %d connections", a, b)
	}
}

// A host that refuses a request has not processed it. The request is sent again, to the same host and then to others, whatever
// its method and without counting as a retry, if its body was kept. Other failures of requests that are not idempotent are
// reported to the client.
func TestHTTP2HostRefuses(t *testing.T) {
	t.Parallel()
	const post = postRoot + "Content-Length: 3\r\n\r\nabc"
	refuse := func(w *wire, id uint32) { w.reset(id, xhttp2.ErrCodeRefusedStream) }
	for _, tc := range []struct {
		name string
		do   func(c *net.TCPConn, one, two *frameHost)
		want string // what the client gets
	}{
		{"refused once", func(c *net.TCPConn, one, _ *frameHost) {
			w := one.accept()
			w.request(1)
			refuse(w, 1)
			if got := w.request(3); got != ":method: POST|:scheme: http|:path: /|content-length: 3 / {abc} / end" {
				t.Errorf("asked again for %q", got)
			}
			w.hi(3)
		}, hi2},
		{"refused twice", func(c *net.TCPConn, one, two *frameHost) {
			w := one.accept()
			w.request(1)
			refuse(w, 1)
			w.request(3)
			refuse(w, 3)
			w = two.accept()
			w.request(1)
			w.hi(1)
		}, hi2},
		{"refused by all", func(c *net.TCPConn, one, two *frameHost) {
			for i, h := range []*frameHost{one, two} {
				w := h.accept()
				for id := range []uint32{2, 4}[i] { // there is no other host after the second
					w.request(2*id + 1)
					refuse(w, 2*id+1)
				}
			}
		}, page(502, true)},
		{"went away", func(c *net.TCPConn, one, _ *frameHost) {
			w := one.accept()
			w.request(1)
			w.check(w.framer.WriteGoAway(0, xhttp2.ErrCodeNo, nil))
			next := one.accept()
			next.request(1)
			next.hi(1)
			if how := w.ends(); how != "eof" {
				t.Errorf("the connection ends by %s", how)
			}
		}, hi2},
		{"went away behind it", func(c *net.TCPConn, one, _ *frameHost) {
			w := one.accept()
			w.request(1)
			w.check(w.framer.WriteGoAway(1, xhttp2.ErrCodeNo, nil))
			w.hi(1)
		}, hi2},
		{"failed", func(c *net.TCPConn, one, _ *frameHost) {
			w := one.accept()
			w.request(1)
			w.reset(1, xhttp2.ErrCodeInternal)
		}, page(502, true)},
		{"refused after it has answered", func(c *net.TCPConn, one, _ *frameHost) {
			w := one.accept()
			w.request(1)
			w.head(1, false, ":status: 200", "date: t", "content-length: 2")
			w.data(1, false, "h")
			readN(w.t, c, okHead2+"Content-Length: 2\r\n\r\nh")
			refuse(w, 1)
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			one, two := startFrameHost(t), startFrameHost(t)
			p := startProxy(t, overHTTP2(func(s *flat) { s.Retry = config.Retry{Attempts: 1, Buffer: 100} }), one.addr, two.addr)
			c := p.dial()
			send(c, post, nil)
			tc.do(c, one, two)
			if tc.want == "" {
				if rest, how := readAll(c); rest != "" || how != "reset" {
					t.Errorf("the client gets %q, %s", rest, how)
				}
				return
			}
			readN(t, c, tc.want)
			stillOpen(t, c)
		})
	}
}

// A body that arrived later than its head is kept for a retry, too, as far as the buffer allows.
func TestRefusedBody(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, head string
		body       string
		again      bool
	}{
		{"known length", "Content-Length: 50\r\n\r\n", strings.Repeat("x", 50), true},
		{"chunked", te + "\r\n", "5\r\nabcde\r\n0\r\n\r\n", true},
		{"too long", "Content-Length: 5000\r\n\r\n", strings.Repeat("x", 5000), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startFrameHost(t)
			p := startProxy(t, overHTTP2(func(s *flat) { s.Retry = config.Retry{Attempts: 1, Buffer: 100} }), h.addr)
			c := p.dial()
			send(c, postRoot+tc.head, nil)
			w := h.accept()
			w.await(func() bool { return len(w.answer(1).parts) > 0 })
			send(c, tc.body, nil)
			first := w.request(1)
			w.reset(1, xhttp2.ErrCodeRefusedStream)
			if !tc.again {
				readN(t, c, page(502, true))
				return
			}
			if again := w.request(3); again != first {
				t.Errorf("%q became %q", first, again)
			}
			w.hi(3)
			readN(t, c, hi2)
			stillOpen(t, c)
		})
	}
}

// When a client leaves, the host is told that its response is not wanted, and the connection serves others.
func TestClientOfHTTP2HostLeaves(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	stays, leaves := p.dial(), p.dial()
	send(stays, getRoot, nil)
	w := h.accept()
	w.asked(1)
	send(leaves, getRoot, nil)
	w.asked(3)
	_ = leaves.SetLinger(0)
	leaves.Close()
	if got := w.getReset(3); !strings.HasSuffix(got, " / CANCEL") {
		t.Errorf("stream 3: %s", got)
	}
	w.hi(3) // what arrives late does no harm
	w.hi(1)
	readN(t, stays, hi2)
	send(stays, getRoot, nil)
	w.asked(5)
	w.hi(5)
	readN(t, stays, hi2)
}

// A connection carries no more concurrent requests than the host allows. Further requests get another connection, unless the
// host allows none at all.
func TestHostsLimitOfStreams(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	one, two := p.dial(), p.dial()
	send(one, getRoot, nil)
	w := h.accept(maxStreams(0))
	w.ping()
	send(two, getRoot, nil)
	p.settle()
	w.ping()
	if len(w.answers) > 1 { // frames of the connection are in answer 0
		t.Fatal("a request was sent to a host that takes none")
	}
	w.check(w.framer.WriteSettings(maxStreams(1)))
	w.asked(1)
	other := h.accept(maxStreams(1))
	other.asked(1)
	w.hi(1)
	other.hi(1)
	readN(t, one, hi2)
	readN(t, two, hi2)
	w.check(w.framer.WriteSettings(maxStreams(2)))
	w.ping()
	send(one, getRoot, nil)
	send(two, getRoot, nil)
	w.asked(3)
	w.asked(5)
	w.hi(5)
	w.hi(3)
	readN(t, one, hi2)
	readN(t, two, hi2)
}

// When a connection dies, every client that waits on it gets a response, a reset inside one, or a retry.
func TestHTTP2HostDies(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	waits, reads := p.dial(), p.dial()
	send(waits, getRoot, nil)
	w := h.accept()
	w.asked(1)
	send(reads, getRoot, nil)
	w.asked(3)
	const half = okHead2 + "Content-Length: 2\r\n\r\nh"
	w.head(3, false, ":status: 200", "date: t", "content-length: 2")
	w.data(3, false, "h")
	readN(t, reads, half)
	w.conn.Close()
	readN(t, waits, page(502, true))
	if rest, how := readAll(reads); rest != "" || how != "reset" {
		t.Errorf("inside a response: %q, %s", rest, how)
	}
	send(waits, getRoot, nil)
	w = h.accept()
	w.asked(1)
	w.hi(1)
	readN(t, waits, hi2)
	// A kept connection may have been about to be closed; the request is then sent again.
	send(waits, getRoot, nil)
	w.asked(3)
	w.conn.Close()
	w = h.accept()
	w.asked(1)
	w.hi(1)
	readN(t, waits, hi2)
}

// A host that resets a request's stream on a kept connection has received the request. It is not sent again, unlike on a
// connection that was closed.
func TestHTTP2HostResetsKept(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	c := p.dial()
	send(c, getRoot, nil)
	w := h.accept()
	w.asked(1)
	w.hi(1)
	readN(t, c, hi2)
	send(c, getRoot, nil)
	w.asked(3)
	w.reset(3, xhttp2.ErrCodeInternal)
	readN(t, c, page(502, true))
	send(c, getRoot, nil)
	w.asked(5)
	w.hi(5)
	readN(t, c, hi2)
}

// The log says why a connection to a host has ended with requests on it.
func TestHTTP2HostFailsSaidWhy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func(w *wire)
		want string
	}{
		{"a fault", func(w *wire) {
			w.check(w.framer.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true}))
		}, "a push promise"},
		{"a word", func(w *wire) {
			w.check(w.framer.WriteGoAway(1, xhttp2.ErrCodeEnhanceYourCalm, nil))
			w.conn.Close()
		}, "the peer says ENHANCE_YOUR_CALM"},
		{"nothing", func(w *wire) { w.conn.Close() }, "the connection has ended"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var log lockedBuffer
			h := startFrameHost(t)
			p := rig{log: slog.New(slog.NewTextHandler(&log, nil))}.start(t, overHTTP2(nil), h.addr)
			c := p.dial()
			send(c, getRoot, nil)
			w := h.accept()
			w.asked(1)
			tc.do(w)
			readN(t, c, page(502, true))
			if !log.says(tc.want) {
				t.Errorf("the log has %s, want %q", log.String(), tc.want)
			}
		})
	}
}

// A connection that has received nothing for long gets no more requests when a request on it is given up, by either side: it
// may be dead. A connection on which other requests are answered does get more.
func TestSilentHTTP2Host(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		alive  bool // another response is being received meanwhile
		leaves bool // the client gives up
	}{{"silent", false, false}, {"silent, and the client leaves", false, true}, {"slow", true, false}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, _ time.Duration) {
				h := startFrameHost(t)
				p := startProxy(t, overHTTP2(func(s *flat) { s.ProxyReadTimeout = 1500 * time.Millisecond }), h.addr)
				reads, waits := p.dial(), p.dial()
				send(reads, getRoot, nil)
				w := h.accept()
				w.asked(1)
				w.head(1, false, ":status: 200", "date: t", "content-length: 200")
				const half = okHead2 + "Content-Length: 200\r\n\r\n"
				readN(t, reads, half)
				send(waits, getRoot, nil)
				w.asked(3)
				sent := 0
				if tc.alive {
					for a := w.answer(3); a.reset == nil; sent++ {
						w.data(1, false, "h")
						time.Sleep(100 * time.Millisecond)
						w.ping()
					}
				}
				if tc.leaves {
					time.Sleep(1200 * time.Millisecond) // longer than the silence that makes a connection suspect
					_ = waits.Close()
					waits = p.dial()
				} else {
					readN(t, waits, page(504, true))
				}
				if got := w.getReset(3); !strings.HasSuffix(got, "CANCEL") {
					t.Errorf("the request that is given up: %s", got)
				}
				send(waits, getRoot, nil)
				next, id := w, uint32(5)
				if !tc.alive {
					next, id = h.accept(), 1
				}
				next.asked(id)
				next.hi(id)
				readN(t, waits, hi2)
				if tc.alive {
					w.data(1, true, strings.Repeat("h", 200-sent))
					readN(t, reads, strings.Repeat("h", 200))
				}
			})
		})
	}
}

// A reload keeps connections to hosts, and idle ones are closed when they have not been used for as long as the group says.
func TestHTTP2HostsAndReloads(t *testing.T) {
	t.Parallel()
	h, other := startFrameHost(t), startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	c, d := p.dial(), p.dial()
	send(c, getRoot, nil)
	w := h.accept()
	w.asked(1)
	resolver := resolve.New(resolve.Options{})
	t.Cleanup(resolver.Close)
	swap := func(change func(*flat), hosts ...netip.AddrPort) {
		set := newSettings(t, resolver, overHTTP2(change), hosts...)
		p.loop.Post(func() { p.take(set) })
		p.settle()
	}
	swap(nil, h.addr)
	send(d, getRoot, nil)
	w.asked(3)
	w.hi(3)
	readN(t, d, hi2)
	swap(nil, other.addr) // the first request is still active
	send(d, getRoot, nil)
	v := other.accept()
	v.asked(1)
	v.hi(1)
	readN(t, d, hi2)
	w.hi(1)
	readN(t, c, hi2)
	if how := w.ends(); how != "eof" {
		t.Errorf("the connection to the host that is gone ends by %s", how)
	}
	swap(func(s *flat) { s.Group.KeepaliveTimeout = 100 * time.Millisecond }, other.addr)
	if how := v.ends(); how != "eof" {
		t.Errorf("the idle connection ends by %s", how)
	}
}

// A host that does not speak HTTP/2 is recognized before a request is sent to it; the next host gets the request.
func TestHostWithoutHTTP2(t *testing.T) {
	t.Parallel()
	good := startFrameHost(t)
	bad := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_ = http.Serve(&oneConn{c: c}, http.NotFoundHandler())
	})
	p := startProxy(t, overHTTP2(nil), bad, good.addr)
	c := p.dial()
	send(c, postRoot+"Content-Length: 3\r\n\r\nabc", nil)
	w := good.accept()
	w.request(1)
	w.hi(1)
	readN(t, c, hi2)
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	net.Listener
	c net.Conn
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.c; c != nil {
		l.c = nil
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
func (l *oneConn) Close() error   { return nil }

// An exchange with an HTTP/2 host allocates nothing once the connection exists.
func TestHTTP2HostDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, tc := range []struct{ name, in string }{{"get", getRoot}, {"post", postRoot + "Content-Length: 3\r\n\r\nabc"}, {"chunked", postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n"}} {
		t.Run(tc.name, func(t *testing.T) {
			host := enginetest.Accepting(t, enginetest.Loopback, hiHost)
			p := startProxy(t, overHTTP2(func(s *flat) { s.ProxyReadTimeout, s.Server.KeepaliveTimeout = 60e9, 60e9 }), host)
			c := p.dial()
			in, out := []byte(tc.in), make([]byte, len(hi2))
			exchange := func() {
				if _, err := c.Write(in); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, out); err != nil {
					t.Fatal(err)
				}
			}
			for range 300 {
				exchange()
			}
			if string(out) != hi2 {
				t.Fatalf("got %q", out)
			}
			if n := testing.AllocsPerRun(300, exchange); n != 0 {
				t.Errorf("%v allocations an exchange", n)
			}
		})
	}
}

// hiHost answers each complete HTTP/2 request without allocating.
func hiHost(c *net.TCPConn) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSize(0)
	for _, f := range []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "date", Value: "t"}, {Name: "content-length", Value: "2"}} {
		_ = e.WriteField(f)
	}
	var reply bytes.Buffer
	fr := xhttp2.NewFramer(&reply, nil)
	_ = fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	data := reply.Len()
	_ = fr.WriteData(1, true, []byte("hi"))
	settings := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	if _, err := c.Write(settings); err != nil {
		return
	}
	in := bufio.NewReader(c)
	head, out := make([]byte, 9), reply.Bytes()
	if _, err := in.Discard(len(xhttp2.ClientPreface)); err != nil {
		return
	}
	for {
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		if _, err := in.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			return
		}
		if kind, flags := head[3], head[4]; kind > 1 || flags&1 == 0 {
			continue
		}
		copy(out[5:9], head[5:9])
		copy(out[data+5:data+9], head[5:9])
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// HTTP/2 has no Upgrade (RFC 9113 section 8.6): the host gets the request without it, and its response is an ordinary one.
func TestUpgradeToHTTP2Host(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	c := p.dial()
	send(c, "GET / HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", nil)
	w := h.accept()
	w.asked(1)
	if got := w.answer(1).String(); strings.Contains(got, "pgrade") {
		t.Errorf("asked for %q", got)
	}
	w.hi(1)
	readN(t, c, hi2)
	stillOpen(t, c)
}

// Clients that read nothing do not block others, although they share a connection to the host.
func TestSlowClientsShareConnection(t *testing.T) {
	t.Parallel()
	piece := make([]byte, 64<<10)
	at, conns := goHost(t, 0, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			for range 1024 {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
			return
		}
		w.Header()["Content-Type"] = nil
		w.Header().Set("Date", "t")
		fmt.Fprint(w, "hi")
	})
	p := startProxy(t, overHTTP2(nil), at)
	for range 40 {
		c := p.dial()
		_ = c.SetReadBuffer(4096)
		send(c, strings.Replace(getRoot, "/", "/long", 1), nil)
	}
	fast := p.dial()
	for range 100 {
		send(fast, getRoot, nil)
		readN(t, fast, hi2)
		time.Sleep(5 * time.Millisecond) // while the others become blocked
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A host may respond before it has the whole request, and then refuse the rest or continue to read.
func TestHTTP2HostAnswersEarly(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	c := p.dial()
	send(c, postRoot+"Content-Length: 1000000\r\n\r\n"+strings.Repeat("x", 1000), nil)
	w := h.accept()
	w.await(func() bool { return w.answer(1).bytes > 0 })
	w.hi(1)
	w.reset(1, xhttp2.ErrCodeNo)
	readN(t, c, "HTTP/1.1 200 OK\r\ndate: t\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
	if rest, how := readAll(c); rest != "" || how != "eof" {
		t.Errorf("behind the answer: %q, %s", rest, how)
	}

	c = p.dial()
	send(c, postRoot+"Content-Length: 6\r\n\r\nabc", nil)
	w.await(func() bool { return w.answer(3).bytes > 0 })
	w.head(3, false, ":status: 200", "date: t", "content-length: 2")
	w.data(3, false, "h")
	const head = "HTTP/1.1 200 OK\r\ndate: t\r\nContent-Length: 2\r\nConnection: close\r\n\r\nh"
	readN(t, c, head)
	send(c, "def", nil)
	if got := w.request(3); !strings.HasSuffix(got, "{abcdef} / end") {
		t.Errorf("the host got %s", got)
	}
	w.data(3, true, "i")
	if rest, how := readAll(c); rest != "i" || how != "eof" {
		t.Errorf("behind the answer: %q, %s", rest, how)
	}

	// The end of a response does not mean that the host stops reading.
	for i, fields := range [][]string{{":status: 200", "date: t"}, {":status: 200", "date: t", "content-length: 0"}} {
		c, id := p.dial(), uint32(5+2*i)
		send(c, postRoot+"Content-Length: 6\r\n\r\nabc", nil)
		w.await(func() bool { return w.answer(id).bytes > 0 })
		w.head(id, true, fields...)
		readN(t, c, "HTTP/1.1 200 OK\r\ndate: t\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		send(c, "def", nil)
		if got := w.request(id); !strings.HasSuffix(got, "{abcdef} / end") {
			t.Errorf("the host got %s", got)
		}
	}
}

// A host that closes its connection after the last response has sent everything: a slow client still receives all of it.
func TestHTTP2HostClosesBehindResponse(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 2000)
	for _, fields := range [][]string{{":status: 200", "date: t"}, {":status: 200", "date: t", fmt.Sprintf("content-length: %d", len(text))}} {
		h := startFrameHost(t)
		p := rig{opts: EntryOptions{Protocols: H2C}}.start(t, overHTTP2(nil), h.addr)
		c := p.wire(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
		c.ask(1, true, "GET", "/")
		w := h.accept()
		w.asked(1)
		w.head(1, false, fields...)
		for rest := text; rest != ""; {
			n := min(len(rest), 16384)
			w.data(1, n == len(rest), rest[:n])
			rest = rest[n:]
			w.ping() // the proxy has everything, although the client has not taken it
		}
		w.check(w.framer.WriteGoAway(1, xhttp2.ErrCodeNo, nil))
		w.conn.Close()
		c.await(func() bool { return len(c.answer(1).parts) > 0 })
		p.settle()
		c.check(c.framer.WriteWindowUpdate(1, 1<<20))
		if got := c.get(1); !strings.Contains(got, text) || !strings.HasSuffix(got, "end") {
			t.Errorf("of %d bytes the client gets %d: %.80s ... %.40s", len(text), len(got), got, got[max(0, len(got)-40):])
		}
	}
}

// A host that leaves each connection after a few requests refuses the others on the first one. They are sent again, and from
// then on no connection gets more requests than the host serves on it.
func TestHTTP2HostServesFewEach(t *testing.T) {
	t.Parallel()
	const n, each = 60, 6
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(func(s *flat) { s.Retry = config.Retry{Attempts: 1, Buffer: 100} }), h.addr)
	answers := make(chan string, n)
	for i := range n {
		c := p.dial()
		go func() {
			send(c, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", i), nil)
			out := make([]byte, len(hi2))
			k, _ := io.ReadFull(c, out)
			answers <- string(out[:k])
		}()
	}
	serve := func(w *wire) {
		w.check(w.framer.WriteGoAway(2*each-1, xhttp2.ErrCodeNo, nil))
		for i := range each {
			w.hi(uint32(2*i + 1))
		}
	}
	w := h.accept()
	var first, again []string
	for i := range n {
		first = append(first, w.request(uint32(2*i+1)))
	}
	serve(w)
	for range n/each - 1 {
		w := h.accept()
		var got []string
		for i := range each {
			got = append(got, w.request(uint32(2*i+1)))
		}
		w.ping() // nothing else has come before the answer
		if w.answer(2*each+1).parts != nil {
			t.Errorf("a connection gets more than %d requests", each)
		}
		again = append(again, got...)
		serve(w)
	}
	slices.Sort(first[each:])
	slices.Sort(again)
	if !slices.Equal(again, first[each:]) {
		t.Errorf("%d requests come again, want %d, each once", len(again), n-each)
	}
	for range n {
		if got := <-answers; got != hi2 {
			t.Errorf("a client gets %q", got)
		}
	}
}

// A host that keeps leaving its connections, as during a restart, loses no request, whatever its method.
func TestHTTP2HostGoesAwayUnderLoad(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	at, conns := goHost(t, 0, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if asked.Add(1)%20 == 0 {
			w.Header().Set("Connection", "close") // makes x/net's server send GOAWAY
		}
		w.Header()["Content-Type"] = nil
		w.Header().Set("Date", "t")
		_, _ = w.Write(body)
	})
	p := startProxy(t, overHTTP2(func(s *flat) { s.Retry = config.Retry{Attempts: 1, Buffer: 100} }), at)
	const clients, each = 16, 100
	failed := make(chan string, clients)
	for range clients {
		c := p.dial()
		go func() {
			out := make([]byte, len(hi2))
			for range each {
				send(c, postRoot+"Content-Length: 2\r\n\r\nhi", nil)
				if _, err := io.ReadFull(c, out); err != nil || string(out) != hi2 {
					failed <- fmt.Sprintf("%q, %v", out, err)
					return
				}
			}
			failed <- ""
		}()
	}
	for range clients {
		if why := <-failed; why != "" {
			t.Error(why)
		}
	}
	if n := asked.Load(); n != clients*each {
		t.Errorf("the host got %d requests, want %d", n, clients*each)
	}
	if n := conns.Load(); n < 10 {
		t.Errorf("only %d connections: did the host leave any?", n)
	}
}
