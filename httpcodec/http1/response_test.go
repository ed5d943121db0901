package http1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// responseCase is a host's response to the given method, or to a request for websocket if that is the method.
type responseCase struct {
	method string
	in     string
	want   string // "502", "more", or what responseFacts prints
	out11  string // what an HTTP/1.1 client is sent; "" if the case is not about it
	out10  string // what an HTTP/1.0 client is sent
}

func ok(fields ...string) string { return status("200 OK", fields...) }

func status(line string, fields ...string) string {
	return "HTTP/1.1 " + line + "\r\n" + join(fields...)
}

func responseFacts(r *Response) string {
	out := fmt.Sprint(r.Status, " ", r.Framing)
	if r.Framing == Length {
		out = fmt.Sprint(r.Status, " length ", r.Length)
	}
	for word, so := range map[string]bool{" close": !r.KeepAlive && !r.Interim && !r.Upgrade, " interim": r.Interim, " upgrade": r.Upgrade} {
		if so {
			out += word
		}
	}
	return out
}

const (
	chunkedOut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	closeOut   = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
)

var responseCases = []responseCase{
	// framing
	{"GET", ok("Content-Length: 5"), "200 length 5", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"},
	{"GET", ok("content-length: 007"), "200 length 7", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", ""},
	{"GET", ok("Content-Length: 5", "Content-Length: 6"), "502", "", ""},
	{"GET", ok("Content-Length: 5, 6"), "502", "", ""},
	{"GET", ok("Content-Length: 5", "X: y", "Content-Length: 5"), "200 length 5", "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", ok("Content-Length: 5, 5 ,05", "Content-Length: 5"), "200 length 5", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
	{"HEAD", ok("Content-Length: 5, 5"), "200 no body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", ok("Content-Length: 5, 5", "Content-Length: 6"), "502", "", ""},
	{"GET", ok("Content-Length: 5,"), "502", "", ""},
	{"GET", ok("Content-Length: 5", "Content-Length:"), "502", "", ""},
	{"GET", ok("Content-Length: 5", "Content-Length: +5"), "502", "", ""},
	{"GET", ok("Content-Length: 5 5"), "502", "", ""},
	{"GET", ok("Content-Length: 18446744073709551621, 5"), "502", "", ""}, // 5, modulo 2^64
	{"GET", ok("Content-Length: -5"), "502", "", ""},
	{"GET", ok("Content-Length: +5"), "502", "", ""},
	{"GET", ok("Content-Length: 5x"), "502", "", ""},
	{"GET", ok("Content-Length:"), "502", "", ""},
	{"GET", ok("Content-Length: 9223372036854775808"), "502", "", ""},
	{"GET", ok("Content-Length: 5", "Transfer-Encoding: chunked"), "502", "", ""},
	{"GET", ok("Transfer-Encoding: gzip"), "502", "", ""},
	{"GET", ok("Transfer-Encoding: gzip, chunked"), "502", "", ""},
	{"GET", ok("Transfer-Encoding: identity"), "502", "", ""},
	{"GET", ok("Transfer-Encoding: chunked, chunked"), "502", "", ""},
	{"GET", ok("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "502", "", ""},
	{"GET", ok("Transfer-Encoding: \x0bchunked"), "502", "", ""},
	{"GET", ok("Transfer-Encoding:"), "502", "", ""},
	{"GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "502", "", ""},
	{"GET", ok("Transfer-Encoding: Chunked"), "200 chunked", chunkedOut, closeOut},
	{"GET", ok(), "200 until close close", chunkedOut, closeOut},
	{"GET", "HTTP/1.0 200 OK\r\n\r\n", "200 until close close", chunkedOut, closeOut},
	{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "200 length 5 close", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", "200 length 5", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", ok("Content-Length: 5", "Connection: close"), "200 length 5 close", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", status("205 Reset", "Content-Length: 0"), "205 length 0", "", ""},

	// no body, whatever the fields say
	{"HEAD", ok("Content-Length: 5"), "200 no body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"},
	{"HEAD", ok("Transfer-Encoding: chunked"), "200 no body", "HTTP/1.1 200 OK\r\n\r\n", ""},
	{"HEAD", ok(), "200 no body", "HTTP/1.1 200 OK\r\n\r\n", ""},
	{"HEAD", ok("Content-Length: x"), "502", "", ""},
	{"HEAD", ok("Content-Length: 5", "Transfer-Encoding: chunked"), "502", "", ""},
	{"GET", status("304 Not Modified", "Content-Length: 5", "ETag: x"), "304 no body", "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", status("304 Not Modified", "Transfer-Encoding: chunked"), "304 no body", "HTTP/1.1 304 Not Modified\r\n\r\n", ""},
	{"GET", status("204 No Content"), "204 no body", "HTTP/1.1 204 No Content\r\n\r\n", ""},
	{"GET", status("204 No Content", "Content-Length: 0"), "204 no body", "HTTP/1.1 204 No Content\r\n\r\n", ""},
	{"GET", status("204 No Content", "Content-Length: 5"), "204 no body close", "HTTP/1.1 204 No Content\r\n\r\n", ""},
	{"HEAD", status("204 No Content", "Content-Length: 5"), "204 no body close", "HTTP/1.1 204 No Content\r\n\r\n", ""},
	{"GET", status("204 No Content", "Transfer-Encoding: chunked"), "204 no body close", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"},
	{"GET", status("204 No Content", "Transfer-Encoding: chunked", "Content-Length: 0"), "502", "", ""},
	{"GET", status("204 No Content", "Transfer-Encoding: gzip"), "502", "", ""},
	{"GET", status("204 No Content", "Content-Length: 1, 2"), "502", "", ""},

	// 1xx
	{"GET", status("100 Continue", "X: y", "Connection: close"), "100 no body interim", "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", ""},
	{"GET", status("103 Early Hints", "Link: </x>; rel=preload", "Content-Length: 0"), "103 no body interim", "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", ""},
	{"GET", status("100 Continue", "Content-Length: 5"), "502", "", ""},
	{"GET", status("100 Continue", "Transfer-Encoding: chunked"), "100 no body interim", "HTTP/1.1 100 Continue\r\n\r\n", ""},
	{"GET", status("101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: WebSocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x"), "101 no body upgrade",
		"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: foo, websocket", "Connection: Upgrade"), "101 no body upgrade", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: bar", "Connection: Upgrade"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: websocket, bar", "Connection: Upgrade"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: h2c", "Connection: Upgrade"), "502", "", ""},
	{"unasked", status("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade:", "Connection: Upgrade"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Connection: Upgrade"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: websocket"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: websocket", "Connection: upgrade", "Content-Length: 5"), "502", "", ""},
	{"websocket", status("101 Switching Protocols", "Upgrade: websocket", "Connection: upgrade", "Transfer-Encoding: chunked"), "101 no body upgrade",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", ""},
	{"websocket", "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "502", "", ""},
	{"websocket", ok("Content-Length: 0", "Upgrade: websocket", "Connection: upgrade"), "200 length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", status("426 Upgrade Required", "Content-Length: 0", "Upgrade: h2c, websocket", "Connection: upgrade"), "426 length 0",
		"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", status("426 Upgrade Required", "Content-Length: 0", "Upgrade: h2c", "Connection: upgrade"), "426 length 0",
		"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", ""},

	// hop by hop
	{"GET", ok("Connection: X-A, keep-alive", "X-A: 1", "Keep-Alive: timeout=5", "Proxy-Connection: x", "Upgrade: h2,h2c", "TE: x", "X_B: 2", "x-c:3", "X_B: 2", "Content-Length: 0"),
		"200 length 0", "HTTP/1.1 200 OK\r\nX_B: 2\r\nx-c: 3\r\nX_B: 2\r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", ok("Connection: Content-Length", "Content-Length: 3"), "200 length 3", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{"GET", ok("Connection: (", "Content-Length: 3"), "200 length 3 close", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{"GET", ok("Connection: "+repeat(33, "x%d,"), "Content-Length: 3"), "502", "", ""},
	{"GET", ok("Server: h", "Set-Cookie: a=1", "Date: x", "Set-Cookie: b=2", "Content-Length: 0"), "200 length 0",
		"HTTP/1.1 200 OK\r\nServer: h\r\nSet-Cookie: a=1\r\nDate: x\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", ok("Trailer: X-Sum", "Transfer-Encoding: chunked"), "200 chunked", "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n", closeOut},
	{"GET", ok("Trailer: Set-Cookie", "Transfer-Encoding: chunked"), "200 chunked", chunkedOut, closeOut},
	{"GET", ok("Trailer: X-Sum"), "200 until close close", chunkedOut, closeOut},

	// the head
	{"GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 length 0", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", status("299 \t\xc3\xa9 (x)", "Content-Length: 0"), "299 length 0", "HTTP/1.1 299 \t\xc3\xa9 (x)\r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "200 length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 length 0", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", "HTTP/1.1 204\r\n\r\n", "204 no body", "HTTP/1.1 204 \r\n\r\n", ""},
	{"GET", "HTTP/1.1 200\tOK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 20\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 2000 OK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 2x0 OK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 +20 OK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 099 OK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 000 OK\r\n\r\n", "502", "", ""},
	{"GET", status("600 Odd", "Content-Length: 5"), "600 length 5", "HTTP/1.1 600 Odd\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", status("999 Odd", "Transfer-Encoding: chunked"), "999 chunked", "HTTP/1.1 999 Odd\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 999 Odd\r\nConnection: close\r\n\r\n"},
	{"HEAD", status("777 Odd", "Content-Length: 5"), "777 no body", "HTTP/1.1 777 Odd\r\nContent-Length: 5\r\n\r\n", ""},
	{"GET", "HTTP/1.1  200 OK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/2.0 200 OK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/0.9 200 OK\r\n\r\n", "502", "", ""},
	{"GET", "http/1.1 200 OK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 200 O\x00K\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 200 O\rK\r\n\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 200 OK\n\r\n", "502", "", ""},
	{"GET", "\r\n" + ok(), "502", "", ""},
	{"GET", "<html>", "502", "", ""},
	{"GET", ok("X : y", "Set-Cookie\t \t:a", "Date\t: x", "Content-Length: 0"), "200 length 0", "HTTP/1.1 200 OK\r\nX: y\r\nSet-Cookie: a\r\nDate: x\r\nContent-Length: 0\r\n\r\n", ""},
	{"GET", ok("Content-Length : 5"), "502", "", ""},
	{"GET", ok("Transfer-Encoding\t: chunked"), "502", "", ""},
	{"GET", ok("Connection : close"), "502", "", ""},
	{"GET", ok("X y: z"), "502", "", ""},
	{"GET", ok("X "), "502", "", ""},
	{"GET", ok(" : y"), "502", "", ""},
	{"GET", "HTTP/1.1 200 OK\r\nX  ", "more", "", ""},
	{"GET", ok("X: y", " z"), "502", "", ""},
	{"GET", ok("X: y\nZ: z"), "502", "", ""},
	{"GET", ok("X: a\x00b"), "502", "", ""},
	{"GET", ok("X"), "502", "", ""},
	{"GET", ok("X: " + strings.Repeat("y", MaxHead)), "502", "", ""},
	{"GET", "HTTP/1.1 200 " + strings.Repeat("y", MaxHead), "502", "", ""},
	{"GET", "HTTP/1.1 200 OK\r\n" + repeat(129, "X-%d: y\r\n") + "\r\n", "502", "", ""},
	{"GET", "HTTP/1.1 200 OK\r\nX: y\r\n", "more", "", ""},
	{"GET", "HTT", "more", "", ""},
}

func requestOf(t testing.TB, method string) *Request {
	in := method + " / HTTP/1.1\r\nHost: a\r\n\r\n"
	switch method {
	case "websocket":
		in = lines("Upgrade: foo, h2c, websocket", "Connection: upgrade")
	case "unasked":
		in = lines("Upgrade: websocket")
	}
	var r Request
	if n, err := r.Parse([]byte(in)); n == 0 || err != nil {
		t.Fatal(err)
	}
	return &r
}

func answerOf(r *Response, req *Request, in string, cuts ...int) string {
	r.Reset()
	for _, cut := range append(cuts, len(in)) {
		b := bytes.Clone([]byte(in[:cut]))
		n, err := r.Parse(b, req)
		switch {
		case err != nil:
			return fmt.Sprint(err.Status, " ", err.Reason)
		case n > 0:
			r.Rebase(bytes.Clone(b[:n]))
			return fmt.Sprintf("%d %s %q", n, responseFacts(r), AppendResponse(nil, r, &ResponseRewrite{Minor: 1}))
		}
	}
	return "more"
}

func TestResponseCases(t *testing.T) {
	t.Parallel()
	for _, c := range responseCases {
		t.Run(c.method+" "+short(c.in), func(t *testing.T) {
			req := requestOf(t, c.method)
			var r Response
			in := c.in + "body"
			if c.want == "more" {
				in = c.in
			}
			n, err := r.Parse([]byte(in), req)
			got := responseFacts(&r)
			switch {
			case err != nil:
				got = fmt.Sprint(err.Status)
			case n == 0:
				got = "more"
			case n != len(c.in):
				t.Errorf("%d bytes were taken, want %d", n, len(c.in))
			}
			if got != c.want {
				t.Fatalf("%q (%v), want %q", got, err, c.want)
			}
			if err != nil || n == 0 {
				return
			}
			for minor, want := range []string{c.out10, c.out11} {
				if out := string(AppendResponse(nil, &r, &ResponseRewrite{Minor: uint8(minor)})); want != "" && out != want {
					t.Errorf("sent to HTTP/1.%d %q\nwant %q", minor, out, want)
				}
			}
		})
	}
}

func TestResponseCutAnywhere(t *testing.T) {
	t.Parallel()
	var r Response
	for _, c := range responseCases {
		req := requestOf(t, c.method)
		want := answerOf(&r, req, c.in)
		step := 1 + len(c.in)/1000
		var all []int
		for cut := 0; cut <= len(c.in); cut += step {
			if got := answerOf(&r, req, c.in, cut); got != want {
				t.Errorf("%s cut at %d: %s\nwant %s", short(c.in), cut, got, want)
			}
			all = append(all, cut)
		}
		if got := answerOf(&r, req, c.in, all...); got != want {
			t.Errorf("%s in steps of %d: %s\nwant %s", short(c.in), step, got, want)
		}
	}
}

func TestAppendResponseRewrites(t *testing.T) {
	t.Parallel()
	date := []byte("Tue, 11 Jun 2024 10:00:00 GMT")
	for _, c := range []struct {
		in   string
		w    ResponseRewrite
		want string
	}{
		{ok("Content-Length: 0"), ResponseRewrite{Minor: 1, Close: true, Date: date}, "HTTP/1.1 200 OK\r\nDate: Tue, 11 Jun 2024 10:00:00 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{ok("Content-Length: 0"), ResponseRewrite{Minor: 0, Close: true}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{ok("Content-Length: 0", "date: x"), ResponseRewrite{Minor: 1, Date: date}, "HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: 0\r\n\r\n"},
		{ok("Date: x", "Content-Length: 0", "Connection: date"), ResponseRewrite{Minor: 1, Date: date},
			"HTTP/1.1 200 OK\r\nDate: Tue, 11 Jun 2024 10:00:00 GMT\r\nContent-Length: 0\r\n\r\n"},
		{status("103 Early"), ResponseRewrite{Minor: 1, Date: date, Close: true}, "HTTP/1.1 103 Early\r\n\r\n"},
	} {
		var r Response
		if _, err := r.Parse([]byte(c.in), requestOf(t, "GET")); err != nil {
			t.Fatal(err)
		}
		if got := string(AppendResponse(nil, &r, &c.w)); got != c.want {
			t.Errorf("%q:\n%q, want\n%q", c.in, got, c.want)
		}
	}
}
