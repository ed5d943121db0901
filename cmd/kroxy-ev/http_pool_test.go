package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Which responses leave a host's connection fit for another request (http-cases.md, "Responses from a host").
func TestHTTPPooling(t *testing.T) {
	t.Parallel()
	chunked := okHead + "Transfer-Encoding: chunked\r\n\r\n"
	h := startRecorder(t)
	p := startHTTP(t, setup{hosts: []endpoint{h.endpoint}, settings: settings{"reactors_num": 1}})
	idle := p.sockets()
	for name, test := range map[string]struct {
		in     string // getRequest if ""
		script string
		pooled bool
	}{
		"length":                         {"", hello, true},
		"chunked":                        {"", chunked + "5\r\nhello\r\n0\r\n\r\n", true},
		"no body":                        {"", "HTTP/1.1 204 No\r\n\r\n", true},
		"not modified":                   {"", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", true},
		"head":                           {"HEAD / HTTP/1.1\r\nHost: p\r\n\r\n", okHead + "Content-Length: 5\r\n\r\n", true},
		"1.0 client, 1.1 host":           {"GET / HTTP/1.0\r\nHost: p\r\n\r\n", hello, true},
		"client says close":              {getHead + "Connection: close\r\n\r\n", hello, true},
		"host says close":                {"", okHead + "Connection: Close\r\nContent-Length: 0\r\n\r\n", false},
		"1.0 host":                       {"", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		"1.0 host keeps":                 {"", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", true},
		"until close":                    {"", okHead + "\r\nhello" + closes, false},
		"bytes behind":                   {"", hello + "x", false},
		"bytes behind chunks":            {"", chunked + "0\r\n\r\nHTTP/1.1 200 OK\r\n", false},
		"body after head":                {"HEAD / HTTP/1.1\r\nHost: p\r\n\r\n", hello, false},
		"body after 204":                 {"", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", false},
		"body after 304":                 {"", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\nhello", false},
		"two lengths":                    {"", okHead + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", false},
		"length and chunks":              {"", okHead + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		"unasked 101":                    {"", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false},
		"answer before the request ends": {postHead + "Content-Length: 9\r\n\r\nhell", early + hello + halts, false},
	} {
		t.Run(name, func(t *testing.T) {
			h.begin([]string{test.script})
			c := p.dial()
			if test.in == "" {
				test.in = getRequest
			}
			send(t, c, test.in)
			reply(t, bufio.NewReader(c), test.in[:strings.IndexByte(test.in, ' ')])
			other := p.dial()
			send(t, other, getRequest)
			expectStatus(t, bufio.NewReader(other), 200)
			if pooled := h.connections() == 1; pooled != test.pooled {
				t.Errorf("whether the host's connection was used again: %v, want %v", pooled, test.pooled)
			}
			_, _ = c.Close(), other.Close()
			h.hangUp()
			p.awaitSockets(t, "nothing is open any more", func(n int) bool { return n <= idle })
		})
	}
}

// A host may close an idle connection at any time. If the next request can be repeated, it does not fail.
func TestHTTPStaleConnection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*net.TCPConn){
		"closed": func(c *net.TCPConn) { _ = c.Close() },
		"reset":  reset,
		// The proxy cannot notice before it has sent its request.
		"closed when the next request comes": func(c *net.TCPConn) {
			_, _ = bufio.NewReader(c).Peek(1)
			_ = c.Close()
		},
		"reset when the next request comes": func(c *net.TCPConn) {
			_, _ = bufio.NewReader(c).Peek(1)
			reset(c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
				in := bufio.NewReader(c)
				if req, err := http.ReadRequest(in); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(c, hello)
					end(c)
				}
			})
			p := startHTTP(t, setup{hosts: endpoints(h)})
			c := p.dial()
			in := bufio.NewReader(c)
			for range 50 {
				_ = c.SetDeadline(time.Now().Add(patience))
				send(t, c, getRequest)
				expectStatus(t, in, 200)
				send(t, c, "PUT / HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\nabc")
				expectStatus(t, in, 200)
			}
		})
	}
}

// A request that may not be repeated is sent once: a host that received it and then died may have carried it out.
func TestHTTPPostIsNotRepeated(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	posts := 0
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if req.Method == http.MethodPost {
				mu.Lock()
				posts++
				mu.Unlock()
				return
			}
			_, _ = io.WriteString(c, hello)
		}
	})
	p := startHTTP(t, setup{hosts: endpoints(h)})
	c := p.dial()
	in := bufio.NewReader(c)
	for range 10 {
		send(t, c, getRequest)
		expectStatus(t, in, 200)
		send(t, c, postHead+"Content-Length: 3\r\n\r\nabc")
		expectStatus(t, in, 502)
	}
	if mu.Lock(); posts != 10 {
		t.Errorf("the host got %d POSTs, want 10", posts)
	}
}

