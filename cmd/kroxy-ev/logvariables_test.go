package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kroxy-ev/logformat"
)

// objects waits until a JSON log has n lines, and parses them.
func objects(t *testing.T, file string, n int) []map[string]any {
	t.Helper()
	eventually(t, fmt.Sprintf("there are %d lines", n), func() bool {
		text, _ := os.ReadFile(file)
		return bytes.Count(text, []byte("\n")) >= n
	})
	var all []map[string]any
	for _, line := range lines(t, file) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var o map[string]any
		if err := d.Decode(&o); err != nil || d.More() {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, o)
	}
	if len(all) != n {
		t.Fatalf("%d lines, want %d: %v", len(all), n, all)
	}
	return all
}

// expectFields compares some members of an object; a *regexp.Regexp must match.
func expectFields(t *testing.T, o, want map[string]any) {
	t.Helper()
	for key, w := range want {
		got, ok := o[key]
		switch w := w.(type) {
		case *regexp.Regexp:
			ok = ok && w.MatchString(fmt.Sprint(got))
		case int:
			ok = ok && got == json.Number(fmt.Sprint(w))
		default:
			ok = ok && got == w
		}
		if !ok {
			t.Errorf("%s is %v, want %v, in %v", key, got, w, o)
		}
	}
}

type object = map[string]any

