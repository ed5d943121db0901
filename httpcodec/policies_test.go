package httpcodec

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

func redirect(t testing.TB, to string, status int) *policy.Redirect {
	t.Helper()
	d, problems := policy.CompileRedirect(&config.Redirect{To: to, Status: status}, nil)
	if problems != nil {
		t.Fatal(problems)
	}
	return d
}

func respond(t testing.TB, status int, body string, headers ...config.Header) *policy.Respond {
	t.Helper()
	r, problems := policy.CompileRespond(&config.Respond{Status: status, Body: body, Headers: headers})
	if problems != nil {
		t.Fatal(problems)
	}
	return r
}

func responseHeaders(t testing.TB, e config.HeaderEdits) *policy.Headers {
	t.Helper()
	h, problems := policy.CompileResponseHeaders(e)
	if problems != nil {
		t.Fatal(problems)
	}
	return h
}

func requestHeaders(t testing.TB, e config.HeaderEdits) *policy.Headers {
	t.Helper()
	h, problems := policy.CompileRequestHeaders(e)
	if problems != nil {
		t.Fatal(problems)
	}
	return h
}

func TestReplies(t *testing.T) {
	t.Parallel()
	const get, head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
	const text = "Content-Type: text/plain; charset=utf-8\r\n"
	typed := config.Header{Name: "content-type", Value: "text/css"}
	edits := responseHeaders(t, config.HeaderEdits{Set: []config.Header{{Name: "X", Value: "1"}, {Name: "Date", Value: "then"}}, Remove: []string{"y"}})
	for _, c := range []struct {
		in      string
		respond *policy.Respond
		edits   *policy.Headers
		want    string
	}{
		{get, respond(t, 200, "hi $host"), nil, "200 OK\r\nDate: now\r\n" + text + "Content-Length: 4\r\n\r\nhi a"},
		{head, respond(t, 200, "hi $host"), nil, "200 OK\r\nDate: now\r\n" + text + "Content-Length: 4\r\n\r\n"},
		{get, respond(t, 200, ""), nil, "200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n"},
		{get, respond(t, 204, ""), nil, "204 No Content\r\nDate: now\r\n\r\n"},
		{get, respond(t, 205, ""), nil, "205 Reset Content\r\nDate: now\r\nContent-Length: 0\r\n\r\n"},
		{get, respond(t, 304, "", config.Header{Name: "ETag", Value: "x"}), nil, "304 Not Modified\r\nDate: now\r\nETag: x\r\n\r\n"},
		{get, respond(t, 200, "{}", typed), nil, "200 OK\r\nDate: now\r\ncontent-type: text/css\r\nContent-Length: 2\r\n\r\n{}"},
		{get, respond(t, 204, "", config.Header{Name: "date", Value: "then"}), nil, "204 No Content\r\ndate: then\r\n\r\n"},
		{get, respond(t, 200, "{}", typed, config.Header{Name: "Y", Value: "2"}, config.Header{Name: "x", Value: "$host"}), edits,
			"200 OK\r\ncontent-type: text/css\r\nX: 1\r\nDate: then\r\nContent-Length: 2\r\n\r\n{}"},
		{get, respond(t, 403, "no", config.Header{Name: "Retry-After", Value: "5"}), edits, "403 Forbidden\r\n" + text + "Retry-After: 5\r\nX: 1\r\nDate: then\r\nContent-Length: 2\r\n\r\nno"},
		{get, respond(t, 401, "", config.Header{Name: "WWW-Authenticate", Value: "Basic"}), nil, "401 Unauthorized\r\nDate: now\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"},
		{"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n", respond(t, 403, ""), edits, "403 Forbidden\r\n" + text + "X: 1\r\nDate: then\r\nContent-Length: 14\r\n\r\n403 Forbidden\n"},
		{head, respond(t, 404, ""), nil, "404 Not Found\r\nDate: now\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 139\r\n\r\n"},
	} {
		var r http1.Request
		r.Reset()
		if n, err := r.Parse([]byte(c.in)); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		p := &Reply{Request: &r, KeepAlive: true, Date: []byte("now"), Headers: c.edits, Record: &logformat.Record{Host: []byte("a")}}
		if got := string(AppendRespond([]byte("before"), c.respond, p)); got != "beforeHTTP/1.1 "+c.want {
			t.Errorf("%q:\n%q, want\n%q", c.in, got, "HTTP/1.1 "+c.want)
		}
	}
}

