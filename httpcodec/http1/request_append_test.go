package http1

import (
	"net/netip"
	"testing"

	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

func TestAppendRequestRewrites(t *testing.T) {
	t.Parallel()
	const a = "GET / HTTP/1.1\r\nHost: a\r\n"
	from := lines("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For:", "x-forwarded-for: 2.2.2.2, 3.3.3.3", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil", "X: y")
	set := func(pairs ...string) *policy.Headers { return http1test.Headers(t, pairs...) }
	for _, c := range []struct {
		name string
		in   string
		w    Rewrite
		want string
	}{
		{"nothing", from, Rewrite{}, a + "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: \r\nx-forwarded-for: 2.2.2.2, 3.3.3.3\r\n" +
			"X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil\r\nX: y\r\n\r\n"},
		{"untrusted", from, Rewrite{Forwarded: true}, a + "X: y\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"},
		{"untrusted, named in Connection", lines("Connection: X-Forwarded-For, X-Forwarded-Proto", "X-Forwarded-For: 1"), Rewrite{Forwarded: true, TLS: true},
			a + "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n\r\n"},
		{"trusted", from, Rewrite{Forwarded: true, Trusted: true}, a + "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil\r\nX: y\r\n" +
			"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 9.9.9.9\r\n\r\n"},
		{"trusted, with none", lines(), Rewrite{Forwarded: true, Trusted: true}, a + "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"},
		{"without a host", "GET / HTTP/1.0\r\nX-Forwarded-Host: evil\r\n\r\n", Rewrite{Forwarded: true},
			"GET / HTTP/1.1\r\nHost: up:9000\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\n\r\n"},
		{"upstream's host", lines("X: y"), Rewrite{UpstreamHost: true, Forwarded: true},
			"GET / HTTP/1.1\r\nHost: up:9000\r\nX: y\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"},
		{"close", lines(), Rewrite{Close: true}, a + "Connection: close\r\n\r\n"},
		{"close with TE", lines("TE: trailers"), Rewrite{Close: true}, a + "TE: trailers\r\nConnection: TE, close\r\n\r\n"},
		{"upgrade with TE", lines("TE: trailers", "Upgrade: x", "Connection: upgrade"), Rewrite{Close: true}, a + "Upgrade: x\r\nConnection: upgrade\r\n\r\n"},
		{"headers", lines("x-a: 1", "X-B: 2", "x-a: 3"), Rewrite{Headers: set("X-A", " $host/$addr/$host ", "Y", "")},
			a + "X-B: 2\r\nX-A: up/9.9.9.9/up\r\nY: \r\n\r\n"},
		{"headers' Host", "GET / HTTP/1.1\r\nX: y\r\nhost: a\r\nZ: z\r\n\r\n", Rewrite{Headers: set("Host", "$hostname"), UpstreamHost: true},
			"GET / HTTP/1.1\r\nX: y\r\nHost: upname\r\nZ: z\r\n\r\n"},
		{"headers' Host for none", "GET / HTTP/1.0\r\nX: y\r\n\r\n", Rewrite{Headers: set("hOst", "b")}, "GET / HTTP/1.1\r\nhOst: b\r\nX: y\r\n\r\n"},
		{"headers' X-Forwarded", from, Rewrite{Forwarded: true, Trusted: true, Headers: set("X-Forwarded-For", "$addr", "X-Forwarded-Proto", "p", "X-Forwarded-Host", "$host")},
			a + "X: y\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: p\r\nX-Forwarded-Host: up\r\n\r\n"},
		{"headers' last wins", lines(), Rewrite{Headers: set("A", "1", "B", "2", "a", "3")}, a + "a: 3\r\nB: 2\r\n\r\n"},
		{"headers that are not for them", post("Content-Length: 3", "Expect: 100-continue"), Rewrite{Headers: set("Connection", "upgrade", "content-length", "9",
			"Transfer-Encoding", "x", "TE", "x", "Upgrade", "x", "Keep-Alive", "x", "Trailer", "x", "Expect", "x")},
			"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"},
		{"headers' Max-Forwards", "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n", Rewrite{Headers: set("Max-Forwards", "3")},
			"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n"},
		{"headers named in Connection", lines("Connection: X-A", "X-A: 1"), Rewrite{Headers: set("X-A", "2")}, a + "X-A: 2\r\n\r\n"},
	} {
		var r Request
		n, err := r.Parse([]byte(c.in))
		if n == 0 || err != nil {
			t.Fatal(c.name, n, err)
		}
		c.w.Authority, c.w.ClientAddr = []byte("up:9000"), []byte("9.9.9.9")
		c.w.Record = &logformat.Record{HostName: []byte("up"), Client: netip.MustParseAddrPort("9.9.9.9:1")}
		if got := string(AppendRequest([]byte("before"), &r, &c.w)); got != "before"+c.want {
			t.Errorf("%s:\n%q, want\n%q", c.name, got, c.want)
		}
	}
}
