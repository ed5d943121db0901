package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// startHeadHost starts a host that answers with the head of each request, unchanged.
func startHeadHost(t *testing.T, addr string) *host {
	return listen(t, addr, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				head.WriteString(line)
			}
			fmt.Fprintf(c, "%sContent-Length: %d\r\n\r\n%s", okHead, head.Len(), &head)
		}
	})
}

// Which parts of a request head are rewritten for a host.
func TestHTTPRequestHeads(t *testing.T) {
	t.Parallel()
	needAddress(t, "127.0.0.2", "127.0.0.2")
	h := startHeadHost(t, "127.0.0.2")
	at := fmt.Sprintf("127.0.0.2:%d", h.Port)
	const forwarded = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: p\r\n"
	const claims = "X-Forwarded-For: 9.9.9.9, 8.8.8.8\r\nx-forwarded-for: 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\n"
	for name, test := range map[string]struct {
		settings settings
		in, want string // after the request line
	}{
		"default":                       {nil, "Host: p\r\nX: y\r\n", "Host: p\r\nX: y\r\n" + forwarded},
		"fields of an untrusted client": {nil, "Host: p\r\n" + claims, "Host: p\r\n" + forwarded},
		"fields while other addresses are trusted": {settings{"trusted_proxies": []string{"10.0.0.0/8", "127.0.0.2"}}, "Host: p\r\n" + claims, "Host: p\r\n" + forwarded},
		"fields of a trusted address":              {settings{"trusted_proxies": []string{"127.0.0.1"}}, "Host: p\r\n" + claims, "Host: p\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7, 127.0.0.1\r\n"},
		"fields of a trusted network":              {settings{"trusted_proxies": []string{"127.0.0.0/8"}}, "Host: p\r\nX-Forwarded-For: 9.9.9.9\r\n", "Host: p\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: p\r\n"},
		"not forwarded":                            {settings{"forwarded_headers": false}, "Host: p\r\nX-Forwarded-For: 9.9.9.9\r\n", "Host: p\r\nX-Forwarded-For: 9.9.9.9\r\n"},
		"host of the upstream":                     {settings{"forwarded_headers": false, "proxy_set_host": "upstream"}, "Accept: a\r\nHost: p:81\r\nX: y\r\n", "Accept: a\r\nHost: " + at + "\r\nX: y\r\n"},
		"host of the client":                       {settings{"forwarded_headers": false, "proxy_set_host": "client"}, "host: P:81\r\n", "host: P:81\r\n"},
		"host of the upstream, forwarded": {settings{"proxy_set_host": "upstream"}, "Host: p\r\n",
			"Host: " + at + "\r\n" + forwarded},
		"headers": {settings{"forwarded_headers": false, "headers": map[string]string{"X-Real-IP": "$addr", "X-Both": "$host/$addr $host$host $hosts $", "Via": "1.1 a"}}, "Host: p\r\nVIA: 1.0 b\r\nx-real-ip: 6.6.6.6\r\nX: y\r\nVia: 1.0 c\r\n",
			"Host: p\r\nX: y\r\nVia: 1.1 a\r\nX-Both: 127.0.0.2/127.0.0.1 127.0.0.2127.0.0.2 127.0.0.2s $\r\nX-Real-IP: 127.0.0.1\r\n"},
		"headers set the host":          {settings{"forwarded_headers": false, "headers": map[string]string{"Host": "$host"}}, "X: y\r\nHost: p\r\n", "X: y\r\nHost: 127.0.0.2\r\n"},
		"headers set forwarded fields":  {settings{"headers": map[string]string{"X-Forwarded-For": "unknown", "x-forwarded-proto": "gopher"}}, "Host: p\r\n" + claims, "Host: p\r\nX-Forwarded-For: unknown\r\nx-forwarded-proto: gopher\r\nX-Forwarded-Host: p\r\n"},
		"headers do not change framing": {settings{"forwarded_headers": false, "headers": map[string]string{"Content-Length": "5", "Connection": "close", "Transfer-Encoding": "chunked"}}, "Host: p\r\n", "Host: p\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startHTTP(t, setup{hosts: endpoints(h), settings: test.settings})
			c := p.dial()
			in := bufio.NewReader(c)
			for range 3 {
				send(t, c, "GET /a?b HTTP/1.1\r\n"+test.in+"\r\n")
				_, got := reply(t, in, http.MethodGet)
				got = strings.TrimSuffix(strings.TrimPrefix(got, "GET /a?b HTTP/1.1\r\n"), "\r\n")
				if got != test.want {
					t.Fatalf("the host got %q\nwant %q", got, test.want)
				}
			}
		})
	}
}

