package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// answerCase is what a host of HTTP/2 answers to GET /, or to another method, and what its client may get.
type answerCase struct {
	name     string
	method   string   // "" is GET
	head     []string // nil: an ordinary one
	body     []string // nil: the head ends the stream
	trailers []string
	open     bool // the host does not end the stream
	extra    func(c *framed, stream uint32)
	want     []string // any of these, as seenAnswer returns them
}

const cutOff = "cut off"

var (
	refusedAnswer = []string{"502"}
	cutAnswer     = []string{"502", cutOff}
)

// ok returns the fields of an ordinary response head, and further ones.
func ok(fields ...string) []string {
	return append([]string{":status", "200", "date", "now"}, fields...)
}

var answerings = []answerCase{
	{name: "good", body: []string{"hel", "lo"}, want: []string{"200 hello"}},
	{name: "good, with a length", head: ok("content-length", "5"), body: []string{"hello"}, want: []string{"200 hello"}},
	{name: "trailers", body: []string{"hello"}, trailers: []string{"x-sum", "1"}, want: []string{"200 hello x-sum: 1"}},
	{name: "an answer as a body", body: []string{hello}, want: []string{"200 " + hello}},
	{name: "an answer in chunks as a body", body: []string{"0\r\n\r\n" + hello}, want: []string{"200 0\r\n\r\n" + hello}},
	{name: "an interim answer", head: []string{":status", "103", "link", "a"}, open: true,
		extra: func(c *framed, stream uint32) { c.head(stream, true, ok()...) }, want: []string{"200 "}},
	{name: "HEAD", method: "HEAD", head: ok("content-length", "5"), want: []string{"200 "}},
	{name: "304 with a length", head: []string{":status", "304", "content-length", "5"}, want: []string{"304 "}},
	{name: "trailers only", head: ok("grpc-status", "12"), want: []string{"200 "}},

	{name: "CRLF in a value", head: ok("x", "a\r\ncontent-length: 0"), want: refusedAnswer},
	{name: "an answer in a value", head: ok("x", "a\r\n\r\n"+hello), want: refusedAnswer},
	{name: "LF in a value", head: ok("x", "a\nset-cookie: b"), want: refusedAnswer},
	{name: "CR in a value", head: ok("x", "a\rb"), want: refusedAnswer},
	{name: "NUL in a value", head: ok("x", "a\x00b"), want: refusedAnswer},
	{name: "CRLF in a name", head: ok("x: a\r\ntransfer-encoding", "chunked"), want: refusedAnswer},
	{name: "a colon in a name", head: ok("transfer-encoding:", "chunked"), want: refusedAnswer},
	{name: "a space in a name", head: ok("content-length ", "0"), want: refusedAnswer},
	{name: "upper case in a name", head: ok("Content-Length", "0"), want: refusedAnswer},
	{name: "no name", head: ok("", "0"), want: refusedAnswer},
	{name: "transfer-encoding", head: ok("transfer-encoding", "chunked"), body: []string{"0\r\n\r\n" + hello}, want: refusedAnswer},
	{name: "connection", head: ok("connection", "keep-alive"), want: refusedAnswer},
	{name: "keep-alive", head: ok("keep-alive", "timeout=1"), want: refusedAnswer},
	{name: "proxy-connection", head: ok("proxy-connection", "close"), want: refusedAnswer},
	{name: "upgrade", head: ok("upgrade", "h2c"), want: refusedAnswer},
	{name: "a long head", head: ok("x", strings.Repeat("a", 33<<10)), want: refusedAnswer},
	{name: "129 fields", head: ok(slices.Repeat([]string{"x", "y"}, 130)...), want: refusedAnswer},

	{name: "no status", head: []string{"date", "now"}, want: refusedAnswer},
	{name: "two of them", head: []string{":status", "200", ":status", "404"}, want: refusedAnswer},
	{name: "status behind a field", head: []string{"date", "now", ":status", "200"}, want: refusedAnswer},
	{name: "two digits", head: []string{":status", "20"}, want: refusedAnswer},
	{name: "four digits", head: []string{":status", "2000"}, want: refusedAnswer},
	{name: "no digits", head: []string{":status", "abc"}, want: refusedAnswer},
	{name: "a status below 100", head: []string{":status", "099"}, want: refusedAnswer},
	{name: "status with a reason", head: []string{":status", "200 OK"}, want: refusedAnswer},
	{name: "status with CRLF", head: []string{":status", "200\r\nx: y"}, want: refusedAnswer},
	{name: "a sign in the status", head: []string{":status", "+20"}, want: refusedAnswer},
	{name: "an empty status", head: []string{":status", ""}, want: refusedAnswer},
	{name: ":path in an answer", head: []string{":status", "200", ":path", "/"}, want: refusedAnswer},
	{name: "an unknown pseudo-header field", head: []string{":status", "200", ":x", "y"}, want: refusedAnswer},
	{name: "101", head: []string{":status", "101", "x", "y"}, open: true, want: refusedAnswer},
	{name: "101 that ends", head: []string{":status", "101"}, want: refusedAnswer},
	{name: "an interim answer that ends", head: []string{":status", "103"}, want: refusedAnswer},
	{name: "an interim answer with a body", head: []string{":status", "103"}, body: []string{hello}, want: refusedAnswer},
	{name: "data before the head", head: []string{}, extra: func(c *framed, stream uint32) { c.data(stream, true, hello) }, want: refusedAnswer},

	{name: "two lengths", head: ok("content-length", "3", "content-length", "5"), body: []string{"hello"}, want: refusedAnswer},
	{name: "a list of lengths", head: ok("content-length", "3, 5"), body: []string{"hello"}, want: refusedAnswer},
	{name: "a length with a sign", head: ok("content-length", "+5"), body: []string{"hello"}, want: refusedAnswer},
	{name: "an empty length", head: ok("content-length", ""), body: []string{"hello"}, want: refusedAnswer},
	{name: "a length above 2^64", head: ok("content-length", "18446744073709551621"), body: []string{"hello"}, want: refusedAnswer},
	{name: "less than there is", head: ok("content-length", "5"), body: []string{"hello" + hello}, want: append([]string{"200 hello"}, cutAnswer...)},
	{name: "less than there is, in two frames", head: ok("content-length", "5"), body: []string{"hello", hello}, want: append([]string{"200 hello"}, cutAnswer...)},
	{name: "a length of 0, and data", head: ok("content-length", "0"), body: []string{hello}, want: append([]string{"200 "}, cutAnswer...)},
	{name: "more than there is", head: ok("content-length", "9"), body: []string{"hello"}, want: cutAnswer},
	{name: "more than there is, without any", head: ok("content-length", "9"), want: cutAnswer},
	{name: "more than there is, then an empty frame", head: ok("content-length", "9"), body: []string{"hello", ""}, want: cutAnswer},
	{name: "more than there is, then trailers", head: ok("content-length", "9"), body: []string{"hello"}, trailers: []string{"x", "y"}, want: cutAnswer},
	{name: "204 with a body", head: []string{":status", "204"}, body: []string{hello}, want: []string{"204 ", "502", cutOff}},
	{name: "304 with a body", head: []string{":status", "304"}, body: []string{hello}, want: []string{"304 ", "502", cutOff}},
	{name: "HEAD with a body", method: "HEAD", body: []string{hello}, want: []string{"200 ", "502", cutOff}},
	{name: "a reset behind half a body", body: []string{"hel"}, open: true, extra: func(c *framed, stream uint32) { c.rst(stream, http2.ErrCodeInternal) }, want: cutAnswer},
	{name: "the end of the connection behind half a body", body: []string{"hel"}, open: true, extra: func(c *framed, _ uint32) { _ = c.send(); _ = c.conn.Close() }, want: cutAnswer},

	{name: "CRLF in a trailer", body: []string{"hello"}, trailers: []string{"x", "1\r\n\r\n" + hello}, want: cutAnswer},
	{name: "a pseudo-header field in trailers", body: []string{"hello"}, trailers: []string{":status", "200"}, want: cutAnswer},
	{name: "upper case in trailers", body: []string{"hello"}, trailers: []string{"X", "1"}, want: cutAnswer},
	{name: "transfer-encoding in trailers", body: []string{"hello"}, trailers: []string{"transfer-encoding", "chunked"}, want: cutAnswer},
	{name: "a length in trailers", body: []string{"hello"}, trailers: []string{"content-length", "9"}, want: append([]string{"200 hello"}, cutAnswer...)},
	{name: "trailers that do not end the stream", body: []string{"hello"}, open: true,
		extra: func(c *framed, stream uint32) { c.head(stream, false, "x", "y").data(stream, true, hello) }, want: cutAnswer},
	{name: "a second answer", body: []string{"hello"}, open: true,
		extra: func(c *framed, stream uint32) { c.head(stream, true, ok()...) }, want: cutAnswer},
	{name: "an answer for a stream that nobody began", head: []string{}, extra: func(c *framed, stream uint32) { c.head(stream+20, true, ok()...) }, want: refusedAnswer},
	{name: "a promise", head: []string{}, extra: func(c *framed, stream uint32) {
		c.raw(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, stream, "\x00\x00\x00\x02"+string(c.block(pseudo("GET", "/")...)))
	}, want: refusedAnswer},
	{name: "padding that is too long", head: ok("content-length", "9"), open: true, extra: func(c *framed, stream uint32) {
		c.raw(http2.FrameData, http2.FlagDataEndStream|http2.FlagDataPadded, stream, "\x09hello")
	}, want: cutAnswer},
	{name: "HTTP/1", head: []string{}, extra: func(c *framed, _ uint32) {
		c.out.Lock()
		defer c.out.Unlock()
		c.pending.WriteString(hello)
	}, want: refusedAnswer},
}