// Requests that go to no host are answered in their turn, and what follows on the connection is parsed correctly.
func TestPoliciesAnswer(t *testing.T) {
	t.Parallel()
	const moved = "HTTP/1.1 308 Permanent Redirect\r\nDate: " + noDate + "\r\n"
	const page308 = "Content-Type: text/html; charset=utf-8\r\nContent-Length: 157\r\n\r\n<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">" +
		"<title>308 Permanent Redirect</title></head>\n<body><h1>308 Permanent Redirect</h1></body></html>\n"
	const hello = "HTTP/1.1 200 OK\r\nDate: " + noDate + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nhi"
	closing := func(s string) string {
		return strings.Replace(s, noDate+"\r\n", noDate+"\r\nConnection: close\r\n", 1)
	}
	to := func(s *flat) { s.Policies.Redirect = redirect(t, "https://$host$request_uri", 308) }
	say := func(s *flat) { s.Policies.Respond = respond(t, 200, "hi") }
	for _, tc := range []struct {
		name    string
		set     func(*flat)
		in, out string
		ends    bool
	}{
		{"redirect", to, "GET /a%20b?c HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", moved + "Location: https://[::1]/a%20b?c\r\n" + page308, false},
		{"pipelined", to, "GET /a HTTP/1.1\r\nHost: a:80\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
			moved + "Location: https://a/a\r\n" + page308 + moved + "Location: https://b/b\r\n" + page308, false},
		{"HEAD, pipelined", to, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: b\r\n\r\n",
			moved + "Location: https://a/a\r\n" + page308[:strings.Index(page308, "<!")] + moved + "Location: https://b/b\r\n" + page308[:strings.Index(page308, "<!")], false},
		{"no host", to, "GET /a HTTP/1.0\r\n\r\n", page(400, false), true},
		{"respond", say, getRoot + getRoot, hello + hello, false},
		{"a whole body", say, postRoot + "Content-Length: 3\r\n\r\nabc" + getRoot, hello + hello, false},
		{"a whole chunked body", say, postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n" + getRoot, hello + hello, false},
		{"a body that is not there", say, postRoot + "Content-Length: 3\r\n\r\na", closing(hello), true},
		{"a body that is malformed", say, postRoot + te + "\r\nx\r\n" + getRoot, closing(hello), true},
		{"a body that waits for a 100", say, postRoot + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", closing(hello), true},
		{"too large a body", func(s *flat) { say(s); s.MaxBodySize = 2 }, postRoot + "Content-Length: 3\r\n\r\nabc", page(413, false), true},
		{"asked to close", say, "GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n", closing(hello), true},
		{"malformed", func(s *flat) {
			say(s)
			s.Policies.Response = responseHeaders(t, config.HeaderEdits{Set: []config.Header{{Name: "X", Value: "y"}}})
		}, "GET / HTTP/1.1\r\n\r\n", page(400, false), true},
		{"a redirect whose place is edited", func(s *flat) {
			to(s)
			s.Policies.Response = responseHeaders(t, config.HeaderEdits{Set: []config.Header{{Name: "location", Value: "/b"}}})
		}, getRoot, moved + strings.Replace(page308, "Content-Length", "location: /b\r\nContent-Length", 1), false},
		{"with edits", func(s *flat) {
			say(s)
			s.Policies.Response = responseHeaders(t, config.HeaderEdits{Set: []config.Header{{Name: "X-Status", Value: "$status$upstream_status$sent_http_server"}}})
		}, getRoot, strings.Replace(hello, "Content-Length", "X-Status: 200\r\nContent-Length", 1), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t)
			p := startProxy(t, tc.set, h.addr)
			c := p.dial()
			send(c, tc.in, nil)
			readN(t, c, tc.out)
			if tc.ends {
				if rest, how := readAll(c); rest != "" || how != "eof" {
					t.Errorf("%q, %s", rest, how)
				}
			} else {
				send(c, tc.in, nil)
				readN(t, c, tc.out)
			}
			p.stop()
			if got := h.seen(0); got != nil {
				t.Errorf("the host got %q", got)
			}
		})
	}
}