// The algorithms choose a host for every request, on whichever connection it arrives.
func TestHTTPBalancing(t *testing.T) {
	t.Parallel()
	hosts := namedHosts(t, 3)
	for algorithm, test := range map[string]struct {
		names []string // requested, in turn
		want  string
	}{
		"":            {[]string{"p"}, strings.Repeat("ABC", 10)},
		"round_robin": {[]string{"p"}, strings.Repeat("ABC", 10)},
		"first":       {[]string{"p"}, strings.Repeat("A", 30)},
		"least_conn":  {[]string{"p"}, ""},
		"host":        {[]string{"127.0.0.2:80", "127.0.0.1", "127.0.0.3"}, strings.Repeat("BAC", 10)},
	} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			p := startHTTP(t, setup{hosts: endpoints(hosts...), algorithm: algorithm})
			c := p.dial()
			in := bufio.NewReader(c)
			var got strings.Builder
			for i := range 30 {
				send(t, c, "GET / HTTP/1.1\r\nHost: "+test.names[i%len(test.names)]+"\r\n\r\n")
				_, letter := reply(t, in, http.MethodGet)
				got.WriteString(letter)
			}
			if test.want != "" && got.String() != test.want {
				t.Errorf("hosts in the order %s, want %s", &got, test.want)
			}
		})
	}
}

// The Host field of a request names its host, in any letter case and with any port.
func TestHTTPHostByName(t *testing.T) {
	t.Parallel()
	needAddress(t, "127.0.0.1", "localhost")
	hosts := namedHosts(t, 2)
	third := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "L") })
	third.Host = "LocalHost"
	p := startHTTP(t, setup{hosts: endpoints(hosts[0], hosts[1], third), algorithm: "host"})
	c := p.dial()
	in := bufio.NewReader(c)
	for _, test := range []struct{ in, want string }{
		{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "L"},
		{"GET / HTTP/1.1\r\nHost: LOCALHOST:8080\r\n\r\n", "L"},
		{"GET / HTTP/1.1\r\nHost: localhost.\r\n\r\n", "L"},
		{"GET http://127.0.0.2/ HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n", "B"},
		{"GET / HTTP/1.1\r\nHost: 127.0.0.3\r\n\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: localhost.test\r\n\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "A"},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 5000) + "\r\n\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n", "B"},
	} {
		send(t, c, test.in)
		res, got := reply(t, in, http.MethodGet)
		if test.want == "" && res.StatusCode != 421 || test.want != "" && got != test.want {
			t.Errorf("%.80q got status %d, body %q, want %q", test.in, res.StatusCode, got, test.want)
		}
	}
}

// least_conn counts requests in flight, not connections.
func TestHTTPLeastConn(t *testing.T) {
	t.Parallel()
	release := map[string]chan struct{}{"A": make(chan struct{}), "B": make(chan struct{}), "/end": make(chan struct{})}
	arrived := make(chan string, 100)
	hold := func(letter string) *httpHost {
		return serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
			switch req.URL.Path {
			case "/hold":
				arrived <- letter
				<-release[letter]
			case "/end":
				arrived <- letter
				<-release["/end"]
			}
			_, _ = io.WriteString(w, letter)
		})
	}
	p := startHTTP(t, setup{hosts: endpoints(hold("A"), hold("B")), algorithm: "least_conn", settings: settings{"reactors_num": 1}})
	c := p.client()
	for range 20 {
		p.get(c, "/") // has ended before the next begins: it no longer counts, though its connection is kept
	}
	letters := make(chan string, 6)
	var running, later sync.WaitGroup
	count := map[string]int{}
	for range 6 {
		running.Go(func() {
			_, letter := p.get(c, "/hold")
			letters <- letter
		})
		count[<-arrived]++
	}
	if count["A"] != 3 || count["B"] != 3 {
		t.Errorf("6 concurrent requests were distributed %v", count)
	}
	close(release["A"])
	for range count["A"] {
		if letter := <-letters; letter != "A" {
			t.Errorf("host %s has answered too early", letter)
		}
	}
	for i := range 3 {
		later.Go(func() { p.get(c, "/end") })
		if letter := <-arrived; letter != "A" {
			t.Errorf("request %d went to B, which has 3 in flight, while A has %d", i, i)
		}
	}
	close(release["B"])
	close(release["/end"])
	running.Wait()
	later.Wait()
}