// upstream_keepalive bounds the idle connections to each host, upstream_keepalive_timeout how long they are kept.
func TestHTTPUpstreamKeepalive(t *testing.T) {
	t.Parallel()
	const clients = 80 // more than a fixed bound that suits most would allow
	for name, test := range map[string]struct {
		settings settings
		kept     int
	}{
		"default": {nil, clients},
		"auto":    {settings{"upstream_keepalive": "auto"}, clients},
		"0":       {settings{"upstream_keepalive": 0}, 0},
		"2":       {settings{"upstream_keepalive": 2}, 2},
		"timeout": {settings{"upstream_keepalive_timeout": 300}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var together sync.WaitGroup
			together.Add(clients)
			h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path == "/together" {
					together.Done()
					together.Wait()
				}
			})
			s := settings{"reactors_num": 1}
			for k, v := range test.settings {
				s[k] = v
			}
			// A second host, which gets no requests: the bound is per host.
			p := startHTTP(t, setup{hosts: endpoints(h, h), algorithm: "first", settings: s})
			c := p.client()
			begin := time.Now()
			var running sync.WaitGroup
			for range clients {
				running.Go(func() { p.get(c, "/together") })
			}
			running.Wait()
			eventually(t, "all connections beyond upstream_keepalive are closed", func() bool { return h.open.Load() == int64(test.kept) })
			if name == "timeout" {
				notBefore(t, begin, 300*time.Millisecond)
				return
			}
			opened := h.opened.Load()
			for range 20 {
				p.get(c, "/")
			}
			want := opened
			if test.kept == 0 {
				want += 20
			}
			if n := h.opened.Load(); n != want {
				t.Errorf("%d connections were made, want %d", n, want)
			}
		})
	}
}