// The log distinguishes all ways in which an exchange may end.
func TestHTTPEndReasons(t *testing.T) {
	t.Parallel()
	dead := refusing(t)
	get := func(t *testing.T, p *proxy, request string) string {
		c := p.dial()
		send(t, c, request)
		_ = c.CloseWrite()
		return readAll(t, c)
	}
	const ask = "GET /a?b HTTP/1.1\r\nHost: Site.test:81\r\nUser-Agent: me \"x\"\r\nConnection: close\r\n\r\n"
	for name, c := range map[string]struct {
		script string
		more   settings
		hosts  []endpoint // instead of the recorder; with also, the recorder comes after them
		also   bool
		algo   string
		talk   func(t *testing.T, p *proxy, h *recorder)
		want   object
	}{
		"complete": {script: hello, talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) }, want: object{
			"end_reason": "complete", "status": 200, "upstream_status": 200, "upstream_tries": 1, "group": "backend", "server": "http", "route": "http",
			"client_addr": "127.0.0.1", "host": "Site.test", "path": "/a", "query": "b", "request_uri": "/a?b", "request_method": "GET",
			"scheme": "http", "protocol": "HTTP/1.1", "http_user_agent": `me "x"`, "tls_version": nil,
			"request_id": regexp.MustCompile(`^[0-9a-f]{32}$`), "time_iso8601": regexp.MustCompile(`^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$`),
			"upstream_connect_time": regexp.MustCompile(`^\d+$`), "upstream_header_time": regexp.MustCompile(`^\d+$`), "processing_time": regexp.MustCompile(`^\d+$`),
			"bytes_sent_downstream": len(hello) + len("Connection: close\r\n"),
		}},
		"the client leaves while it waits": {script: halts, talk: func(t *testing.T, p *proxy, h *recorder) {
			c := p.dial()
			send(t, c, ask)
			eventually(t, "the host gets the request", func() bool { return h.connections() == 1 })
			reset(c)
		}, want: object{"end_reason": "client_abort", "status": 499, "upstream_status": nil, "upstream_header_time": nil}},
		"the client leaves inside the response": {script: okHead + "Content-Length: 10\r\n\r\nhello" + halts, talk: func(t *testing.T, p *proxy, _ *recorder) {
			c := p.dial()
			send(t, c, ask)
			expect(t, c, okHead+"Content-Length: 10\r\nConnection: close\r\n\r\nhello")
			reset(c)
		}, want: object{"end_reason": "client_abort", "status": 499, "upstream_status": 200}},
		"the client leaves inside its body": {script: halts, talk: func(t *testing.T, p *proxy, _ *recorder) {
			get(t, p, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n\r\nab")
		}, want: object{"end_reason": "client_abort", "status": 499, "upstream_tries": 1}},
		"the client leaves inside its head": {talk: func(t *testing.T, p *proxy, _ *recorder) {
			get(t, p, "GET /a HTTP/1.1\r\nHost")
		}, want: object{"end_reason": "client_abort", "status": 499, "upstream_tries": 0, "upstream_addr": nil, "request_uri": "/a"}},
		"the host leaves inside its response": {script: okHead + "Content-Length: 10\r\n\r\nhello" + closes, talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "host_cut", "status": 200, "upstream_status": 200}},
		"the host resets": {script: resets, talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "host_cut", "status": 502, "upstream_status": nil}},
		"nonsense from the host": {script: "nonsense\r\n\r\n", talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "bad_response", "status": 502, "upstream_status": nil}},
		"the host is silent": {script: halts, more: settings{"proxy_read_timeout": ample}, talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "proxy_read_timeout", "status": 504}},
		"the head is slow": {more: settings{"client_header_timeout": ample}, talk: func(t *testing.T, p *proxy, _ *recorder) {
			c := p.dial()
			send(t, c, "GET /slow HT")
			readAll(t, c)
		}, want: object{"end_reason": "client_header_timeout", "status": 408, "upstream_tries": 0}},
		"the body is slow": {script: halts, more: settings{"client_body_timeout": ample}, talk: func(t *testing.T, p *proxy, _ *recorder) {
			c := p.dial()
			send(t, c, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n\r\nab")
			readAll(t, c)
		}, want: object{"end_reason": "client_body_timeout", "status": 408}},
		"refused": {talk: func(t *testing.T, p *proxy, _ *recorder) {
			get(t, p, "GET /x\r\nstatus: 200 HTTP/1.1\r\nHost: p\r\n\r\n")
		},
			want: object{"end_reason": "refused", "status": 400, "request_method": "GET", "request_uri": "/x", "upstream_addr": nil, "protocol": nil}},
		"forged": {talk: func(t *testing.T, p *proxy, _ *recorder) {
			get(t, p, "GET /\"},{\"\x00\xff\x1b[31m HTTP/1.1\r\nHost: p\r\n\r\n")
		},
			want: object{"end_reason": "refused", "status": 400, "request_uri": "/\"},{\"\x00\ufffd\x1b[31m"}},
		"too large": {more: settings{"max_body_size": 1}, talk: func(t *testing.T, p *proxy, _ *recorder) {
			get(t, p, "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n\r\nab")
		}, want: object{"end_reason": "refused", "status": 413}},
		"unreachable": {hosts: []endpoint{dead}, talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "unreachable", "status": 502, "upstream_host": fmt.Sprintf("127.0.0.1:%d", dead.Port), "upstream_addr": fmt.Sprintf("127.0.0.1:%d", dead.Port), "upstream_tries": 1, "upstream_connect_time": nil}},
		"black hole": {hosts: []endpoint{blackHole(t)}, more: settings{"connect_timeout": 100}, talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "connect_timeout", "status": 504}},
		"another host": {hosts: []endpoint{dead}, also: true, algo: "first", script: hello, talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "complete", "status": 200, "upstream_tries": 2}},
		"unknown name": {algo: "host", talk: func(t *testing.T, p *proxy, _ *recorder) { get(t, p, ask) },
			want: object{"end_reason": "unknown_name", "status": 421, "upstream_addr": nil}},
		"shutdown": {script: halts, more: settings{"shutdown_timeout": 0}, talk: func(t *testing.T, p *proxy, h *recorder) {
			send(t, p.dial(), ask)
			eventually(t, "the host gets the request", func() bool { return h.connections() == 1 })
			p.stop()
		}, want: object{"end_reason": "shutdown", "status": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t)
			h.begin([]string{c.script})
			hosts := c.hosts
			if hosts == nil || c.also {
				hosts = append(hosts, h.endpoint)
				c.want["upstream_addr"] = fmt.Sprintf("127.0.0.1:%d", h.Port)
				if v, ok := c.want["upstream_tries"]; ok && v == 0 || c.want["end_reason"] == "refused" || c.algo == "host" || strings.HasPrefix(fmt.Sprint(c.want["end_reason"]), "client_header") {
					c.want["upstream_addr"] = nil
				}
			}
			file := filepath.Join(t.TempDir(), "access.log")
			all := settings{"file_log": file, "format_log": "json", "reactors_num": 1}
			maps.Copy(all, c.more)
			p := startHTTP(t, setup{hosts: hosts, algorithm: c.algo, settings: all})
			c.talk(t, p, h)
			o := objects(t, file, 1)[0]
			expectFields(t, o, c.want)
			if len(o) != len(logformat.Members(logformat.HTTP)) {
				t.Errorf("%d members, want %d", len(o), len(logformat.Members(logformat.HTTP)))
			}
		})
	}
}