// Edits of responses apply to all final responses of the route, including error pages.
func TestResponseEdits(t *testing.T) {
	t.Parallel()
	set := func(s *flat) {
		s.Policies.Response = responseHeaders(t, config.HeaderEdits{
			Set:    []config.Header{{Name: "X-A", Value: "$status/$upstream_status $sent_http_etag $http_x_q $group"}},
			Remove: []string{"Server"},
		})
	}
	for _, tc := range []struct{ name, reply, want string }{
		{"of a host", okHead + "Server: x\r\nETag: e\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi", okHead + "ETag: e\r\nX-A: 200/200 e q test\r\nContent-Length: 2\r\n\r\nhi"},
		{"chunked", okHead + te + "\r\n2\r\nhi\r\n0\r\n\r\n", okHead + "X-A: 200/200  q test\r\n" + te + "\r\n2\r\nhi\r\n0\r\n\r\n"},
		{"trailers that repeat what is edited", okHead + te + "\r\n2\r\nhi\r\n0\r\nX-A: 1\r\nServer: x\r\nX-B: 2\r\n\r\n", okHead + "X-A: 200/200  q test\r\n" + te + "\r\n2\r\nhi\r\n0\r\nX-B: 2\r\n\r\n"},
		{"behind a 103", "HTTP/1.1 103 x\r\nServer: x\r\n\r\n" + okHead + "Content-Length: 0\r\n\r\n", "HTTP/1.1 103 x\r\nServer: x\r\n\r\n" + okHead + "X-A: 200/200  q test\r\nContent-Length: 0\r\n\r\n"},
		{"an error page", "nonsense\r\n\r\n", strings.Replace(page(502, true), "Content-Length", "X-A: 502/  q test\r\nContent-Length", 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, always+tc.reply)
			p := startProxy(t, set, h.addr)
			c := p.dial()
			for range 2 { // one exchange must not affect the next
				send(c, "GET / HTTP/1.1\r\nHost: p\r\nX-Q: q\r\n\r\n", nil)
				readN(t, c, tc.want)
			}
		})
	}
}

// A trusted proxy's request ID is accepted, and no other client's.
func TestRequestID(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, id string
		trusted  bool
		taken    bool
	}{
		{"a stranger's", "mine-1", false, false},
		{"a proxy's", "mine-1", true, true},
		{"none of a proxy", "", true, false},
		{"too long a one of a proxy", strings.Repeat("a", 129), true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, hi)
			p := startProxy(t, func(s *flat) {
				if tc.trusted {
					s.Server.TrustedProxies = append(s.Server.TrustedProxies, netip.MustParsePrefix("127.0.0.0/8"))
				}
				s.Policies.Request = requestHeaders(t, config.HeaderEdits{Set: []config.Header{{Name: "X-Request-Id", Value: "$request_id"}}})
				s.Policies.Response = responseHeaders(t, config.HeaderEdits{Set: []config.Header{{Name: "X-Request-Id", Value: "$request_id"}}})
			}, h.addr)
			c := p.dial()
			line := ""
			if tc.id != "" {
				line = "X-Request-ID: " + tc.id + "\r\n"
			}
			send(c, "GET / HTTP/1.1\r\nHost: p\r\n"+line+"Connection: close\r\n\r\n", nil)
			out, _ := readAll(c)
			_, out, _ = strings.Cut(out, "X-Request-Id: ")
			got, _, _ := strings.Cut(out, "\r\n")
			p.stop()
			if (got == tc.id) != tc.taken || !tc.taken && len(got) != 32 {
				t.Errorf("%q", got)
			}
			if want := "GET / HTTP/1.1\r\nHost: p\r\nX-Request-Id: " + got + "\r\n\r\n"; !slices.Equal(h.seen(1), []string{want}) {
				t.Errorf("the host got %q, want %q", h.seen(1), want)
			}
		})
	}
}

// Hosts receive the target that the policy determines, whatever the client's target, also if the request is repeated.
func TestRewrites(t *testing.T) {
	t.Parallel()
	w, problems := policy.CompileRewrite(&config.Rewrite{StripPrefix: "/api", AddPrefix: "/v2"}, nil)
	if problems != nil {
		t.Fatal(problems)
	}
	for _, tc := range []struct{ in, up, out string }{
		{"GET /api/x%2f?y HTTP/1.1\r\nHost: p\r\n\r\n", "GET /v2/x%2f?y HTTP/1.1\r\nHost: p\r\n\r\n", hi},
		{"GET http://p HTTP/1.1\r\nHost: p\r\n\r\n", "GET /v2/ HTTP/1.1\r\nHost: p\r\n\r\n", hi},
		{"GET http://p?/api HTTP/1.1\r\nHost: p\r\n\r\n", "GET /v2/?/api HTTP/1.1\r\nHost: p\r\n\r\n", hi},
		{"OPTIONS * HTTP/1.1\r\nHost: p\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: p\r\n\r\n", hi},
		{"OPTIONS http://p HTTP/1.1\r\nHost: p\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: p\r\n\r\n", hi},
		{"GET /api/../../x HTTP/1.1\r\nHost: p\r\n\r\n", "", page(400, true)},
		{"GET /api/%2 HTTP/1.1\r\nHost: p\r\n\r\n", "", page(400, true)},
	} {
		h := startRecorder(t, always+hi)
		p := startProxy(t, func(s *flat) { s.Policies.Rewrite = w }, h.addr)
		c := p.dial()
		send(c, tc.in, nil)
		readN(t, c, tc.out)
		send(c, tc.in, nil)
		readN(t, c, tc.out)
		p.stop()
		got := strings.Join(h.seen(0), "")
		if got != tc.up+tc.up {
			t.Errorf("%q: the host got %q", tc.in, got)
		}
	}
}
