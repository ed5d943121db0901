package http1

import (
	"fmt"
	"strings"
)

// requestCase is a line of http-cases.md: the input and its result. If it is accepted, facts is what factsOf prints and out is
// what the host is sent; each is "" if the case is not about it.
type requestCase struct {
	in     string
	status int // 0: accepted; -1: more is needed
	facts  string
	out    string
}

// lines returns a GET with these field lines after Host.
func lines(fields ...string) string { return get("/", fields...) }

func get(target string, fields ...string) string {
	return "GET " + target + " HTTP/1.1\r\n" + join(append([]string{"Host: a"}, fields...)...)
}

func post(fields ...string) string {
	return "POST / HTTP/1.1\r\n" + join(append([]string{"Host: a"}, fields...)...)
}

func join(fields ...string) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String() + "\r\n"
}

func with(host string) string { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }

// repeat makes n field lines or other texts that contain their number.
func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// factsOf prints what was decided, in words that are omitted where they do not apply.
func factsOf(r *Request) string {
	out := []string{r.Framing.String()}
	if r.Framing == Length {
		out[0] = fmt.Sprint("length ", r.Length)
	}
	word := func(so bool, word string) {
		if so {
			out = append(out, word)
		}
	}
	word(r.Minor == 0, "1.0")
	word(!r.KeepAlive, "close")
	word(r.ExpectContinue, "expect")
	word(r.Upgrade, "upgrade")
	word(r.Trailers, "trailers")
	word(r.IsHead, "head")
	word(r.MaxForwards >= 0, fmt.Sprint("forwards ", r.MaxForwards))
	return strings.Join(out, ", ")
}

const plainOut = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