// The same for sessions.
func TestStreamEndReasons(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("site.test")
	dead := refusing(t)
	for name, c := range map[string]struct {
		more  settings
		hosts []endpoint
		algo  string
		talk  func(t *testing.T, p *proxy, h *host)
		want  object
	}{
		"complete": {talk: func(t *testing.T, p *proxy, h *host) {
			c, s := p.dial(), h.accept()
			send(t, c, "hello")
			_ = c.CloseWrite()
			expectAll(t, s, "hello")
			_ = s.Close()
			expectAll(t, c, "")
		}, want: object{"end_reason": "complete", "protocol": "TCP", "bytes_sent_upstream": 5, "group": "backend", "client_addr": "127.0.0.1",
			"upstream_tries": 1, "upstream_connect_time": regexp.MustCompile(`^\d+$`), "request_id": regexp.MustCompile(`^[0-9a-f]{32}$`)}},
		"the client resets": {talk: func(t *testing.T, p *proxy, h *host) {
			c := p.dial()
			send(t, c, "hello")
			expect(t, h.accept(), "hello")
			reset(c)
		}, want: object{"end_reason": "client_abort", "bytes_sent_upstream": 5}},
		"the host resets": {talk: func(t *testing.T, p *proxy, h *host) {
			c := p.dial()
			send(t, c, "hello")
			s := h.accept()
			expect(t, s, "hello")
			reset(s)
			expectReset(t, c)
		}, want: object{"end_reason": "host_cut"}},
		"the client is silent": {more: settings{"read_timeout": 100, "log_level": "debug"}, talk: func(t *testing.T, p *proxy, h *host) {
			expectClosed(t, p.dial())
			p.awaitLog(`level=DEBUG msg="stream: session closed" reason="client silent \(read_timeout\)" client=127\.0\.0\.1 .*host=127\.0\.0\.1:\d+`)
		}, want: object{"end_reason": "read_timeout"}},
		"the host is silent": {more: settings{"proxy_read_timeout": 100, "log_level": "debug"}, talk: func(t *testing.T, p *proxy, h *host) {
			expectClosed(t, p.dial())
			p.awaitLog(`level=DEBUG msg="stream: session closed" reason="host silent \(proxy_read_timeout\)"`)
		}, want: object{"end_reason": "proxy_read_timeout"}},
		"unreachable": {hosts: []endpoint{dead}, talk: func(t *testing.T, p *proxy, h *host) { expectClosed(t, p.dial()) },
			want: object{"end_reason": "unreachable", "upstream_addr": fmt.Sprintf("127.0.0.1:%d", dead.Port), "upstream_host": fmt.Sprintf("127.0.0.1:%d", dead.Port), "upstream_connect_time": nil}},
		"black hole": {hosts: []endpoint{blackHole(t)}, more: settings{"connect_timeout": 100}, talk: func(t *testing.T, p *proxy, h *host) { expectClosed(t, p.dial()) },
			want: object{"end_reason": "connect_timeout"}},
		"unknown name": {algo: "sni", talk: func(t *testing.T, p *proxy, h *host) {
			c := p.dial()
			send(t, c, clientHello(a.clientConfig("other.test")))
			expectClosed(t, c)
		}, want: object{"end_reason": "unknown_name", "tls_sni": "other.test", "upstream_addr": nil}},
		"a handshake that fails": {more: id.serverSettings(nil), talk: func(t *testing.T, p *proxy, h *host) {
			c := p.dial()
			send(t, c, "nonsense")
			_ = c.CloseWrite()
			readAll(t, c)
		}, want: object{"end_reason": "tls_failed", "upstream_tries": 0}},
		"a handshake that takes too long": {more: id.serverSettings(settings{"tls_handshake_timeout": 100}), talk: func(t *testing.T, p *proxy, h *host) { expectClosed(t, p.dial()) },
			want: object{"end_reason": "tls_handshake_timeout"}},
		"a probe of a TLS port": {more: id.serverSettings(nil), talk: func(t *testing.T, p *proxy, h *host) { _ = p.dial().Close() },
			want: object{"end_reason": "client_abort"}},
		"shutdown": {more: settings{"shutdown_timeout": 0}, talk: func(t *testing.T, p *proxy, h *host) {
			expectEcho(t, p.dial(), "")
			h.accept()
			p.stop()
		}, want: object{"end_reason": "shutdown"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", nil)
			hosts := c.hosts
			if hosts == nil {
				hosts = endpoints(h)
			}
			file := filepath.Join(t.TempDir(), "access.log")
			all := settings{"file_log": file, "format_log": "json", "reactors_num": 1}
			maps.Copy(all, c.more)
			p := start(t, setup{hosts: hosts, algorithm: c.algo, settings: all})
			c.talk(t, p, h)
			o := objects(t, file, 1)[0]
			expectFields(t, o, c.want)
			if len(o) != len(logformat.Members(logformat.Stream)) {
				t.Errorf("%d members, want %d", len(o), len(logformat.Members(logformat.Stream)))
			}
		})
	}
}

