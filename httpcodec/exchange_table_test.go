package httpcodec

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

const (
	getRoot  = "GET / HTTP/1.1\r\nHost: p\r\n\r\n"
	postRoot = "POST / HTTP/1.1\r\nHost: p\r\n"
	okHead   = "HTTP/1.1 200 OK\r\nDate: t\r\n"
	hi       = okHead + "Content-Length: 2\r\n\r\nhi"
	te       = "Transfer-Encoding: chunked\r\n"
)

// row has, byte by byte, what a client sends, what the host replies, what the client receives, and what the host receives.
type row struct {
	name    string
	set     func(*flat)
	in      string
	replies []string
	out     string
	ending  string // of the client's connection: "eof", "reset", or empty if it stays open
	late    bool   // in continues after a close, so it is sent in one piece
	half    bool   // the client half-closes after in
	host    []string
	framed  bool // pieces determine how the proxy cuts chunks, so out and host are compared without chunk lines
}

func limit(n int64) func(*flat) { return func(s *flat) { s.MaxBodySize = n } }

var rows = []row{
	{name: "get", in: getRoot, replies: []string{hi}, out: hi, host: []string{getRoot}},
	{name: "head", in: "HEAD / HTTP/1.1\r\nHost: p\r\n\r\n", replies: []string{okHead + "Content-Length: 5\r\n\r\n"}, out: okHead + "Content-Length: 5\r\n\r\n",
		host: []string{"HEAD / HTTP/1.1\r\nHost: p\r\n\r\n"}},
	{name: "post with length", in: postRoot + "Content-Length: 5\r\n\r\nhello", replies: []string{hi}, out: hi,
		host: []string{postRoot + "Content-Length: 5\r\n\r\nhello"}},
	{name: "post without body", in: postRoot + "\r\n", replies: []string{hi}, out: hi, host: []string{postRoot + "\r\n"}},
	{name: "get with body", in: "GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nab", replies: []string{hi}, out: hi,
		host: []string{"GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nab"}},
	{name: "chunked up, extension dropped, trailers filtered", framed: true,
		in:      postRoot + te + "\r\n5;a=b\r\nhello\r\n06\r\n world\r\n0\r\nX-Sum: 1\r\nHost: q\r\nContent-Length: 3\r\n\r\n",
		replies: []string{hi}, out: hi,
		host: []string{postRoot + te + "\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"}},
	{name: "chunked down, trailers filtered", framed: true, in: getRoot,
		replies: []string{okHead + te + "\r\n5;x\r\nhello\r\n000\r\nX-Sum: 1\r\nSet-Cookie: a\r\n\r\n", hi},
		out:     okHead + te + "\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", host: []string{getRoot}},
	{name: "three pipelined", in: getRoot + getRoot + getRoot, replies: []string{hi, okHead + "Content-Length: 0\r\n\r\n", hi},
		out: hi + okHead + "Content-Length: 0\r\n\r\n" + hi, host: []string{getRoot + getRoot + getRoot}},
	{name: "pipelined with bodies", framed: true, in: postRoot + "Content-Length: 5\r\n\r\nhello" + postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n" + getRoot + postRoot + "Content-Length: 1\r\n\r\nx",
		replies: []string{hi, hi, hi, hi}, out: hi + hi + hi + hi,
		host: []string{postRoot + "Content-Length: 5\r\n\r\nhello" + postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n" + getRoot + postRoot + "Content-Length: 1\r\n\r\nx"}},
	{name: "empty lines before a request", in: "\r\n" + getRoot + "\r\n\r\n\r\n\r\n" + getRoot, replies: []string{hi, hi}, out: hi + hi, host: []string{getRoot + getRoot}},
	{name: "connection close from the client", late: true, in: "GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n" + getRoot, replies: []string{hi},
		out: okHead + "Content-Length: 2\r\nConnection: close\r\n\r\nhi", ending: "eof", host: []string{getRoot}},
	{name: "connection close from the host", in: getRoot + getRoot, replies: []string{okHead + "Connection: close\r\nContent-Length: 2\r\n\r\nhi" + closes, hi},
		out: hi + hi, host: []string{getRoot, getRoot}},
	{name: "client half-closes behind its request", in: getRoot, half: true, replies: []string{hi}, out: hi, ending: "eof", host: []string{getRoot}},
	{name: "1.0 client", in: "GET / HTTP/1.0\r\nHost: p\r\n\r\n", replies: []string{hi}, out: okHead + "Content-Length: 2\r\nConnection: close\r\n\r\nhi", ending: "eof",
		host: []string{getRoot}},
	{name: "1.0 client, keep-alive", in: "GET / HTTP/1.0\r\nHost: p\r\nConnection: keep-alive\r\n\r\n", replies: []string{hi},
		out: okHead + "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", host: []string{getRoot}},
	{name: "1.0 client, chunked response", in: "GET / HTTP/1.0\r\nHost: p\r\nConnection: keep-alive\r\n\r\n", replies: []string{okHead + te + "\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"},
		out: okHead + "Connection: close\r\n\r\nabcde", ending: "eof", host: []string{getRoot}},
	{name: "until close to 1.1", framed: true, in: getRoot + getRoot, replies: []string{okHead + "\r\nabcdef" + closes, hi}, out: okHead + te + "\r\n6\r\nabcdef\r\n0\r\n\r\n" + hi,
		host: []string{getRoot, getRoot}},
	{name: "until close to 1.0", in: "GET / HTTP/1.0\r\nHost: p\r\n\r\n", replies: []string{okHead + "\r\nabcdef" + closes}, out: okHead + "Connection: close\r\n\r\nabcdef", ending: "eof",
		host: []string{getRoot}},
	{name: "1.0 host", in: getRoot + getRoot, framed: true, replies: []string{"HTTP/1.0 200 OK\r\nDate: t\r\n\r\nabc" + closes, "HTTP/1.0 200 OK\r\nDate: t\r\nContent-Length: 2\r\n\r\nhi" + closes},
		out: okHead + te + "\r\n3\r\nabc\r\n0\r\n\r\n" + hi, host: []string{getRoot, getRoot}},
	{name: "1xx relayed", in: getRoot, replies: []string{"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + hi},
		out: "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + hi, host: []string{getRoot}},
	{name: "1xx not to 1.0", in: "GET / HTTP/1.0\r\nHost: p\r\n\r\n", replies: []string{"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + hi},
		out: okHead + "Content-Length: 2\r\nConnection: close\r\n\r\nhi", ending: "eof", host: []string{getRoot}},
	{name: "odd status", in: getRoot + getRoot, replies: []string{"HTTP/1.1 999\r\nDate: t\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", hi},
		out: "HTTP/1.1 999 \r\nDate: t\r\nContent-Length: 2\r\n\r\nhi" + hi, host: []string{getRoot + getRoot}},
	{name: "many 1xx", in: getRoot, replies: []string{strings.Repeat("HTTP/1.1 102 P\r\n\r\n", 1000) + hi}, out: strings.Repeat("HTTP/1.1 102 P\r\n\r\n", 1000) + hi, host: []string{getRoot}},
	{name: "absolute form, another host", in: "GET http://q/ HTTP/1.1\r\nHost: p\r\n\r\n", replies: []string{hi}, out: hi, host: []string{"GET / HTTP/1.1\r\nHost: q\r\n\r\n"}},
	{name: "204 then pooled", in: getRoot + getRoot, replies: []string{"HTTP/1.1 204 No\r\nDate: t\r\n\r\n", hi}, out: "HTTP/1.1 204 No\r\nDate: t\r\n\r\n" + hi, host: []string{getRoot + getRoot}},
	{name: "early answer", in: postRoot + "Content-Length: 100000\r\n\r\nabc", replies: []string{early + "HTTP/1.1 403 No\r\nDate: t\r\nContent-Length: 2\r\n\r\nno" + halts},
		out: "HTTP/1.1 403 No\r\nDate: t\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", ending: "eof", host: nil},
	{name: "host ends inside a length body", in: getRoot, replies: []string{okHead + "Content-Length: 5\r\n\r\nabc" + closes}, out: okHead + "Content-Length: 5\r\n\r\nabc", ending: "reset", host: []string{getRoot}},
	{name: "host ends inside a chunked body", in: getRoot, replies: []string{okHead + te + "\r\n5\r\nabc" + closes}, ending: "reset", host: []string{getRoot}},
	{name: "host ends before the last chunk", in: getRoot, replies: []string{okHead + te + "\r\n3\r\nabc\r\n" + closes}, ending: "reset", host: []string{getRoot}},
	{name: "host ends inside trailers", in: getRoot, replies: []string{okHead + te + "\r\n3\r\nabc\r\n0\r\nA: b\r\n" + closes}, ending: "reset", host: []string{getRoot}},
	{name: "host resets inside until close", in: getRoot, replies: []string{okHead + "\r\nabc" + resets}, ending: "reset", host: []string{getRoot}},
	{name: "host ends before an answer", in: getRoot + getRoot, replies: []string{closes, hi}, out: page(502, true) + hi, host: []string{getRoot, getRoot}},
	{name: "host ends inside its head", in: getRoot + getRoot, replies: []string{"HTTP/1.1 200 OK\r\nX-Left: over" + closes, hi}, out: page(502, true) + hi, host: []string{getRoot, getRoot}},
	{name: "client ends inside a length body", in: postRoot + "Content-Length: 5\r\n\r\nabc", half: true, ending: "reset", host: []string{postRoot + "Content-Length: 5\r\n\r\nabc"}},
	{name: "client ends before the last chunk", in: postRoot + te + "\r\n3\r\nabc\r\n", half: true, framed: true, ending: "reset", host: []string{postRoot + te + "\r\n3\r\nabc\r\n"}},
	{name: "client ends inside its head", in: getRoot[:20], half: true, ending: "eof"},
	{name: "client ends at once", in: "", half: true, ending: "eof"},
	{name: "over max_body_size by length", set: limit(4), in: postRoot + "Content-Length: 5\r\n\r\nhello", out: page(413, false), ending: "eof"},
	{name: "at max_body_size by length", set: limit(5), in: postRoot + "Content-Length: 5\r\n\r\nhello", replies: []string{hi}, out: hi, host: []string{postRoot + "Content-Length: 5\r\n\r\nhello"}},
	{name: "at max_body_size by chunks", set: limit(5), framed: true, in: postRoot + te + "\r\n5\r\nhello\r\n0\r\n\r\n", replies: []string{hi}, out: hi, host: []string{postRoot + te + "\r\n5\r\nhello\r\n0\r\n\r\n"}},
	{name: "over max_body_size by chunks", set: limit(4), in: postRoot + te + "\r\n5\r\nhello\r\n0\r\n\r\n" + getRoot, out: page(413, false), ending: "eof", host: nil},
	{name: "trace answered here", in: "TRACE /x HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\nCookie: s\r\n\r\n" + getRoot, replies: []string{hi},
		out: "HTTP/1.1 200 OK\r\nDate: " + noDate + "\r\nContent-Type: message/http\r\nContent-Length: 47\r\n\r\nTRACE /x HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\n\r\n" + hi, host: []string{getRoot}},
	{name: "max-forwards counted down", in: "OPTIONS * HTTP/1.1\r\nHost: p\r\nMax-Forwards: 3\r\n\r\n", replies: []string{hi}, out: hi,
		host: []string{"OPTIONS * HTTP/1.1\r\nHost: p\r\nMax-Forwards: 2\r\n\r\n"}},
	{name: "absolute form", in: "GET http://q:81/a?b HTTP/1.1\r\nHost: q:81\r\n\r\n", replies: []string{hi}, out: hi, host: []string{"GET /a?b HTTP/1.1\r\nHost: q:81\r\n\r\n"}},
	{name: "hop by hop", in: "GET / HTTP/1.1\r\nHost: p\r\nConnection: x-a, keep-alive\r\nX-A: 1\r\nx_b: 2\r\nX-b: 3\r\nKeep-Alive: 5\r\nTE: gzip, trailers\r\nProxy-Connection: a\r\n\r\n",
		replies: []string{okHead + "Connection: x-c\r\nX-C: 1\r\nx-D: 2\r\nX-D: 3\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n"},
		out:     okHead + "x-D: 2\r\nX-D: 3\r\nContent-Length: 0\r\n\r\n",
		host:    []string{"GET / HTTP/1.1\r\nHost: p\r\nx_b: 2\r\nX-b: 3\r\nTE: trailers\r\nConnection: TE\r\n\r\n"}},
	{name: "forwarded", set: func(s *flat) { s.Server.ForwardedHeaders = true }, in: "GET / HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n", replies: []string{hi}, out: hi,
		host: []string{"GET / HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: p\r\n\r\n"}},
	{name: "not upgraded", in: "GET / HTTP/1.1\r\nHost: p\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + getRoot, replies: []string{hi, hi}, out: hi + hi,
		host: []string{"GET / HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + getRoot}},
	{name: "bad chunk at once", in: postRoot + te + "\r\nzz\r\n", out: page(400, false), ending: "eof", host: nil},
	{name: "no crlf behind a chunk", in: postRoot + te + "\r\n1\r\nabc", out: page(400, false), ending: "eof", host: nil},
}

// refused has heads that the proxy itself answers; nothing reaches a host.
var refused = map[string]int{
	"\r\n\r\n\r\n\r\n\r\n":                                                        400,
	"GET / HTTP/1.1\r\n\r\n":                                                      400,
	"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n":                                400,
	"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n":                                         400,
	"GET / HTTP/1.1\r\nHost: u@b\r\n\r\n":                                         400,
	"GET / HTTP/1.1\r\nHost : a\r\n\r\n":                                          400,
	"GET / HTTP/1.1\r\n Host: a\r\n\r\n":                                          400,
	"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n":                                     400,
	"GET / HTTP/1.1\nHost: a\n\n":                                                 400,
	"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n":                                400,
	"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n":                                400,
	"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n":                                    400,
	"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n":                                400,
	"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n":                                         400,
	"GET  / HTTP/1.1\r\nHost: a\r\n\r\n":                                          400,
	"GET / HTTP/1.10\r\nHost: a\r\n\r\n":                                          400,
	"GET / hTTP/1.1\r\nHost: a\r\n\r\n":                                           400,
	"GET /\r\n\r\n":                                                               400,
	"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                           505,
	"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n":                                   501,
	"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n":                              417,
	postRoot + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab":                 400,
	postRoot + "Content-Length: 1, 1\r\n\r\na":                                    400,
	postRoot + "Content-Length: +1\r\n\r\na":                                      400,
	postRoot + "Content-Length: 18446744073709551616\r\n\r\na":                    400,
	postRoot + "Content-Length: 1\r\n" + te + "\r\n0\r\n\r\n":                     400,
	postRoot + te + te + "\r\n0\r\n\r\n":                                          400,
	postRoot + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n":                501,
	postRoot + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n":                400,
	postRoot + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n":                     501,
	"POST / HTTP/1.0\r\n" + te + "\r\n0\r\n\r\n":                                  400,
	"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 33<<10) + "\r\n\r\n": 431,
	"GET /" + strings.Repeat("a", 9<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n":         414,
	"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a: b\r\n", 130) + "\r\n":    431,
}

// nonsense has responses for which the client gets a 502.
var nonsense = []string{
	"hello\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
	okHead + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", okHead + "Content-Length: x\r\n\r\n", okHead + "Content-Length: 2\r\n" + te + "\r\n0\r\n\r\n",
	okHead + "Transfer-Encoding: gzip\r\n\r\nab", okHead + " fold\r\n\r\n", okHead + "no colon\r\n\r\n", okHead + "X: \x01\r\n\r\n", "HTTP/1.1 200 OK\nDate: t\n\n",
	"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 102 P\r\nContent-Length: 2\r\n\r\nab" + hi,
	okHead + "X: " + strings.Repeat("a", 33<<10) + "\r\n\r\n",
}

// stray has responses followed by extra bytes: the client gets the right part, and the connection is not reused.
var stray = map[string]struct{ method, reply, out string }{
	"length":            {"GET", hi + "x", hi},
	"second":            {"GET", hi + hi, hi},
	"chunked":           {"GET", okHead + te + "\r\n0\r\n\r\nx", okHead + te + "\r\n0\r\n\r\n"},
	"head":              {"HEAD", hi, okHead + "Content-Length: 2\r\n\r\n"},
	"204":               {"GET", "HTTP/1.1 204 No\r\nDate: t\r\n\r\nabc", "HTTP/1.1 204 No\r\nDate: t\r\n\r\n"},
	"204 with a coding": {"GET", "HTTP/1.1 204 No\r\nDate: t\r\n" + te + "\r\n0\r\n\r\n", "HTTP/1.1 204 No\r\nDate: t\r\n\r\n"},
	"304":               {"GET", "HTTP/1.1 304 Same\r\nDate: t\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 304 Same\r\nDate: t\r\nContent-Length: 3\r\n\r\n"},
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		for _, mode := range []string{"whole", "client drips", "host drips"} {
			if r.late && mode == "client drips" {
				continue // a request after the client's own "close", and after the end, meets a reset
			}
			t.Run(r.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				r.run(t, mode, len(r.in))
			})
		}
	}
}

// Each request in two pieces, cut at every position.
func TestExchangesCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		if !r.framed {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for cut := range len(r.in) {
				r.run(t, "whole", cut)
			}
		})
	}
}

func (r *row) run(t *testing.T, mode string, cut int) {
	h := startRecorder(t, r.replies...)
	p := startProxy(t, r.set, h.addr)
	var drip func()
	switch mode {
	case "client drips":
		drip = p.settle
	case "host drips":
		h.drip = p.settle
	}
	c := p.dial()
	send(c, r.in[:cut], drip)
	if cut < len(r.in) {
		p.settle()
		send(c, r.in[cut:], drip)
	}
	if r.half {
		_ = c.CloseWrite()
	}
	r.check(t, p, c, h)
}

// check compares what both sides received.
func (r *row) check(t *testing.T, p *proxy, c *net.TCPConn, h *recorder) {
	t.Helper()
	if r.ending == "" && r.framed {
		c := readMessages(t, c, strings.Count(r.out, "HTTP/1.1 "))
		if plainChunks(c) != plainChunks(r.out) {
			t.Errorf("the client got %q\nwant %q", c, r.out)
		}
	} else if r.ending == "" {
		readN(t, c, r.out)
	} else {
		got, how := readAll(c)
		if r.out != "" && got != r.out && (how != "reset" || !strings.HasPrefix(r.out, got)) {
			t.Errorf("the client got %q\nwant %q", got, r.out)
		}
		if how != r.ending {
			t.Errorf("the client's connection ended with %s after %q, want %s", how, got, r.ending)
		}
		c.Close()
	}
	if r.ending == "" {
		stillOpen(t, c)
	}
	p.stop()
	got := h.seen(len(r.host))
	if r.host == nil {
		return
	}
	if r.framed {
		for i := range got {
			got[i] = plainChunks(got[i])
		}
	}
	want := slices.Clone(r.host)
	if r.framed {
		for i := range want {
			want[i] = plainChunks(want[i])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the host got %q\nwant %q", got, want)
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	for in, status := range refused {
		t.Run(fmt.Sprintf("%.60q", in), func(t *testing.T) {
			t.Parallel()
			for _, drips := range []bool{false, true} {
				if drips && len(in) > 1000 {
					continue
				}
				h := startRecorder(t)
				p := startProxy(t, nil, h.addr)
				c := p.dial()
				var drip func()
				if drips {
					drip = p.settle
				}
				send(c, in+getRoot, drip)
				if got, how := readAll(c); got != page(status, false) || how != "eof" {
					t.Errorf("drips %v: got %q, %s; want %d, eof", drips, got, how, status)
				}
				c.Close()
				p.stop()
				if got := h.seen(0); len(got) > 0 {
					t.Errorf("the host got %q", got)
				}
			}
		})
	}
}

func TestNonsenseFromHosts(t *testing.T) {
	t.Parallel()
	for _, reply := range nonsense {
		t.Run(fmt.Sprintf("%.60q", reply), func(t *testing.T) {
			t.Parallel()
			for _, drips := range []bool{false, true} {
				if drips && len(reply) > 1000 {
					continue
				}
				h := startRecorder(t, reply, hi)
				p := startProxy(t, nil, h.addr)
				if drips {
					h.drip = p.settle
				}
				c := p.dial()
				send(c, getRoot, nil)
				readN(t, c, page(502, true))
				send(c, getRoot, nil)
				readN(t, c, hi)
				stillOpen(t, c)
				p.stop()
				if got := h.seen(2); !slices.Equal(got, []string{getRoot, getRoot}) {
					t.Errorf("the host got %q, want each request on a connection of its own", got)
				}
			}
		})
	}
}

func TestStrayBytes(t *testing.T) {
	t.Parallel()
	for name, s := range stray {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, s.reply, hi)
			p := startProxy(t, nil, h.addr)
			c := p.dial()
			first := s.method + getRoot[3:]
			send(c, first, nil)
			readN(t, c, s.out)
			send(c, getRoot, nil)
			readN(t, c, hi)
			stillOpen(t, c)
			p.stop()
			if got := h.seen(2); !slices.Equal(got, []string{first, getRoot}) {
				t.Errorf("the host got %q, want each request on a connection of its own", got)
			}
		})
	}
}