func (a *answerCase) put(c *framed, stream uint32) {
	head := a.head
	if head == nil {
		head = ok()
	}
	if len(head) > 0 {
		c.head(stream, a.body == nil && !a.open, head...)
	}
	for i, text := range a.body {
		c.data(stream, i == len(a.body)-1 && a.trailers == nil && !a.open, text)
	}
	if a.trailers != nil {
		c.head(stream, true, a.trailers...)
	}
	if a.extra != nil {
		a.extra(c, stream)
	}
	_ = c.send()
}

// startAnsweringHost starts a host that answers "/" as the current case says, and everything else with hello.
func startAnsweringHost(t *testing.T) (*framedHost, *atomic.Pointer[answerCase]) {
	t.Helper()
	var now atomic.Pointer[answerCase]
	return startFramedHost(t, nil, nil, func(c *framed, m *message) {
		if value(m.heads[0], ":path") != "/" {
			answerHello(c, m)
			return
		}
		now.Load().put(c, m.stream)
	}), &now
}

// verify demands that the client saw one of the results that the case allows.
func (a *answerCase) verify(t *testing.T, saw string) {
	t.Helper()
	if !slices.Contains(a.want, saw) {
		t.Errorf("the client got %q, want one of %q", saw, a.want)
	}
}

func (a *answerCase) verb() string {
	if a.method != "" {
		return a.method
	}
	return http.MethodGet
}

