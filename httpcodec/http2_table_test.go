package httpcodec

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/policy"
)

// h2row is an HTTP/2 request on stream 1, what the host receives and replies, what the client receives, and what the log says.
type h2row struct {
	name  string
	set   func(*flat)
	ask   func(*wire)
	reply string
	host  string // what it received; "" for nothing
	maybe bool   // or nothing
	any   bool   // or anything
	want  string
	log   string // "" for no line
}

const (
	h2hi   = ":status: 200|content-length: 2 / {hi} / end"
	h2line = `$protocol $request_method $request_uri $processing_time $status $end_reason`
)

// h2page is the proxy's own error page, as a client receives it.
func h2page(status int, fields ...string) string {
	head, body, _ := strings.Cut(page(status, true), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	out := ":status: " + lines[0][9:12]
	for _, line := range append(lines[1:len(lines)-1], append(fields, lines[len(lines)-1])...) {
		if name, value, _ := strings.Cut(line, ": "); name != "Date" {
			out += "|" + strings.ToLower(name) + ": " + value
		}
	}
	return out + " / {" + body + "} / end"
}

var h2rows = []h2row{
	{name: "get", ask: func(w *wire) { w.ask(1, true, "GET", "/a?b=c", "x-a: 1") }, reply: hi,
		host: "GET /a?b=c HTTP/1.1\r\nhost: p\r\nx-a: 1\r\n\r\n", want: h2hi, log: "HTTP/2.0 GET /a?b=c 200 complete"},
	{name: "head", ask: func(w *wire) { w.ask(1, true, "HEAD", "/") }, reply: okHead + "Content-Length: 5\r\n\r\n",
		host: "HEAD / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 200|content-length: 5 / end", log: "HTTP/2.0 HEAD / 200 complete"},
	{name: "post with length", ask: func(w *wire) {
		w.ask(1, false, "POST", "/", "content-length: 5")
		w.data(1, false, "he")
		w.data(1, true, "llo")
	}, reply: hi, host: "POST / HTTP/1.1\r\nhost: p\r\nContent-Length: 5\r\n\r\nhello", want: h2hi, log: "HTTP/2.0 POST / 200 complete"},
	{name: "post without length", ask: func(w *wire) {
		w.ask(1, false, "POST", "/")
		w.data(1, false, "hel")
		w.data(1, false, "lo")
		w.data(1, true, "")
	}, reply: hi, host: "POST / HTTP/1.1\r\nhost: p\r\n" + te + "\r\nhello|0\r\n\r\n", want: h2hi, log: "HTTP/2.0 POST / 200 complete"},
	{name: "post without a body", ask: func(w *wire) { w.ask(1, true, "POST", "/") }, reply: hi,
		host: "POST / HTTP/1.1\r\nhost: p\r\n\r\n", want: h2hi, log: "HTTP/2.0 POST / 200 complete"},
	{name: "trailers of a request", ask: func(w *wire) {
		w.ask(1, false, "POST", "/", "te: trailers")
		w.data(1, false, "abc")
		w.head(1, true, "x-sum: 1", "x-more: 2")
	}, reply: hi, host: "POST / HTTP/1.1\r\nhost: p\r\n" + te + "TE: trailers\r\nConnection: TE\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n", want: h2hi, log: "HTTP/2.0 POST / 200 complete"},
	{name: "trailers only", ask: func(w *wire) {
		w.ask(1, false, "POST", "/")
		w.head(1, true, "x-sum: 1")
	}, reply: hi, host: "POST / HTTP/1.1\r\nhost: p\r\n" + te + "\r\n|0\r\nx-sum: 1\r\n\r\n", want: h2hi, log: "HTTP/2.0 POST / 200 complete"},
	{name: "cookies", ask: func(w *wire) { w.ask(1, true, "GET", "/", "cookie: a=1", "cookie: b=2") }, reply: hi,
		host: "GET / HTTP/1.1\r\nhost: p\r\ncookie: a=1; b=2\r\n\r\n", want: h2hi, log: "HTTP/2.0 GET / 200 complete"},
	{name: "chunked response", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: okHead + te + "\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 200 / {abc} / end", log: "HTTP/2.0 GET / 200 complete"},
	{name: "trailers of a response", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: okHead + te + "\r\n2\r\nab\r\n0\r\nX-Sum: 3\r\n\r\n",
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 200 / {ab} / x-sum: 3 / end", log: "HTTP/2.0 GET / 200 complete"},
	{name: "response until the end", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: okHead + "\r\nabc" + closes,
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 200 / {abc} / end", log: "HTTP/2.0 GET / 200 complete"},
	{name: "no content", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: "HTTP/1.1 204 No\r\nDate: t\r\n\r\n",
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 204 / end", log: "HTTP/2.0 GET / 204 complete"},
	{name: "not modified", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: "HTTP/1.1 304 No\r\nDate: t\r\nContent-Length: 7\r\n\r\n",
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 304|content-length: 7 / end", log: "HTTP/2.0 GET / 304 complete"},
	{name: "1xx before", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + hi,
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 103|link: a / " + h2hi, log: "HTTP/2.0 GET / 200 complete"},
	{name: "expect, refused", ask: func(w *wire) { w.ask(1, false, "POST", "/", "content-length: 3", "expect: 100-continue") },
		reply: early + "HTTP/1.1 417 No\r\nDate: t\r\nContent-Length: 0\r\n\r\n", host: "POST / HTTP/1.1\r\nhost: p\r\nexpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
		want: ":status: 417|content-length: 0 / end / NO_ERROR", log: "HTTP/2.0 POST / 417 complete"},
	{name: "own reply", ask: func(w *wire) { w.ask(1, true, "OPTIONS", "*", "max-forwards: 0") },
		want: ":status: 200|allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE|content-length: 0 / end", log: "HTTP/2.0 OPTIONS * 200 complete"},
	{name: "too large by its length", set: limit(2), ask: func(w *wire) { w.ask(1, false, "POST", "/", "content-length: 3") },
		want: h2page(413) + " / NO_ERROR", log: "HTTP/2.0 POST / 413 refused"},
	{name: "too large on its way", set: limit(20_000), ask: func(w *wire) {
		w.ask(1, false, "POST", "/")
		w.data(1, false, strings.Repeat("a", 15_000))
		w.data(1, false, strings.Repeat("a", 15_000))
	}, reply: halts, any: true, want: h2page(413) + " / NO_ERROR", log: "HTTP/2.0 POST / 413 refused"},
	{name: "redirect with a body on its way", set: redirects, ask: func(w *wire) {
		w.ask(1, false, "POST", "/x", "content-length: 300000")
		w.data(1, false, strings.Repeat("a", 10_000))
	}, want: h2redirect + " / NO_ERROR", log: "HTTP/2.0 POST /x 308 complete"},
	{name: "early answer", ask: func(w *wire) {
		w.ask(1, false, "POST", "/", "content-length: 3")
		w.await(w.answer(1).over)
	}, reply: early + "HTTP/1.1 403 No\r\nDate: t\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno" + closes,
		host: "POST / HTTP/1.1\r\nhost: p\r\nContent-Length: 3\r\n\r\n", want: ":status: 403|content-length: 2 / {no} / end / NO_ERROR", log: "HTTP/2.0 POST / 403 complete"},
	{name: "nonsense from the host", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: "nonsense\r\n\r\n",
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: h2page(502), log: "HTTP/2.0 GET / 502 bad_response"},
	{name: "the host ends inside its body", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: okHead + "Content-Length: 5\r\n\r\nabc" + closes,
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 200|content-length: 5 / {abc} / INTERNAL_ERROR", log: "HTTP/2.0 GET / 200 host_cut"},
	{name: "the host ends inside its chunks", ask: func(w *wire) { w.ask(1, true, "GET", "/") }, reply: okHead + te + "\r\n3\r\nabc\r\n" + closes,
		host: "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: ":status: 200 / {abc} / INTERNAL_ERROR", log: "HTTP/2.0 GET / 200 host_cut"},
	{name: "connection of HTTP/1 in the response", ask: func(w *wire) { w.ask(1, true, "GET", "/") },
		reply: okHead + "Connection: close, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nhi" + closes,
		host:  "GET / HTTP/1.1\r\nhost: p\r\n\r\n", want: h2hi, log: "HTTP/2.0 GET / 200 complete"},
	{name: "no host is named", ask: func(w *wire) { w.head(1, true, ":method: GET", ":scheme: http", ":path: /") }, want: h2page(400), log: "HTTP/2.0 GET / 400 refused"},
	{name: "a longer body than announced", ask: func(w *wire) {
		w.ask(1, false, "POST", "/", "content-length: 3")
		w.ping() // nothing that arrives at once is a request
		w.data(1, true, "abcd")
	}, reply: hi, host: "POST / HTTP/1.1\r\nhost: p\r\nContent-Length: 3\r\n\r\n", maybe: true, want: "PROTOCOL_ERROR", log: "HTTP/2.0 POST / 499 client_abort"},
	{name: "a field of HTTP/1's connections", ask: func(w *wire) { w.ask(1, true, "GET", "/", "connection: close") }, want: "PROTOCOL_ERROR"},
	{name: "connect", ask: func(w *wire) { w.head(1, true, ":method: CONNECT", ":authority: p:1") }, want: h2page(501), log: "HTTP/2.0 CONNECT p:1 501 refused"},
}

func redirects(s *flat) {
	d, problems := policy.CompileRedirect(&config.Redirect{To: "https://$host$request_uri", Status: 308}, nil)
	if problems != nil {
		panic(problems)
	}
	s.Policies.Redirect = d
}

var h2redirect = ":status: 308|location: https://p/x" + strings.TrimPrefix(h2page(308), ":status: 308")

func TestHTTP2Exchanges(t *testing.T) {
	t.Parallel()
	for _, r := range h2rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, r.reply)
			l := startLoggedH2C(t, h2line, r.set, h.addr)
			w := l.wire()
			w.exchange(r.ask, r.want)
			if err := w.conn.Close(); err != nil {
				t.Error(err)
			}
			awaitActive(t, l.proxy, 0)
			got, _ := l.lines(t)
			want := []string{"HTTP/2.0 OPTIONS * 200 complete"}
			if r.log != "" {
				want = []string{r.log, want[0]}
			}
			if !slices.Equal(got, want) {
				t.Errorf("logged %q\nwant %q", got, want)
			}
			if got := plainChunks(strings.Join(h.seen(0), "")); got != r.host && !r.any && (!r.maybe || got != "") {
				t.Errorf("the host got %q\nwant %q", got, r.host)
			}
		})
	}
}

// startLoggedH2C is startLoggedAs for clients that begin with HTTP/2 or speak HTTP/1.
func startLoggedH2C(t *testing.T, line string, change func(*flat), hosts ...netip.AddrPort) *logged {
	t.Helper()
	return rig{opts: EntryOptions{Protocols: HTTP1 | H2C}}.startLogged(t, line, change, hosts...)
}