// The host and the log get the same ID, and each request gets its own. A custom format has its variables, and the client's port is right. A request on a
// reused connection has a connect time of zero.
func TestRequestID(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		file := filepath.Join(t.TempDir(), "access.log")
		s := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Request-Id")) })
		p := startHTTP(t, setup{hosts: endpoints(s), multi: multi, settings: settings{
			"file_log": file, "headers": settings{"X-Request-ID": "<$request_id>"}, "reactors_num": 1,
			"format_log": settings{"id": "$request_id", "from": "$client_addr:$client_port", "tries": "$upstream_tries", "took": "$upstream_connect_time"},
		}})
		c := p.client()
		seen := map[string]bool{}
		var got []string
		for range 50 {
			_, id := p.get(c, "/")
			expectMatch(t, id, `^<[0-9a-f]{32}>$`)
			seen[id] = true
			got = append(got, id)
		}
		if len(seen) != len(got) {
			t.Errorf("%d IDs for %d requests", len(seen), len(got))
		}
		for i, o := range objects(t, file, len(got)) {
			expectFields(t, o, object{"id": strings.Trim(got[i], "<>"), "from": regexp.MustCompile(`^127\.0\.0\.1:\d{2,5}$`), "tries": 1})
			if i > 0 {
				expectFields(t, o, object{"took": 0})
			}
			if len(o) != 4 {
				t.Errorf("a line has %d members: %v", len(o), o)
			}
		}
	})
}

// The log says why a tunnel ended.
func TestTunnelEndReasons(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave func(client, host *net.TCPConn)
		want  string
	}{
		"complete": {func(client, host *net.TCPConn) {
			_ = client.CloseWrite()
			readAll(t, host)
			_ = host.Close()
			readAll(t, client)
		}, "complete"},
		"proxy_read_timeout": {func(_, _ *net.TCPConn) {}, "proxy_read_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", nil)
			file := filepath.Join(t.TempDir(), "access.log")
			more := settings{"file_log": file, "format_log": "json", "reactors_num": 1}
			if c.want != "complete" {
				more["proxy_read_timeout"] = ample
			}
			p := startHTTP(t, setup{hosts: endpoints(h), settings: more})
			client := p.dial()
			send(t, client, "GET /w HTTP/1.1\r\nHost: p\r\nUser-Agent: ws\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			s := h.accept()
			const switched = "HTTP/1.1 101 Switching Protocols\r\nDate: now\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
			send(t, s, switched)
			expect(t, client, "HTTP/1.1 101")
			c.leave(client, s)
			expectFields(t, objects(t, file, 1)[0], object{"end_reason": c.want, "status": 101, "upstream_status": 101, "request_uri": "/w", "http_user_agent": "ws", "host": "p",
				"request_id": regexp.MustCompile(`^[0-9a-f]{32}$`), "upstream_addr": fmt.Sprintf("127.0.0.1:%d", h.Port)})
		})
	}
}