// What a host of HTTP/2 sends that is no valid response reaches no client of HTTP/1.
func TestHTTP2AnswersToHTTP1(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	h, now := startAnsweringHost(t)
	p := startHTTP2(t, plainHTTP2, setup{hosts: []endpoint{h.endpoint}, settings: settings{"reactors_num": 1}})
	for _, a := range answerings {
		t.Run(a.name, func(t *testing.T) {
			now.Store(&a)
			c := p.dial()
			defer c.Close()
			send(t, c, a.verb()+" / HTTP/1.1\r\nHost: p\r\n\r\n")
			in := bufio.NewReader(c)
			saw, more := seenAnswer(in, a.verb())
			a.verify(t, saw)
			if more {
				send(t, c, "GET /afterwards HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n")
				if saw, _ := seenAnswer(in, "GET"); saw != "200 hello" && saw != cutOff {
					t.Errorf("for a further request the client got %q", saw)
				}
			}
			if rest, _ := io.ReadAll(in); len(rest) > 0 {
				t.Errorf("after it the client got %q", rest)
			}
			good := p.dial()
			send(t, good, "GET /afterwards HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n")
			if saw, _ := seenAnswer(bufio.NewReader(good), "GET"); saw != "200 hello" {
				t.Errorf("another client got %q", saw)
			}
		})
	}
}