// A host that cannot be reached is skipped.
func TestHTTPUnreachableHosts(t *testing.T) {
	t.Parallel()
	good := serve(t, "127.0.0.1", mirror)
	for _, algorithm := range []string{"round_robin", "first", "least_conn"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			p := startHTTP(t, setup{hosts: []endpoint{refusing(t), {"nobody.invalid", 9}, good.endpoint}, algorithm: algorithm, settings: settings{"resolve_timeout": 2000}})
			c := p.client()
			for range 9 {
				res, err := c.Post(p.url("/echo"), "", strings.NewReader("a body"))
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != "a body" {
					t.Fatalf("got status %d, body %q, error %v", res.StatusCode, body, err)
				}
				_ = res.Body.Close()
			}
		})
	}
	t.Run("unresolvable", func(t *testing.T) {
		t.Parallel()
		p := startHTTP(t, setup{hosts: []endpoint{{"nobody.invalid", 9}}, settings: settings{"resolve_timeout": 10_000}})
		if res, body := p.get(p.client(), "/"); res.StatusCode != 502 {
			t.Errorf("got status %d, body %q", res.StatusCode, body)
		}
	})
}

// Every log variable, for every way in which a request can end.
func TestHTTPAccessLog(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	h := startRecorder(t)
	p := startHTTP(t, setup{hosts: []endpoint{h.endpoint}, settings: settings{
		"file_log": file, "forwarded_headers": false, "max_body_size": 100, "client_header_timeout": ample, "reactors_num": 1,
		"format_log": `$client_addr "$request_method $request_uri" $status $bytes_sent_upstream $bytes_sent_downstream $processing_time "$http_user_agent"`,
	}})
	tests := []struct {
		in, script string
		end        bool // the client half-closes after in
		want       string
	}{
		{"GET /a?b=c HTTP/1.1\r\nHost: p\r\nUser-Agent: tester/1 (x)\r\n\r\n", hello, false,
			fmt.Sprintf(`127\.0\.0\.1 "GET /a\?b=c" 200 %d %d \d+ms "tester/1 \(x\)"`, len("GET /a?b=c HTTP/1.1\r\nHost: p\r\nUser-Agent: tester/1 (x)\r\n\r\n"), len(hello))},
		{postHead + "Content-Length: 2\r\n\r\nab", "HTTP/1.1 404 No\r\nDate: now\r\nContent-Length: 0\r\n\r\n", false,
			fmt.Sprintf(`127\.0\.0\.1 "POST /" 404 %d %d \d+ms "-"`, len(postHead+"Content-Length: 2\r\n\r\nab"), len("HTTP/1.1 404 No\r\nDate: now\r\nContent-Length: 0\r\n\r\n"))},
		{"GET http://q/x HTTP/1.1\r\nHost: q\r\n\r\n", hello, false, `127\.0\.0\.1 "GET http://q/x" 200 \d+ \d+ \d+ms "-"`},
		{"GET / HTTP/1.1\r\nHost: p\r\nUser-Agent: \"\x80\\\r\n\r\n", hello, false, `127\.0\.0\.1 "GET /" 200 \d+ \d+ \d+ms "\\x22\\x80\\x5C"`},
		{getRequest, "nonsense\r\n\r\n", false, `127\.0\.0\.1 "GET /" 502 \d+ \d+ \d+ms "-"`},
		{"GET /early HTTP/1.1\r\nUser-Agent: u\r\n\r\n", "", false, `127\.0\.0\.1 "GET /early" 400 0 \d+ \d+ms "u"`},
		{postHead + "Content-Length: 101\r\n\r\n", "", false, `127\.0\.0\.1 "POST /" 413 0 \d+ \d+ms "-"`},
		{"GET /slow HTTP/1.1\r\nUser-Agent: u\r\nX", "", false, `127\.0\.0\.1 "GET /slow" 408 0 \d+ (3999|[4-9]\d{3}|\d{5,})ms "u"`}, // deadlines are in whole ms
		{getRequest, okHead + "Content-Length: 10\r\n\r\nhello" + closes, false, fmt.Sprintf(`127\.0\.0\.1 "GET /" 200 %d %d \d+ms "-"`, len(getRequest), len(okHead+"Content-Length: 10\r\n\r\nhello"))},
		{postHead + "Content-Length: 9\r\n\r\nab", hello, true, `127\.0\.0\.1 "POST /" 499 \d+ 0 \d+ms "-"`},
	}
	for _, test := range tests {
		h.begin([]string{test.script})
		c := p.dial()
		send(t, c, test.in)
		if test.end {
			_ = c.CloseWrite()
			expectClosed(t, c)
		} else {
			res, _ := http.ReadResponse(bufio.NewReader(c), nil)
			_, _ = io.Copy(io.Discard, res.Body)
		}
		_ = c.Close()
	}
	p.stop()
	got := lines(t, file)
	if len(got) != len(tests) {
		t.Fatalf("%d lines, want %d: %q", len(got), len(tests), got)
	}
	for i, test := range tests {
		expectMatch(t, got[i], stamp+test.want+"$")
	}
}