// A request on a connection that its host has just closed is sent once more if it is idempotent and everything that was sent of it is still buffered. Other
// requests are not repeated.
func TestHTTPRepeatsWhatIsIdempotent(t *testing.T) {
	t.Parallel()
	tail := " / HTTP/1.1\r\nHost: p\r\n"
	const body, chunks = "Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	const expects = "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
	type row struct {
		name, in string
		then     string // sent after the 100
		repeated bool
	}
	rows := []row{
		{"put", "PUT" + tail + body, "", true},
		{"chunked put", "PUT" + tail + chunks, "", true},
		{"put that waits", "PUT" + tail + expects, "abc", true},
		{"put that waits, chunked", "PUT" + tail + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", true},
		{"propfind with a body", "PROPFIND" + tail + "Depth: 1\r\n" + body, "", true},
		{"post", "POST" + tail + body, "", false},
		{"post without body", "POST" + tail + "\r\n", "", false},
		{"post that waits", "POST" + tail + expects, "", false},
		{"patch that waits", "PATCH" + tail + expects, "", false},
		{"long put", "PUT" + tail + "Content-Length: 2000000\r\n\r\n" + bulk[:2_000_000], "", false},
		{"unknown", "FROB" + tail + "\r\n", "", false},
		{"get in small letters", "get" + tail + "\r\n", "", false},
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "UNLOCK", "REPORT", "SEARCH", "QUERY", "ACL", "BIND", "CHECKIN"} {
		rows = append(rows, row{method, method + tail + "\r\n", "", true})
	}
	for _, method := range []string{"PATCH", "LOCK"} {
		rows = append(rows, row{method, method + tail + "\r\n", "", false})
	}
	for _, test := range rows {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got atomic.Int64 // requests after the first
			h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
				in := bufio.NewReader(c)
				for first := true; ; first = false {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if req.Header.Get("First") == "" {
						waits := req.Header.Get("Expect") != ""
						if got.Add(1) == 1 {
							if first {
								t.Error("the request arrived over a new connection")
							}
							if !waits {
								_, _ = io.Copy(io.Discard, req.Body)
							}
							return
						}
						if !first {
							t.Error("the request was repeated on a used connection")
						}
						if waits {
							_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
						}
						if b, err := io.ReadAll(req.Body); err != nil || len(b) > 0 && string(b) != "abc" {
							t.Errorf("the host got the body %q, error %v", b, err)
						}
					}
					if req.Method == http.MethodHead {
						_, _ = io.WriteString(c, hello[:len(hello)-len("hello")])
					} else {
						_, _ = io.WriteString(c, hello)
					}
				}
			})
			p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"reactors_num": 1}})
			c := p.dial()
			in := bufio.NewReader(c)
			send(t, c, getHead+"First: 1\r\n\r\n")
			expectStatus(t, in, 200)
			method, _, _ := strings.Cut(test.in, " ")
			go func() { _ = write(c, test.in) }()
			if test.then != "" {
				if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 100 {
					t.Fatalf("got %v, error %v; want 100", res, err)
				}
				send(t, c, test.then)
			}
			want, times := 502, int64(1)
			if test.repeated {
				want, times = 200, 2
			}
			if res, _ := reply(t, in, method); res.StatusCode != want {
				t.Errorf("status %d, want %d", res.StatusCode, want)
			}
			if n := got.Load(); n != times {
				t.Errorf("the host got the request %d times, want %d", n, times)
			}
		})
	}
}

// The Keep-Alive field of a host's response shortens how long its connections are kept, and is not passed on to the client.
func TestHTTPKeepAliveOfHosts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		field string
		kept  time.Duration // 0: not at all; -1: for as long as the test waits
	}{
		"shorter":         {"Keep-Alive: timeout=2", time.Second},
		"in a list":       {"keep-alive: max=5, TimeOut=2", time.Second},
		"one second":      {"Keep-Alive: timeout=1", 0},
		"none":            {"Keep-Alive: timeout=0, max=100", 0},
		"longer":          {"Keep-Alive: timeout=4000", -1},
		"other":           {"Keep-Alive: max=100", -1},
		"garbage":         {"Keep-Alive: timeout=soon", -1},
		"in another name": {"X-Keep-Alive: timeout=1", -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answered, closed := make(chan time.Time, 9), make(chan time.Duration, 9) // closed: how long after its last response
			h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
				in := bufio.NewReader(c)
				var last time.Time
				for {
					if _, err := http.ReadRequest(in); err != nil {
						closed <- time.Since(last)
						return
					}
					last = time.Now()
					answered <- last
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"+test.field+"\r\nContent-Length: 0\r\n\r\n")
				}
			})
			end := func() (after time.Duration) {
				select {
				case after = <-closed:
				case <-time.After(patience):
					t.Fatal("the connection to the host was not closed")
				}
				return after
			}
			p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"reactors_num": 1, "upstream_keepalive_timeout": 2 * patience.Milliseconds()}})
			c := p.dial()
			in := bufio.NewReader(c)
			for range 2 {
				send(t, c, getRequest)
				if res := expectStatus(t, in, 200); res.Header.Get("Keep-Alive") != "" || res.Close {
					t.Errorf("the client got the header fields %v", res.Header)
				}
				if test.kept == 0 { // whatever the client's connection does
					end()
				}
			}
			first := <-answered
			if test.kept > 0 {
				if d := end(); d < test.kept-20*time.Millisecond || d > patience {
					t.Errorf("closed %v after its last response, want %v", d, test.kept)
				}
				return
			}
			time.Sleep(time.Until(first.Add(1500 * time.Millisecond)))
			if n := len(closed); n > 0 {
				t.Errorf("%d connections were closed, want none", n)
			}
		})
	}
}