// seenAnswer reads a response and returns a summary of it, and whether another may follow on the connection.
func seenAnswer(in *bufio.Reader, method string) (saw string, more bool) {
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return cutOff, false
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return cutOff, false
		}
		switch {
		case res.StatusCode < 200:
			continue
		case res.StatusCode == 502:
			return "502", !res.Close
		}
		saw = fmt.Sprintf("%d %s", res.StatusCode, body)
		for name, values := range res.Trailer {
			saw += fmt.Sprintf(" %s: %s", strings.ToLower(name), strings.Join(values, ","))
		}
		return saw, !res.Close
	}
}

// Nor does it reach a client of HTTP/2.
func TestHTTP2AnswersToHTTP2(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	h, now := startAnsweringHost(t)
	p := startHTTP2(t, plainHTTP2, setup{hosts: []endpoint{h.endpoint}, settings: settings{"reactors_num": 1}})
	for _, a := range answerings {
		t.Run(a.name, func(t *testing.T) {
			now.Store(&a)
			c := p.framed(t, nil)
			c.head(1, true, pseudo(a.verb(), "/")...).mustSend()
			a.verify(t, seenMessage(c.response(1)))
			c.get(3, "/afterwards").mustSend()
			if saw := seenMessage(c.response(3)); saw != "200 hello" {
				t.Errorf("for a further request the client got %q", saw)
			}
		})
	}
}

// seenMessage is seenAnswer for HTTP/2.
func seenMessage(m *message) string {
	status := m.status()
	switch {
	case m.reset && m.code != http2.ErrCodeNo, !m.ended:
		return cutOff
	case status == "502":
		return status
	}
	saw := status + " " + string(m.body)
	final := false
	for _, head := range m.heads {
		for _, f := range head {
			if final {
				saw += " " + f.Name + ": " + f.Value
			}
		}
		final = final || value(head, ":status") >= "200"
	}
	return saw
}

// Responses of HTTP/1 hosts mean the same to clients of HTTP/2, and malformed ones do not reach them.
func TestHTTP1AnswersToHTTP2(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	h := startRecorder(t)
	p := startHTTP2(t, "", setup{hosts: []endpoint{h.endpoint}, settings: settings{"upstream_keepalive": 0, "reactors_num": 1}})
	for _, a := range hostCases {
		name := a.name
		if name == "" {
			name = fmt.Sprintf("%.80q", strings.Join(a.script, ""))
		}
		if strings.Contains(a.in, "HTTP/1.0") || len(a.host) > 1 || len(a.script) > 1 || strings.HasPrefix(a.in, "POST") {
			continue // such a case needs more than one whole request
		}
		t.Run(name, func(t *testing.T) {
			h.begin(a.script)
			c := p.framed(t, nil)
			c.get(1, "/").mustSend()
			saw := seenMessage(c.response(1))
			want := cutOff
			switch {
			case a.status != 0:
				want = fmt.Sprint(a.status)
			case a.ending != "reset":
				want, _ = seenAnswer(bufio.NewReader(strings.NewReader(a.out)), http.MethodGet)
			}
			if saw != want && (want != cutOff || saw != "502") {
				t.Errorf("the client got %q, want %q", saw, want)
			}
			h.begin(nil)
			c.get(3, "/afterwards").mustSend()
			if saw := seenMessage(c.response(3)); saw != "200 hello" {
				t.Errorf("for a further request the client got %q", saw)
			}
		})
	}
}
