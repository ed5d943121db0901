package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// httpCase is what one client sends on one connection, and the required result. Each host connection serves one request, so host lists the exact bytes that
// reached the host, by request.
type httpCase struct {
	name   string
	in     string
	half   bool     // the client half-closes after in
	script []string // see recorder
	status int      // the proxy answers with this itself, then closes, and nothing more reaches the host
	out    string   // otherwise: the exact bytes that the client gets
	ending string   // how the client's connection ends: "end"; "reset", after any part of out; "" if it stays open
	host   []string // nil: no host gets a request
	cut    bool     // the host's connections are truncated: host has only the beginnings
}

const (
	getRequest  = "GET / HTTP/1.1\r\nHost: p\r\n\r\n"
	getHead     = "GET / HTTP/1.1\r\nHost: p\r\n"
	postHead    = "POST / HTTP/1.1\r\nHost: p\r\n"
	chunkedHead = postHead + "Transfer-Encoding: chunked\r\n\r\n"
	noDate      = "Thu, 00 Jan 0000 00:00:00 GMT" // replaces the date of the proxy's own responses
	toldToClose = okHead + "Content-Length: 5\r\nConnection: close\r\n\r\nhello"
)

var (
	anyDate    = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`)
	largeChunk = "40000\r\n" + strings.Repeat("x", 0x40000) + "\r\n" // more than the parser sees at once
)

func undated(s string) string { return anyDate.ReplaceAllString(s, "Date: "+noDate) }

// refusal is a request that the proxy answers itself, with status.
func refusal(status int, in string) httpCase { return httpCase{in: in, status: status} }

// relayed is a request that reaches the host as host.
func relayed(in, host string) httpCase {
	return httpCase{in: in, out: hello, host: []string{host}}
}

// answered is a GET that the host answers with text; the client gets out.
func answered(text, out string) httpCase {
	return httpCase{in: getRequest, script: []string{text}, out: out, host: []string{getRequest}}
}

// ends returns the case for a client that gets out and then the end of the stream.
func (c httpCase) ends(out string) httpCase { c.out, c.ending = out, "end"; return c }

// under returns the case with a name.
func (c httpCase) under(name string) httpCase { c.name = name; return c }

// httpCases follow http-cases.md line by line.
var httpCases = slices.Concat(framingCases, chunkCases, headCases, hopCases, hostCases)

var framingCases = []httpCase{
	refusal(400, postHead+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
	refusal(501, postHead+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	refusal(501, postHead+"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
	refusal(501, postHead+"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Transfer-Encoding: \r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	relayed(postHead+"Transfer-Encoding: \t CHUNKED \t\r\n\r\n1\r\na\r\n0\r\n\r\n", chunkedHead+"1\r\na\r\n0\r\n\r\n"),
	refusal(400, "POST / HTTP/1.0\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	refusal(400, postHead+"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
	refusal(400, postHead+"Content-Length: 1, 2\r\n\r\nab"),
	refusal(400, postHead+"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
	refusal(400, postHead+"Content-Length: +5\r\n\r\nhello"),
	refusal(400, postHead+"Content-Length: -5\r\n\r\nhello"),
	refusal(400, postHead+"Content-Length: 0x5\r\n\r\nhello"),
	refusal(400, postHead+"Content-Length: 5_0\r\n\r\nhello"),
	refusal(400, postHead+"Content-Length: 5 5\r\n\r\nhello"),
	refusal(400, postHead+"Content-Length: 1Z\r\n\r\nhello"),
	refusal(400, postHead+"Content-Length: \r\n\r\nhello"),
	refusal(400, postHead+"Content-Length: 18446744073709551616\r\n\r\nhello"),
	relayed(postHead+"Content-Length: 010\r\n\r\n0123456789", postHead+"Content-Length: 10\r\n\r\n0123456789"),
	relayed(postHead+"\r\n", postHead+"\r\n").under("post without either"),
	relayed(getHead+"Content-Length: 3\r\n\r\nabc", getHead+"Content-Length: 3\r\n\r\nabc").under("get with a body"),
}

// badChunk is a malformed chunked body. The beginning may have reached the host, but not as a complete body.
func badChunk(body string) httpCase { return httpCase{in: chunkedHead + body, status: 400, cut: true} }

var chunkCases = []httpCase{
	badChunk("0x10\r\n0123456789abcdef\r\n0\r\n\r\n"),
	badChunk("+5\r\nhello\r\n0\r\n\r\n"),
	badChunk("-1\r\na\r\n0\r\n\r\n"),
	badChunk("0_2e\r\na\r\n0\r\n\r\n"),
	badChunk("\r\na\r\n0\r\n\r\n"),
	badChunk(" 1\r\na\r\n0\r\n\r\n"),
	badChunk("00000000000000001\r\na\r\n0\r\n\r\n").under("17 hex digits"),
	badChunk("8000000000000000\r\na\r\n0\r\n\r\n").under("2^63"),
	relayed(chunkedHead+"5 \t;a=b\r\nhello\r\n0 ;\r\n\r\n", chunkedHead+"5\r\nhello\r\n0\r\n\r\n").under("white space before extensions"),
	badChunk("5 5\r\nhello\r\n0\r\n\r\n"),
	badChunk("5 \r\nhello\r\n0\r\n\r\n").under("white space before no extension"),
	relayed(chunkedHead+"5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n", chunkedHead+"5\r\nhello\r\n0\r\n\r\n").under("extensions are dropped"),
	badChunk("5;" + strings.Repeat("a", 300) + "\r\nhello\r\n0\r\n\r\n").under("long extension"),
	badChunk("5\nhello\r\n0\r\n\r\n"),
	badChunk("5;a\rb\r\nhello\r\n0\r\n\r\n"),
	badChunk("5\r\nhello0\r\n\r\n").under("no CRLF after the data"),
	badChunk("5\r\nhelloXX0\r\n\r\n").under("two other bytes after the data"),
	{name: "end before the last chunk", in: chunkedHead + "5\r\nhello\r\n", half: true, ending: "reset", host: []string{chunkedHead + "5\r\nhello\r\n"}, cut: true},
	relayed(chunkedHead+"1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nAuthorization: b\r\n\r\n",
		chunkedHead+"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n").under("trailers"),
	{name: "long trailers", in: chunkedHead + "1\r\na\r\n0\r\nX: " + strings.Repeat("a", 33<<10) + "\r\n\r\n", status: 431, cut: true},
}

var headCases = []httpCase{
	refusal(400, "GET / HTTP/1.1\r\nHost : p\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\n Host: p\r\n\r\n"),
	refusal(400, getHead+"X: a\r\n b\r\n\r\n"),
	refusal(400, getHead+"X: a\rb\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\nHost: p\n\n"),
	refusal(400, getHead+"X: \x00\r\n\r\n"),
	refusal(400, getHead+"X: \x7f\r\n\r\n"),
	relayed(getHead+"X: a\tb\r\n\r\n", getHead+"X: a\tb\r\n\r\n"),
	refusal(400, getHead+": a\r\n\r\n"),
	refusal(400, getHead+"X(: a\r\n\r\n"),
	refusal(400, getHead+"nothing\r\n\r\n"),
	relayed(getHead+"x_y: 1\r\n\r\n", getHead+"x_y: 1\r\n\r\n"),
	refusal(431, getHead+"X: "+strings.Repeat("a", 33<<10)+"\r\n\r\n").under("long head"),
	refusal(431, getHead+strings.Repeat("a: b\r\n", 128)+"\r\n").under("129 fields"),
	relayed(getHead+strings.Repeat("a: b\r\n", 127)+"\r\n", getHead+strings.Repeat("a: b\r\n", 127)+"\r\n").under("128 fields"),
	refusal(414, "GET /"+strings.Repeat("a", 8<<10)+" HTTP/1.1\r\nHost: p\r\n\r\n").under("long target"),
	relayed("\r\n\r\n"+getRequest, getRequest),
	relayed("\r\n\r\n\r\n\r\n"+getRequest, getRequest),
	refusal(400, "\r\n\r\n\r\n\r\n\r\n"+getRequest),
	{name: "empty lines between requests", in: postHead + "Content-Length: 1\r\n\r\na\r\n\r\n\r\n\r\n" + getRequest, script: []string{hello, hello}, out: hello + hello,
		host: []string{postHead + "Content-Length: 1\r\n\r\na", getRequest}},
	refusal(400, "GET /\r\n"),
	refusal(400, "GET / HTTP/1.10\r\nHost: p\r\n\r\n"),
	refusal(400, "GET / hTTP/1.1\r\nHost: p\r\n\r\n"),
	refusal(400, "GET  / HTTP/1.1\r\nHost: p\r\n\r\n"),
	refusal(400, "GET\t/ HTTP/1.1\r\nHost: p\r\n\r\n"),
	refusal(505, "GET / HTTP/2.0\r\nHost: p\r\n\r\n"),
	refusal(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	relayed("GET / HTTP/1.7\r\nHost: p\r\n\r\n", getRequest),
	refusal(400, "G(T / HTTP/1.1\r\nHost: p\r\n\r\n"),
	refusal(501, "CONNECT p:1 HTTP/1.1\r\nHost: p:1\r\n\r\n"),
	relayed("GET http://q:81/a?b HTTP/1.1\r\nHost: q:81\r\n\r\n", "GET /a?b HTTP/1.1\r\nHost: q:81\r\n\r\n"),
	relayed("GET http://q/ HTTP/1.1\r\nHost: p\r\n\r\n", "GET / HTTP/1.1\r\nHost: q\r\n\r\n"),
	refusal(400, "GET http://q/ HTTP/1.1\r\nHost: p\r\nHost: q\r\n\r\n"),
	relayed("GET / HTTP/1.1\r\nHost: p:\r\n\r\n", getRequest),
	refusal(400, "GET / HTTP/1.1\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\nHost: p\r\nHost: p\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\nHost: p,q\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\nHost: p q\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\nHost: u@p\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\nHost: p:99999\r\n\r\n"),
	refusal(400, "GET /#a HTTP/1.1\r\nHost: p\r\n\r\n"),
	refusal(400, "GET /a b HTTP/1.1\r\nHost: p\r\n\r\n"),
	relayed("GET /\xc3\xa4?\xff=\x80 HTTP/1.1\r\nHost: p\r\n\r\n", "GET /\xc3\xa4?\xff=\x80 HTTP/1.1\r\nHost: p\r\n\r\n").under("bytes above 0x7f in a target"),
	refusal(400, "GET / HTTP/1.1\r\nHost: p\xc3\xa4\r\n\r\n").under("bytes above 0x7f in Host"),
	refusal(400, "GET /\x01 HTTP/1.1\r\nHost: p\r\n\r\n"),
}

var hopCases = []httpCase{
	relayed(getHead+"Connection: X-A, keep-alive\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\nTE: gzip\r\nUpgrade: x\r\n\r\n", getHead+"X-B: 2\r\n\r\n"),
	relayed(getHead+"TE: gzip, trailers\r\n\r\n", getHead+"TE: trailers\r\nConnection: TE\r\n\r\n"),
	relayed(postHead+"Connection: host, Content-Length\r\nContent-Length: 1\r\n\r\na", postHead+"Content-Length: 1\r\n\r\na"),
	relayed(getHead+"CONNECTION: x-a\r\nConnection: ,, X-C,\r\nx-A: 1\r\nX-b: 2\r\nX-c: 3\r\n\r\n", getHead+"X-b: 2\r\n\r\n"),
	relayed(getHead+"Upgrade: websocket\r\n\r\n", getHead+"\r\n").under("upgrade without connection"),
	relayed(getHead+"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n\r\n", getHead+"\r\n").under("h2c"),
	{name: "nothing goes up before the 101", in: getHead + "Connection: upgrade\r\nUpgrade: x\r\n\r\n" + getRequest, out: hello + hello,
		host: []string{getHead + "Upgrade: x\r\nConnection: upgrade\r\n\r\n", getRequest}},
	{name: "continue", in: postHead + "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nab", script: []string{early + "HTTP/1.1 100 Continue\r\n\r\n" + hello + halts},
		out: "HTTP/1.1 100 Continue\r\n\r\n" + hello, host: []string{postHead + "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nab"}},
	relayed(postHead+"Expect:\r\nContent-Length: 2\r\n\r\nab", postHead+"Content-Length: 2\r\n\r\nab").under("an empty Expect"),
	relayed(getHead+"Connection: close;a\r\n\r\n", getRequest).ends(toldToClose).under("a malformed option"),
	relayed(getHead+"Connection: upgrade\r\nUpgrade: a b\r\n\r\n", getHead+"\r\n").under("a malformed upgrade"),
	refusal(417, postHead+"Expect: a\r\nContent-Length: 2\r\n\r\nab"),
	{name: "no 100 to 1.0", in: "POST / HTTP/1.0\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab", script: []string{"HTTP/1.1 100 Continue\r\n\r\n" + hello},
		out: toldToClose, ending: "end", host: []string{postHead + "Content-Length: 2\r\n\r\nab"}},
	{name: "bytes after close", in: getHead + "Connection: Close\r\n\r\n" + getRequest, out: toldToClose, ending: "end", host: []string{getRequest}},
	{name: "pipelined", in: getRequest + postHead + "Content-Length: 2\r\n\r\nab" + getRequest, script: []string{okHead + "Content-Length: 1\r\n\r\n1", okHead + "Content-Length: 1\r\n\r\n2"},
		out:  okHead + "Content-Length: 1\r\n\r\n1" + okHead + "Content-Length: 1\r\n\r\n2" + hello,
		host: []string{getRequest, postHead + "Content-Length: 2\r\n\r\nab", getRequest}},
	{name: "a bad request behind a good one", in: getRequest + "nonsense\r\n\r\n", out: hello, status: 400, host: []string{getRequest}},
	{name: "trace", in: "TRACE / HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\nCookie: secret\r\n\r\n" + getRequest, host: []string{getRequest},
		out: "HTTP/1.1 200 OK\r\nDate: " + noDate + "\r\nContent-Type: message/http\r\nContent-Length: 46\r\n\r\nTRACE / HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\n\r\n" + hello},
	relayed("OPTIONS * HTTP/1.1\r\nHost: p\r\nMax-Forwards: 2\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: p\r\nMax-Forwards: 1\r\n\r\n"),
}

// badAnswer is a response of a host for which the client gets a 502.
func badAnswer(text string) httpCase {
	return httpCase{in: getHead + "Connection: close\r\n\r\n", script: []string{text}, status: 502, host: []string{getRequest}}
}

const until = okHead + "\r\n"

var hostCases = []httpCase{
	badAnswer(okHead + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
	badAnswer(okHead + "Content-Length: x\r\n\r\n"),
	badAnswer(okHead + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	badAnswer(okHead + "Transfer-Encoding: gzip\r\n\r\nab"),
	badAnswer(okHead + "Bad Name: 1\r\n\r\n"),
	badAnswer(okHead + "Content-Length : 5\r\n\r\nhello"),
	badAnswer(okHead + "Content-Length: 5, 6\r\n\r\nhello"),
	badAnswer("HTTP/1.1 099 A\r\n\r\n"),
	badAnswer("HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\nhello" + hello),
	answered(okHead+"Content-Length: 5\r\nContent-Length: 5, 5\r\n\r\nhello", hello).under("the same length three times"),
	answered("HTTP/1.1 200\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 \r\nDate: now\r\nContent-Length: 5\r\n\r\nhello"),
	answered("HTTP/1.1 999 Odd\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 999 Odd\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello"),
	answered(okHead+"X \t: 1\r\nContent-Length: 0\r\n\r\n", okHead+"X: 1\r\nContent-Length: 0\r\n\r\n").under("white space before the colon of an answer"),
	answered(okHead+"Transfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0  \r\n\r\n", okHead+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").under("padded chunk sizes"),
	answered("HTTP/1.1 204 No\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 204 No\r\nDate: now\r\n\r\n"),
	answered(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000)+hello, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000)+hello).under("a thousand interim answers"),
	badAnswer("garbage\r\n\r\n"),
	badAnswer("SSH-2.0-x\r\n"),
	badAnswer(okHead + "X: " + strings.Repeat("a", 33<<10) + "\r\n\r\n").under("long answer head"),
	badAnswer("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").under("unasked 101"),
	badAnswer(closes).under("no answer"),
	badAnswer(resets).under("reset instead of an answer"),
	badAnswer(okHead + closes).under("half an answer head"),
	answered("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"+hello, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"+hello),
	{name: "no 1xx to 1.0", in: "GET / HTTP/1.0\r\nHost: p\r\n\r\n", script: []string{"HTTP/1.1 103 E\r\n\r\n" + hello}, out: toldToClose, ending: "end", host: []string{getRequest}},
	{name: "no body after HEAD", in: "HEAD / HTTP/1.1\r\nHost: p\r\n\r\n" + getRequest, out: strings.TrimSuffix(hello, "hello") + hello, host: []string{"HEAD / HTTP/1.1\r\nHost: p\r\n\r\n", getRequest}},
	answered("HTTP/1.1 204 No\r\nDate: now\r\n\r\nhello", "HTTP/1.1 204 No\r\nDate: now\r\n\r\n"),
	answered("HTTP/1.1 304 Same\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 304 Same\r\nDate: now\r\nContent-Length: 5\r\n\r\n"),
	answered(hello+hello, hello).under("more than one answer"),
	{name: "chunked to 1.0", in: "GET / HTTP/1.0\r\nHost: p\r\nConnection: keep-alive\r\n\r\n", script: []string{okHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"},
		out: okHead + "Connection: close\r\n\r\nhello", ending: "end", host: []string{getRequest}},
	answered(until+"hello"+closes, okHead+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
	{name: "until close to 1.0", in: "GET / HTTP/1.0\r\nHost: p\r\n\r\n", script: []string{until + "hello" + closes}, out: okHead + "Connection: close\r\n\r\nhello", ending: "end", host: []string{getRequest}},
	{name: "end inside a length", in: getRequest, script: []string{okHead + "Content-Length: 9\r\n\r\nhello" + closes}, out: okHead + "Content-Length: 9\r\n\r\nhello", ending: "reset", host: []string{getRequest}},
	{name: "end inside chunks", in: getRequest, script: []string{okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + closes}, out: okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ending: "reset", host: []string{getRequest}},
	badAnswer(okHead + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
	{name: "bad chunk behind a good one", in: getRequest, script: []string{okHead + "Transfer-Encoding: chunked\r\n\r\n" + largeChunk + "zz\r\n"},
		ending: "reset", host: []string{getRequest}},
	{name: "early answer", in: postHead + "Content-Length: 100000\r\n\r\nabc", script: []string{early + okHead + "Content-Length: 2\r\n\r\nno" + halts},
		out: okHead + "Content-Length: 2\r\nConnection: close\r\n\r\nno", ending: "end", host: []string{postHead + "Content-Length: 100000\r\n\r\nabc"}},
}

// The cases of http-cases.md, as raw bytes, against the running program.
func TestHTTPCases(t *testing.T) {
	t.Parallel()
	h := startRecorder(t)
	p := startHTTP(t, setup{hosts: []endpoint{h.endpoint}, settings: settings{"upstream_keepalive": 0, "forwarded_headers": false, "reactors_num": 1}})
	for _, c := range httpCases {
		name := c.name
		if name == "" {
			name = fmt.Sprintf("%.80q", c.in+strings.Join(c.script, ""))
		}
		t.Run(name, func(t *testing.T) { c.run(t, p, h) })
	}
}

func (c *httpCase) run(t *testing.T, p *proxy, h *recorder) {
	h.begin(c.script)
	conn := p.dial()
	defer conn.Close()
	send(t, conn, c.in)
	if c.half {
		_ = conn.CloseWrite()
	}
	c.checkClient(t, conn)
	// Connections reach the host in order: when this one has, all earlier ones have.
	end := p.dial()
	send(t, end, "GET /end HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n")
	in := bufio.NewReader(end)
	expectStatus(t, in, 200)
	expectEnd(t, in)
	_ = conn.Close()
	got := h.all()
	last := slices.Index(got, "GET /end HTTP/1.1\r\nHost: p\r\n\r\n")
	if last < 0 {
		t.Fatalf("the host got %q and not the last request", got)
	}
	got = slices.Delete(got, last, last+1)
	if c.cut && c.host == nil {
		for _, g := range got {
			if strings.Contains(g, "\r\n0\r\n") {
				t.Errorf("the host got %q, which looks complete", g)
			}
		}
	} else if !slices.Equal(got, c.host) {
		t.Errorf("the host got %q\nwant %q", got, c.host)
	}
}

func (c *httpCase) checkClient(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	in := bufio.NewReader(conn)
	if c.ending == "" || c.status != 0 {
		got := make([]byte, len(c.out))
		if n, err := io.ReadFull(in, got); err != nil || undated(string(got)) != c.out {
			t.Fatalf("the client got %q, error %v\nwant %q", got[:n], err, c.out)
		}
	}
	switch {
	case c.status != 0:
		res := expectStatus(t, in, c.status)
		if !res.Close {
			t.Error("the response has no Connection: close")
		}
		if n := res.ContentLength; n <= 0 || n > 500 {
			t.Errorf("the response has %d bytes", n)
		}
		expectEnd(t, in)
	case c.ending != "":
		got, err := io.ReadAll(in)
		whole := string(got) == c.out || howEnded(err) == "reset" && (c.out == "" || strings.HasPrefix(c.out, string(got)))
		if howEnded(err) != c.ending || !whole {
			t.Errorf("the client got %.500q and %s\nwant %.500q and %s", got, howEnded(err), c.out, c.ending)
		}
	default:
		send(t, conn, "OPTIONS * HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\n\r\n")
		expectStatus(t, in, 200)
		_ = conn.CloseWrite()
		expectEnd(t, in)
	}
}