var framingOfRequests = []requestCase{
	{post("Content-Length: 5", "Transfer-Encoding: chunked"), 400, "", ""},
	{post("Transfer-Encoding: chunked", "Content-Length: 5"), 400, "", ""},
	{post("Transfer-Encoding: identity", "Content-Length: 5"), 400, "", ""},
	{post("transfer-encoding:chunked", "CONTENT-LENGTH:0"), 400, "", ""},
	{post("Transfer-Encoding: gzip, chunked"), 501, "", ""},
	{post("Transfer-Encoding: identity"), 501, "", ""},
	{post("Transfer-Encoding: xchunked"), 501, "", ""},
	{post("Transfer-Encoding: \x0bchunked"), 400, "", ""},
	{post("Transfer-Encoding: chunked\x0b"), 400, "", ""},
	{post("Transfer-Encoding:"), 400, "", ""},
	{post("Transfer-Encoding: \t "), 400, "", ""},
	{post("Transfer-Encoding: ,chunked"), 400, "", ""},
	{post("Transfer-Encoding: chunked,"), 400, "", ""},
	{post("Transfer-Encoding: \"chunked\""), 400, "", ""},
	{post("Transfer-Encoding: chunked;q=1"), 400, "", ""},
	{post("Transfer-Encoding: chunked\xa0"), 400, "", ""},
	{post("Transfer-Encoding: chun\u212aed"), 400, "", ""}, // the Kelvin sign folds to k
	{post("Transfer-Encoding: chunked, gzip"), 400, "", ""},
	{post("Transfer-Encoding: chunked, chunked"), 400, "", ""},
	{post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "", ""},
	{post("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), 400, "", ""},
	{post("Transfer-Encoding: CHUNKED"), 0, "chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{post("Transfer-Encoding: \t chunked \t"), 0, "chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{post("Transfer_Encoding: chunked"), 0, "no body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n"}, // some hosts take it for Transfer-Encoding
	{post("Content_Length: 5", "Content.Length: 5", "CONTENT-LENGTH: 3"), 0, "length 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"},
	{"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "", ""},
	{"POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n", 400, "", ""},
	{post("Content-Length: 5", "Content-Length: 6"), 400, "", ""},
	{post("Content-Length: 5, 6"), 400, "", ""},
	{post("Content-Length: 5", "Content-Length: 5"), 400, "", ""}, // accepted from a host
	{post("Content-Length: 5, 5"), 400, "", ""},
	{post("Content-Length: +5"), 400, "", ""},
	{post("Content-Length: -5"), 400, "", ""},
	{post("Content-Length: -0"), 400, "", ""},
	{post("Content-Length: 0x5"), 400, "", ""},
	{post("Content-Length: 5_0"), 400, "", ""},
	{post("Content-Length: 5 5"), 400, "", ""},
	{post("Content-Length: 1Z"), 400, "", ""},
	{post("Content-Length:"), 400, "", ""},
	{post("Content-Length: \u0665"), 400, "", ""}, // an Arabic digit
	{post("Content-Length: 5."), 400, "", ""},
	{post("Content-Length: 18446744073709551616"), 400, "", ""},
	{post("Content-Length: 18446744073709551615"), 400, "", ""},
	{post("Content-Length: 18446744073709551621"), 400, "", ""}, // 5, modulo 2^64
	{post("Content-Length: 9223372036854775808"), 400, "", ""},
	{post("Content-Length: 9223372036854775807"), 0, "length 9223372036854775807", ""},
	{post("Content-Length: 010"), 0, "length 10", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"},
	{post("Content-Length: \t 5 \t"), 0, "length 5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"},
	{post("content-length: 0"), 0, "length 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
	{post(), 0, "no body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{lines("Content-Length: 7"), 0, "length 7", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n"},
	{lines("Transfer-Encoding: chunked"), 0, "chunked", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 400, "", ""},
	{"TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "", ""},
}

var heads = []requestCase{
	{lines("X : y"), 400, "", ""},
	{lines("X\t: y"), 400, "", ""},
	{"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", 400, "", ""},
	{lines("X: y", " z"), 400, "", ""},
	{lines("X: y", "\tz"), 400, "", ""},
	{lines("X: y", " "), 400, "", ""},
	{lines("X: y\rz"), 400, "", ""},
	{lines("X: y\r"), 400, "", ""},
	{lines("X:\ry"), 400, "", ""},
	{lines("\rX: y"), 400, "", ""},
	{lines("X\r: y"), 400, "", ""},
	{lines("X: y\nZ: z"), 400, "", ""},
	{lines("X: y\n\nGET /evil HTTP/1.1"), 400, "", ""},
	{"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400, "", ""},
	{lines("X: a\x00b"), 400, "", ""},
	{lines("X: a\x7fb"), 400, "", ""},
	{lines("X: a\x01b"), 400, "", ""},
	{lines("X: 12345678\x1f"), 400, "", ""},
	{lines("X: 1234567\x08"), 400, "", ""},
	{lines("X\x00: b"), 400, "", ""},
	{lines("X: a\tb"), 0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n"},
	{lines("X:\t a\t\tb12345678\t9 \t"), 0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nX: a\t\tb12345678\t9\r\n\r\n"},
	{lines("X: \x80\xff"), 0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\n\r\n"},
	{lines(": y"), 400, "", ""},
	{lines(":"), 400, "", ""},
	{lines("X(: y"), 400, "", ""},
	{lines("\"X\": y"), 400, "", ""},
	{lines("X@: y"), 400, "", ""},
	{lines("X/Y: y"), 400, "", ""},
	{lines("X\xe9: y"), 400, "", ""},
	{lines("X y: y"), 400, "", ""},
	{lines("X"), 400, "", ""},
	{lines("X y"), 400, "", ""},
	{lines("GET / HTTP/1.1"), 400, "", ""},
	{lines("X_y: z", "X-Empty:", "x_Y:z"), 0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nX_y: z\r\nX-Empty: \r\nx_Y: z\r\n\r\n"},
	{lines("!#$%&'*+-.^_`|~09aZ: token"), 0, "no body", ""},
	{lines("B: 1", "A: 2", "b: 3", "B: 1"), 0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nB: 1\r\nA: 2\r\nb: 3\r\nB: 1\r\n\r\n"},

	// limits
	{lines("X: " + strings.Repeat("y", MaxHead)), 431, "", ""},
	{lines("X: "+strings.Repeat("y", MaxHead-len(lines("X: ")))) + "GET", 0, "no body", ""},
	{lines("X: " + strings.Repeat("y", MaxHead-len(lines("X: "))+1)), 431, "", ""},
	{lines() + strings.Repeat("z", MaxHead), 0, "no body", plainOut},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", MaxHead-len("GET / HTTP/1.1\r\nHost: a\r\nX: ")), 431, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("y", MaxHead), 431, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("y", MaxHead) + "\n", 431, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n\x00" + strings.Repeat("y", MaxHead) + "\n", 431, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n" + repeat(127, "X-%d: y\r\n") + "\r\n", 0, "no body", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n" + repeat(128, "X-%d: y\r\n") + "\r\n", 431, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n" + repeat(128, "X-%d: y\r\n"), 431, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n" + repeat(128, "X-%d: y\n") + "\r\n", 400, "", ""},
	{get("/" + strings.Repeat("y", maxTarget-1)), 0, "no body", ""},
	{get("/" + strings.Repeat("y", maxTarget)), 414, "", ""},
	{"GET /" + strings.Repeat("y", 2*maxTarget), 414, "", ""},
	{"GET /" + strings.Repeat("y", MaxHead+100), 414, "", ""},
	{"GET /" + strings.Repeat("y", MaxHead+100) + "\n", 414, "", ""},
	{"GET /" + strings.Repeat("y", 2*maxTarget) + "\n", 414, "", ""},
	{"GET /" + strings.Repeat("y", 2*maxTarget) + "\r\n", 414, "", ""},
	{"GET /" + strings.Repeat("y", maxRequestLine-4) + "\n", 400, "", ""},
	{"GET /" + strings.Repeat("y", maxRequestLine-3) + "\n", 414, "", ""},
	{"GET /" + strings.Repeat("y", maxRequestLine-4), -1, "", ""},
	{"GET /" + strings.Repeat("y", maxRequestLine-3), 414, "", ""},
	{strings.Repeat("G", 2*maxTarget), 414, "", ""},
	{strings.Repeat("G", maxMethod) + " / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "no body", ""},
	{strings.Repeat("G", maxMethod+1) + " / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "", ""},

	// empty lines before the request line
	{"\r\n" + lines(), 0, "no body", plainOut},
	{"\r\n\r\n" + lines(), 0, "no body", plainOut},
	{"\r\n\r\n\r\n\r\n" + lines(), 0, "no body", plainOut},
	{"\r\n\r\n\r\n\r\n", -1, "", ""},
	{"\r\n\r\n\r\n\r\n\r\n" + lines(), 400, "", ""},
	{"\r\n\r\n\r\n\r\n\r\n", 400, "", ""},
	{"\n" + lines(), 400, "", ""},
	{"\r" + lines(), 400, "", ""},
	{"\r\r\n" + lines(), 400, "", ""},
	{" \r\n" + lines(), 400, "", ""},
	{"\x16\x03\x01\x02\x00\x01", 400, "", ""}, // a TLS hello, refused at once

	// request line
	{"GET /\r\n", 400, "", ""},
	{"GET / \r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1,1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/11\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.x\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / hTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "", ""},
	{" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET /\x0cHTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.1\r HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "", ""},
	{"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "", ""},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "", ""},
	{"GET / HTTP/2\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0, "no body", plainOut},
	{"GET / HTTP/1.9\r\n\r\n", 400, "", ""},
	{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"get / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "no body", "get / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"PROPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n", 0, "no body", ""},
	{"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501, "", ""},
	{"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "", ""},

	// TRACE and OPTIONS
	{"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 0, "no body, forwards 0", ""},
	{"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 0, "no body, forwards 0", ""},
	{"OPTIONS * HTTP/1.1\r\nHost: a\r\nmax-Forwards: 007\r\n\r\n", 0, "no body, forwards 7", "OPTIONS * HTTP/1.1\r\nHost: a\r\nmax-Forwards: 6\r\n\r\n"},
	{"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9999999999\r\n\r\n", 0, "no body, forwards 1073741824", ""},
	{"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "no body", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n", 400, "", ""},
	{"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards:\r\n\r\n", 400, "", ""},
	{"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n", 400, "", ""},
	{"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nConnection: Max-Forwards\r\n\r\n", 0, "no body, forwards 0", ""},
	{lines("Max-Forwards: 0"), 0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"},

	// targets
	{"GET http://b/c?d HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET /c?d HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET HTTP://B/c HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET /c HTTP/1.1\r\nHost: B\r\n\r\n"},
	{"GET http://b:80/c HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET /c HTTP/1.1\r\nHost: b:80\r\n\r\n"},
	{"GET https://b/c HTTP/1.1\r\nHost: b:443\r\n\r\n", 0, "no body", "GET /c HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b:81/c HTTP/1.1\r\nX: y\r\nhOST: b:81\r\n\r\n", 0, "no body", "GET /c HTTP/1.1\r\nX: y\r\nhOST: b:81\r\n\r\n"},
	{"GET http://b HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b?x HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET /?x HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b//x HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET //x HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"OPTIONS http://b/ HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "OPTIONS / HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"OPTIONS http://b?x HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "OPTIONS /?x HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b/c HTTP/1.0\r\n\r\n", 0, "no body, 1.0, close", "GET /c HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b/ HTTP/1.1\r\n\r\n", 400, "", ""},
	{"GET http://b/ HTTP/1.1\r\nHost: c\r\n\r\n", 0, "no body", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b/ HTTP/1.1\r\nX: y\r\nhost: b:81\r\nZ: z\r\n\r\n", 0, "no body", "GET / HTTP/1.1\r\nX: y\r\nhost: b\r\nZ: z\r\n\r\n"},
	{"GET https://b/ HTTP/1.1\r\nHost: b:80\r\n\r\n", 0, "no body", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b/ HTTP/1.0\r\nHost: c\r\n\r\n", 0, "no body, 1.0, close", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b:/ HTTP/1.1\r\nHost: c\r\n\r\n", 0, "no body", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b/ HTTP/1.1\r\nHost: c\r\nHost: b\r\n\r\n", 400, "", ""},
	{"GET http://b/ HTTP/1.1\r\nHost: c,d\r\n\r\n", 400, "", ""},
	{"GET http://[::1]/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, "no body", "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"},
	{"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET http://u@b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "", ""},
	{"GET http://b\\@c/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "", ""},
	{"GET http:/b HTTP/1.1\r\nHost: b\r\n\r\n", 400, "", ""},
	{"GET ftp://b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "", ""},
	{"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400, "", ""},
	{"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""},
	{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, "no body", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
	{get("/#x"), 400, "", ""},
	{get("/x#"), 400, "", ""},
	{get("/a b"), 400, "", ""},
	{get("/\xc3\xa9?\xe2\x82\xac=\xff\x80"), 0, "no body", "GET /\xc3\xa9?\xe2\x82\xac=\xff\x80 HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"GET http://b/\xc3\xa9 HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET /\xc3\xa9 HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://b?\xc3\xa9 HTTP/1.1\r\nHost: b\r\n\r\n", 0, "no body", "GET /?\xc3\xa9 HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"GET http://\xc3\xa9/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "", ""},
	{"GET \xc3\xa9 HTTP/1.1\r\nHost: b\r\n\r\n", 400, "", ""},
	{get("/\xc2\xa0x \xe3\x80\x80"), 400, "", ""}, // an ideographic space among other Unicode spaces
	{get("/\x00"), 400, "", ""},
	{get("/\x7f"), 400, "", ""},
	{get("/a%20b?q={\"x\"}|^`<>[]\\&100%"), 0, "no body", ""},

	// Host
	{"GET / HTTP/1.1\r\n\r\n", 400, "", ""},
	{"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, "", ""},
	{lines("Host: a"), 400, "", ""},
	{lines("host: b"), 400, "", ""},
	{"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "", ""},
	{with("a,b"), 400, "", ""},
	{with("a, b"), 400, "", ""},
	{with("a b"), 400, "", ""},
	{with(""), 400, "", ""},
	{with("u@a"), 400, "", ""},
	{with("u:p@a"), 400, "", ""},
	{with("a:"), 0, "no body", plainOut},
	{with("[::1]:"), 0, "no body", "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"},
	{with("a::"), 400, "", ""},
	{with(":"), 400, "", ""},
	{with("a:x"), 400, "", ""},
	{with("a:0"), 400, "", ""},
	{with("a:-1"), 400, "", ""},
	{with("a:65536"), 400, "", ""},
	{with("a:000080"), 0, "no body", "GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n"},
	{with("a:18446744073709551617"), 400, "", ""}, // 1, modulo 2^64
	{with("a:80:80"), 400, "", ""},
	{with(":80"), 400, "", ""},
	{with("a/b"), 400, "", ""},
	{with("a?b"), 400, "", ""},
	{with("a#b"), 400, "", ""},
	{with("a\\b"), 400, "", ""},
	{with("a%"), 400, "", ""},
	{with("a%4"), 400, "", ""},
	{with("a%zz"), 400, "", ""},
	{with("a\"b"), 400, "", ""},
	{with("\xc3\xa9"), 400, "", ""},
	{with("[::1"), 400, "", ""},
	{with("[::1]x"), 400, "", ""},
	{with("[fe80::1%25eth0]"), 400, "", ""},
	{with("[127.0.0.1]"), 400, "", ""},
	{with("[]"), 400, "", ""},
	{with("::1"), 400, "", ""},
	{with("a]"), 400, "", ""},
	{with("A-1.example_x.com.:65535"), 0, "no body", ""},
	{with("xn--e1afmkfd%2D~"), 0, "no body", ""},
	{with("[2001:db8::192.0.2.1]:8080"), 0, "no body", ""},
	{"GET / HTTP/1.0\r\n\r\n", 0, "no body, 1.0, close", "GET / HTTP/1.1\r\nHost: up:9000\r\n\r\n"},
	{"GET / HTTP/1.0\r\nHost: a\r\nX: y\r\n\r\n", 0, "no body, 1.0, close", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"},
	{"GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\nB: 2\r\n\r\n", 0, "no body", "GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\nB: 2\r\n\r\n"},

	// half of a request
	{"", -1, "", ""},
	{"G", -1, "", ""},
	{"\r\n\r", -1, "", ""},
	{"GET / HTTP/1.1\r", -1, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\n\r", -1, "", ""},
	{"GET / HTTP/1.1\r\nHost: a\r\nX\x00", -1, "", ""},
}

var hopByHop = []requestCase{
	{lines("Connection: X-A, x-b", "X-A: 1", "X-a: 2", "X-B: 3", "X-C: 4"), 0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nX-C: 4\r\n\r\n"},
	{lines("X-A: 1", "X-C: 4", "Connection: close", "Connection: x-a"), 0, "no body, close", "GET / HTTP/1.1\r\nHost: a\r\nX-C: 4\r\n\r\n"},
	{lines("Connection: ,, ,keep-alive , ,X-A,", "X-A: 1"), 0, "no body", plainOut},
	{lines("Keep-Alive: timeout=5", "Proxy-Connection: close", "TE: gzip", "Upgrade: websocket", "HTTP2-Settings: x"), 0, "no body", plainOut},
	{lines("TE: gzip;q=1, Trailers"), 0, "no body, trailers", "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n"},
	{"GET / HTTP/1.0\r\nTE: trailers\r\n\r\n", 0, "no body, 1.0, close", "GET / HTTP/1.1\r\nHost: up:9000\r\n\r\n"},
	{lines("Connection: host"), 0, "no body", plainOut},
	{post("Connection: Content-Length, Transfer-Encoding", "Content-Length: 3"), 0, "length 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"},
	{post("Connection: Transfer-Encoding", "Transfer-Encoding: chunked"), 0, "chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{lines("Connection: x-forwarded-for, X-Forwarded-Proto, X-Forwarded-Host", "X-Forwarded-For: 1", "X-Forwarded-Proto: 2", "X-Forwarded-Host: 3"),
		0, "no body", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nX-Forwarded-Proto: 2\r\nX-Forwarded-Host: 3\r\n\r\n"},
	{lines("Connection: CLOSE"), 0, "no body, close", plainOut},
	{lines("cOnnection: foo", "CONNECTION: bar, clOse"), 0, "no body, close", plainOut},
	{lines("Connection: close, keep-alive"), 0, "no body, close", plainOut},
	{lines("Connection: not-close"), 0, "no body", plainOut},
	{"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", 0, "no body, 1.0", plainOut},
	{"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive, close\r\n\r\n", 0, "no body, 1.0, close", plainOut},
	{lines("Connection: \"close\""), 0, "no body, close", plainOut},
	{lines("Connection: close;x"), 0, "no body, close", plainOut},
	{lines("Connection: keep alive"), 0, "no body, close", plainOut},
	{lines("Connection: X-A;q=1, X-B", "X-A: 1", "X-B: 2"), 0, "no body, close", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n"},
	{lines("Connection: " + repeat(32, "x%d,")), 0, "no body", plainOut},
	{lines("Connection: " + repeat(33, "x%d,")), 400, "", ""},

	// Upgrade
	{lines("Connection: Upgrade", "Upgrade: websocket"), 0, "no body, upgrade", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"},
	{lines("Upgrade: WebSocket", "Connection: keep-alive", "Connection: UPGRADE", "Sec-WebSocket-Key: x"), 0, "no body, upgrade",
		"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: x\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n"},
	{lines("Connection: Upgrade", "Upgrade: h2c"), 0, "no body", plainOut},
	{lines("Connection: Upgrade, HTTP2-Settings", "Upgrade: H2C, foo/1", "HTTP2-Settings: AAMAAABkAAQ", "Upgrade: h2c-14, websocket, HTTP/2.0"), 0, "no body, upgrade",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: foo/1, websocket\r\nConnection: upgrade\r\n\r\n"},
	{lines("Connection: Upgrade"), 0, "no body", plainOut},
	{lines("Connection: Upgrade", "Upgrade:"), 0, "no body", plainOut},
	{lines("Connection: Upgrade", "Upgrade: web socket"), 0, "no body", plainOut},
	{lines("Connection: Upgrade", "Upgrade: websocket/"), 0, "no body", plainOut},
	{lines("Connection: Upgrade", "Upgrade: web socket, websocket/, x"), 0, "no body, upgrade", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},
	{post("Connection: Upgrade", "Upgrade: tcp", "Content-Length: 3"), 0, "length 3, upgrade", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nUpgrade: tcp\r\nConnection: upgrade\r\n\r\n"},
	{post("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 3"), 0, "length 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"},
	{post("Connection: Upgrade", "Upgrade: tcp", "Transfer-Encoding: chunked"), 0, "chunked, upgrade",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nUpgrade: tcp\r\nConnection: upgrade\r\n\r\n"},
	{post("Upgrade: tcp", "Content-Length: 3"), 0, "length 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"},
	{"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0, "no body, 1.0, close", plainOut},

	// Expect
	{post("Expect: 100-Continue", "Content-Length: 3"), 0, "length 3, expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"},
	{post("Expect: 100-continue"), 0, "no body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{post("Expect: 100-continue", "Connection: expect", "Content-Length: 3"), 0, "length 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"},
	{"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", 0, "length 3, 1.0, close", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"},
	{post("Expect: 200-ok"), 417, "", ""},
	{post("Expect:"), 0, "no body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{post("Expect: ,", "Content-Length: 3"), 0, "length 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"},
	{post("Expect: 100-continue, x=y"), 417, "", ""},
	{post("Expect: x", "Expect: 100-continue", "Content-Length: 3"), 417, "", ""},
	{post("Expect:", "Expect: 100-continue", "Content-Length: 3"), 0, "length 3, expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"},
	{post("Expect: 100-continue, 100-Continue", "Content-Length: 3"), 0, "length 3, expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, 100-Continue\r\nContent-Length: 3\r\n\r\n"},

	// Trailer
	{post("Trailer: X-Sum", "Transfer-Encoding: chunked"), 0, "chunked", "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{post("Trailer: X-Sum, Host", "Transfer-Encoding: chunked"), 0, "chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{post("Trailer: X-Sum"), 0, "no body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n"},

	{"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "no body, head", ""},
}

var requestCases = append(append(append([]requestCase{}, framingOfRequests...), heads...), hopByHop...)