// A request that never arrives whole still has a log line of its own. The head fills the first buffer to the last byte.
func TestHTTPAccessLogOfHalfHeads(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	p := startHTTP(t, setup{hosts: []endpoint{refusing(t)}, settings: settings{
		"file_log": file, "format_log": "$request_uri", "client_header_timeout": ample, "reactors_num": 1,
	}})
	const n = 20
	for i := range n {
		head := fmt.Sprintf("GET /%04d HTTP/1.1\r\nX: ", i)
		c := p.dial()
		send(t, c, head+strings.Repeat("x", 4096-len(head)))
	}
	for i := range n {
		c := p.dial()
		send(t, c, fmt.Sprintf("GET /later HTTP/1.1\r\nX-%d: y", i))
	}
	eventually(t, "the log has all lines", func() bool { return len(lines(t, file)) == 2*n })
	text, _ := os.ReadFile(file)
	for i := range n {
		if uri := fmt.Sprintf("/%04d\n", i); strings.Count(string(text), uri) != 1 {
			t.Errorf("%d lines of %q, want 1", strings.Count(string(text), uri), uri)
		}
	}
	if got := strings.Count(string(text), "/later\n"); got != n {
		t.Errorf("%d lines of another request, want %d", got, n)
	}
	if t.Failed() {
		t.Logf("the log:\n%s", text)
	}
}

// kroxyFiles are the configurations of Kroxy's own tests of http mode (tests/test_http_basic and tests/test_http_timeout).
var kroxyFiles = map[string]string{
	"basic": `{
  "http": {
    "servers": {
      "service": {
        "hosts": [
          {
            "host": "127.0.0.1",
            "port": 9090
          }
        ]
      }
    },
    "port": 8080,
    "timeout_ms": 500,
    "proxy_to": "service"
  }
}`,
	"timeout": `{
  "http": {
    "servers": {
      "service": {
        "hosts": [
          {
            "host": "127.0.0.1",
            "port": 9090
          }
        ]
      }
    },
    "port": 8080,
    "proxy_read_timeout": 1000,
    "client_header_timeout": 1000,
    "proxy_to": "service"
  }
}`,
}

// Kroxy's files work unchanged, apart from the ports.
func TestHTTPKroxyFiles(t *testing.T) {
	t.Parallel()
	for name, text := range kroxyFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serve(t, "127.0.0.1", mirror)
			port := reservePort(t)
			text = strings.NewReplacer("8080", strconv.Itoa(port), "9090", strconv.Itoa(h.Port)).Replace(text)
			p := launchOn(t, port, writeConfig(t, t.TempDir(), []byte(text)), false, nil)
			c := p.client()
			for _, path := range []string{"/", "/missing", "/pieces"} {
				if res, body := p.get(c, path); len(body) == 0 || (res.StatusCode == 404) != (path == "/missing") {
					t.Errorf("%s: got status %d, body %q", path, res.StatusCode, body)
				}
			}
			if warned := strings.Contains(p.stderr.String(), "timeout_ms"); warned != strings.Contains(text, "timeout_ms") {
				t.Errorf("whether there is a warning about timeout_ms: %v", warned)
			}
			p.stop()
		})
	}
}
