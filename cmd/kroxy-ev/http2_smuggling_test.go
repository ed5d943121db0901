package main_test

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// smuggling is what a client of HTTP/2 sends on one stream, and what may reach a host. Anything else that reaches a host was smuggled.
type smuggling struct {
	name     string
	head     []string // names and values; nil: those of a GET, or of a POST if there is a body
	body     []string // DATA frames; nil if the head ends the stream
	trailers []string
	open     bool   // the client does not end the stream
	want     string // in HTTP/1's form; "" if no complete request may reach the host
	kept     string // a trailer that hosts of HTTP/2 also get
	any      bool   // nothing at all may reach the host too
	wrong    bool   // the connection may end with an error
	extra    func(c *framed, stream uint32)
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: p\r\n\r\n"

// inChunk returns text as a chunked body.
func inChunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text) }

// with returns the head of a GET with further fields.
func with(fields ...string) []string { return append(pseudo("GET", "/"), fields...) }

// posts returns the head of a POST with further fields.
func posts(fields ...string) []string { return append(pseudo("POST", "/"), fields...) }

// instead returns the head of a GET with another value for a pseudo-header field.
func instead(name, value string) []string {
	head := pseudo("GET", "/")
	head[slices.Index(head, name)+1] = value
	return head
}

// without returns the head of a GET without one pseudo-header field.
func without(name string) []string {
	head := pseudo("GET", "/")
	at := slices.Index(head, name)
	return slices.Delete(head, at, at+2)
}

// smugglings are tried on a proxy between a client of HTTP/2 and a host of either version.
var smugglings = slices.Concat(smuggledValues, smuggledHops, smuggledLengths, smuggledPseudo, smuggledTrailers, smuggledFrames)

var smuggledValues = []smuggling{
	{name: "CRLF and a field in a value", head: with("x", "a\r\ntransfer-encoding: chunked")},
	{name: "CRLF and a request in a value", head: with("x", "a\r\n\r\n"+smuggled)},
	{name: "LF in a value", head: with("x", "a\nhost: q")},
	{name: "CR in a value", head: with("x", "a\rb")},
	{name: "CR at the end of a value", head: with("x", "a\r")},
	{name: "NUL in a value", head: with("x", "a\x00b")},
	{name: "a control character in a value", head: with("x", "a\x01b")},
	{name: "DEL in a value", head: with("x", "a\x7fb")},
	{name: "a space before a value", head: with("x", " a")},
	{name: "a tab behind a value", head: with("x", "a\t")},
	{name: "CRLF in a name", head: with("x: a\r\ntransfer-encoding", "chunked")},
	{name: "LF in a name", head: with("x\ny", "a")},
	{name: "a colon in a name", head: with("transfer-encoding: chunked\r\nx", "a")},
	{name: "a colon at the end of a name", head: with("host:", "q")},
	{name: "a space in a name", head: with("content-length ", "5")},
	{name: "a tab before a name", head: with("\tx", "5")},
	{name: "upper case in a name", head: with("Transfer-Encoding", "chunked")},
	{name: "one upper case letter in a name", head: with("content-Length", "0")},
	{name: "no name", head: with("", "a")},
	{name: "a byte above 0x7f in a name", head: with("x\xc3", "a")},
	{name: "NUL in a name", head: with("x\x00", "a")},
	{name: "CRLF in a cookie", head: with("cookie", "a=b\r\nx: y", "cookie", "c=d")},
	{name: "crumbs of cookies", head: with("cookie", "a=b", "cookie", "c=d"), want: getHead + "Cookie: a=b; c=d\r\n\r\n"},
	{name: "tabs and high bytes in values", head: with("x", "a\tb", "y", "\xc3\xa4"), want: getHead + "X: a\tb\r\nY: \xc3\xa4\r\n\r\n"},
	{name: "an underscore in a name", head: with("content_length", "5"), want: getRequest},
	{name: "129 fields", head: with(slices.Repeat([]string{"x", "y"}, 130)...)},
	{name: "a head above the limit", head: with("x", strings.Repeat("a", 33<<10)), wrong: true},
}

var smuggledHops = []smuggling{
	{name: "transfer-encoding", head: posts("transfer-encoding", "chunked"), body: []string{"0\r\n\r\n" + smuggled}},
	{name: "transfer-encoding beside content-length", head: posts("content-length", "4", "transfer-encoding", "chunked"), body: []string{"0\r\n\r\n" + smuggled}},
	{name: "transfer-encoding of another kind", head: posts("transfer-encoding", "identity"), body: []string{"a"}},
	{name: "connection", head: with("connection", "keep-alive")},
	{name: "connection that names a field", head: with("connection", "x-forwarded-for", "x-forwarded-for", "a")},
	{name: "keep-alive", head: with("keep-alive", "timeout=5")},
	{name: "proxy-connection", head: with("proxy-connection", "keep-alive")},
	{name: "upgrade", head: with("upgrade", "websocket")},
	{name: "upgrade to h2c", head: with("upgrade", "h2c", "http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")},
	{name: "te", head: with("te", "trailers, chunked")},
	{name: "te with something else", head: with("te", "gzip")},
	{name: "te: trailers", head: with("te", "trailers"), want: getHead + "TE: trailers\r\n\r\n"},
	{name: "an expectation", head: posts("expect", "miracles"), body: []string{"a"}},
}

var smuggledLengths = []smuggling{
	{name: "less than there is", head: posts("content-length", "3"), body: []string{"abc" + smuggled}},
	{name: "less than there is, in two frames", head: posts("content-length", "3"), body: []string{"abc", smuggled}, want: postHead + "Content-Length: 3\r\n\r\nabc", any: true},
	{name: "nothing, and there is something", head: posts("content-length", "0"), body: []string{smuggled}, want: postHead + "Content-Length: 0\r\n\r\n", any: true},
	{name: "more than there is", head: posts("content-length", "10"), body: []string{"abc"}},
	{name: "more than there is, without any", head: posts("content-length", "10")},
	{name: "more than there is, then an empty frame", head: posts("content-length", "10"), body: []string{"abc", ""}},
	{name: "two that differ", head: posts("content-length", "3", "content-length", "4"), body: []string{"abcd"}},
	{name: "two that differ, the second is right", head: posts("content-length", "0", "content-length", "4"), body: []string{"abcd"}},
	{name: "two that are equal", head: posts("content-length", "3", "content-length", "3"), body: []string{"abc"}, want: postHead + "Content-Length: 3\r\n\r\nabc", any: true},
	{name: "a list", head: posts("content-length", "3, 3"), body: []string{"abc"}, want: postHead + "Content-Length: 3\r\n\r\nabc", any: true},
	{name: "a list that differs", head: posts("content-length", "3, 4"), body: []string{"abc"}},
	{name: "with a sign", head: posts("content-length", "+3"), body: []string{"abc"}},
	{name: "below zero", head: posts("content-length", "-3"), body: []string{"abc"}},
	{name: "in hexadecimal", head: posts("content-length", "0x3"), body: []string{"abc"}},
	{name: "with an underscore", head: posts("content-length", "0_3"), body: []string{"abc"}},
	{name: "empty", head: posts("content-length", ""), body: []string{"abc"}},
	{name: "no number", head: posts("content-length", "three"), body: []string{"abc"}},
	{name: "above 2^64", head: posts("content-length", "18446744073709551619"), body: []string{"abc"}},
	{name: "with CRLF", head: posts("content-length", "3\r\n\r\n"+smuggled), body: []string{"abc"}},
	{name: "that is right", head: posts("content-length", "3"), body: []string{"a", "bc"}, want: postHead + "Content-Length: 3\r\n\r\nabc"},
	{name: "with zeros before", head: posts("content-length", "003"), body: []string{"abc"}, want: postHead + "Content-Length: 3\r\n\r\nabc"},
	{name: "a request as a body", body: []string{smuggled}, want: chunkedHead + inChunk(smuggled)},
	{name: "chunks as a body", body: []string{"0\r\n\r\n" + smuggled}, want: chunkedHead + inChunk("0\r\n\r\n"+smuggled)},
	{name: "a preface as a body", body: []string{http2.ClientPreface}, want: chunkedHead + inChunk(http2.ClientPreface)},
	{name: "an empty body", body: []string{""}, want: chunkedHead + "0\r\n\r\n"},
	{name: "a body of a GET", head: with(), body: []string{smuggled}, want: getHead + "Transfer-Encoding: chunked\r\n\r\n" + inChunk(smuggled)},
	{name: "a body that is cut", body: []string{"abc"}, open: true, extra: func(c *framed, stream uint32) { c.rst(stream, http2.ErrCodeCancel) }},
}

var smuggledPseudo = []smuggling{
	{name: "a request in :path", head: instead(":path", "/ HTTP/1.1\r\nHost: p\r\n\r\n"+smuggled)},
	{name: "a version in :path", head: instead(":path", "/ HTTP/1.1")},
	{name: "a space in :path", head: instead(":path", "/a b")},
	{name: "a tab in :path", head: instead(":path", "/a\tb")},
	{name: "CR in :path", head: instead(":path", "/a\rb")},
	{name: "LF in :path", head: instead(":path", "/a\nb")},
	{name: "NUL in :path", head: instead(":path", "/a\x00")},
	{name: "a fragment in :path", head: instead(":path", "/#a")},
	{name: "an empty :path", head: instead(":path", "")},
	{name: ":path without a slash", head: instead(":path", "a")},
	{name: ":path with a host", head: instead(":path", "http://q/")},
	{name: ":path is a star, and the method GET", head: instead(":path", "*")},
	{name: "an authority before :path", head: instead(":path", "@q/")},
	{name: "two slashes", head: instead(":path", "//q/"), want: "GET //q/ HTTP/1.1\r\nHost: p\r\n\r\n"},
	{name: "no :path", head: without(":path")},
	{name: "a request in :method", head: instead(":method", "GET /smuggled HTTP/1.1\r\nHost: p\r\n\r\nGET")},
	{name: "a target in :method", head: instead(":method", "GET /smuggled")},
	{name: "no token in :method", head: instead(":method", "G(T")},
	{name: "a tab in :method", head: instead(":method", "GET\t")},
	{name: "an empty :method", head: instead(":method", "")},
	{name: "no :method", head: without(":method")},
	{name: "CONNECT as any other", head: instead(":method", "CONNECT")},
	{name: "CONNECT", head: []string{":method", "CONNECT", ":authority", "p:1"}},
	{name: "CONNECT with a protocol", head: append(instead(":method", "CONNECT"), ":protocol", "websocket")},
	{name: "CRLF in :scheme", head: instead(":scheme", "http://q/ HTTP/1.1\r\nX: ")},
	{name: "another scheme", head: instead(":scheme", "ftp")},
	{name: "an empty :scheme", head: instead(":scheme", "")},
	{name: "no :scheme", head: without(":scheme")},
	{name: "CRLF in :authority", head: instead(":authority", "p\r\nx: y")},
	{name: "a path in :authority", head: instead(":authority", "p/smuggled")},
	{name: "a query in :authority", head: instead(":authority", "p?q")},
	{name: "a user in :authority", head: instead(":authority", "q@p")},
	{name: "a list in :authority", head: instead(":authority", "p,q")},
	{name: "a space in :authority", head: instead(":authority", "p q")},
	{name: "a wrong port in :authority", head: instead(":authority", "p:99999")},
	{name: "an empty :authority", head: instead(":authority", "")},
	{name: "host differs", head: with("host", "q")},
	{name: "host is the same", head: with("host", "p"), want: getRequest},
	{name: "two hosts, one differs", head: with("host", "p", "host", "q")},
	{name: "host and no :authority", head: append(without(":authority"), "host", "p"), want: getRequest},
	{name: "two hosts and no :authority", head: append(without(":authority"), "host", "p", "host", "q")},
	{name: "no host at all", head: without(":authority")},
	{name: ":path twice", head: append(pseudo("GET", "/"), ":path", "/smuggled")},
	{name: ":method twice", head: append(pseudo("GET", "/"), ":method", "POST")},
	{name: ":authority twice", head: append(pseudo("GET", "/"), ":authority", "q")},
	{name: ":path behind a field", head: append(without(":path"), "x", "y", ":path", "/")},
	{name: ":status in a request", head: append(pseudo("GET", "/"), ":status", "200")},
	{name: "an unknown pseudo-header field", head: append(pseudo("GET", "/"), ":x", "y")},
	{name: "an empty pseudo-header field", head: append(pseudo("GET", "/"), ":", "y")},
	{name: "a long :path", head: instead(":path", "/"+strings.Repeat("a", 9<<10))},
	{name: "high bytes in :path", head: instead(":path", "/\xc3\xa4"), want: "GET /\xc3\xa4 HTTP/1.1\r\nHost: p\r\n\r\n"},
	{name: "a star", head: []string{":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "p"}, want: "OPTIONS * HTTP/1.1\r\nHost: p\r\n\r\n"},
}

var smuggledTrailers = []smuggling{
	{name: "trailers", body: []string{"a"}, trailers: []string{"x-sum", "1"}, want: chunkedHead + "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{name: "CRLF in a trailer", body: []string{"a"}, trailers: []string{"x", "1\r\n\r\n" + smuggled}},
	{name: "CRLF in the name of a trailer", body: []string{"a"}, trailers: []string{"x\r\n\r\n" + smuggled, "1"}},
	{name: "a pseudo-header field in trailers", body: []string{"a"}, trailers: []string{":path", "/smuggled"}},
	{name: "upper case in trailers", body: []string{"a"}, trailers: []string{"X", "y"}},
	{name: "a length in trailers", body: []string{"a"}, trailers: []string{"content-length", "40"}, want: chunkedHead + "1\r\na\r\n0\r\n\r\n", any: true},
	{name: "transfer-encoding in trailers", body: []string{"a"}, trailers: []string{"transfer-encoding", "chunked"}},
	{name: "connection in trailers", body: []string{"a"}, trailers: []string{"connection", "x"}},
	{name: "host in trailers", body: []string{"a"}, trailers: []string{"host", "q", "authorization", "b"}, want: chunkedHead + "1\r\na\r\n0\r\n\r\n", any: true},
	{name: "trailers behind a length", head: posts("content-length", "1"), body: []string{"a"}, trailers: []string{"x", "y"}, want: postHead + "Content-Length: 1\r\n\r\na", any: true, kept: "x: y"},
	{name: "trailers before the length is reached", head: posts("content-length", "9"), body: []string{"a"}, trailers: []string{"x", "y"}},
	{name: "a second head that does not end the stream", body: []string{"a"}, open: true, extra: func(c *framed, stream uint32) { c.head(stream, false, "x", "y") }},
	{name: "a whole second head", body: []string{"a"}, trailers: pseudo("GET", "/smuggled")},
	{name: "data behind trailers", body: []string{"a"}, trailers: []string{"x", "y"}, want: chunkedHead + "1\r\na\r\n0\r\nX: y\r\n\r\n", any: true, wrong: true,
		extra: func(c *framed, stream uint32) { c.data(stream, true, smuggled) }},
}

var smuggledFrames = []smuggling{
	{name: "data behind the end", want: getRequest, any: true, wrong: true, extra: func(c *framed, stream uint32) { c.data(stream, true, smuggled) }},
	{name: "a head behind the end", want: getRequest, any: true, wrong: true, extra: func(c *framed, stream uint32) { c.get(stream, "/smuggled") }},
	{name: "data before the head", head: []string{}, wrong: true, extra: func(c *framed, stream uint32) { c.data(stream, true, smuggled) }},
	{name: "a head within another", head: []string{}, wrong: true, extra: func(c *framed, stream uint32) {
		block := string(c.block(pseudo("GET", "/")...))
		c.raw(http2.FrameHeaders, http2.FlagHeadersEndStream, stream, block[:3]).get(stream+2, "/smuggled").raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, stream, block[3:])
	}},
	{name: "a head for another stream within", head: []string{}, wrong: true, extra: func(c *framed, stream uint32) {
		block := string(c.block(pseudo("GET", "/")...))
		c.raw(http2.FrameHeaders, http2.FlagHeadersEndStream, stream, block[:3]).raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, stream+2, block[3:])
	}},
	{name: "a promise", head: []string{}, wrong: true, extra: func(c *framed, stream uint32) {
		c.raw(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, stream, "\x00\x00\x00\x09"+string(c.block(pseudo("GET", "/smuggled")...)))
	}},
	{name: "a stream of the other end", head: []string{}, wrong: true, extra: func(c *framed, stream uint32) { c.get(stream+1, "/smuggled") }},
	{name: "stream 0", head: []string{}, wrong: true, extra: func(c *framed, _ uint32) { c.get(0, "/smuggled") }},
	{name: "a head whose padding is too long", head: []string{}, wrong: true, extra: func(c *framed, stream uint32) {
		block := string(c.block(pseudo("GET", "/smuggled")...))
		c.raw(http2.FrameHeaders, http2.FlagHeadersEndStream|http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, stream, string(rune(len(block)+1))+block)
	}},
	{name: "data whose padding is too long", head: posts("content-length", "3"), body: []string{"a"}, open: true, wrong: true, extra: func(c *framed, stream uint32) {
		c.raw(http2.FrameData, http2.FlagDataEndStream|http2.FlagDataPadded, stream, "\x03bc")
	}},
	{name: "padding that looks like a request", head: posts("content-length", "3"), open: true, body: []string{"a"}, want: postHead + "Content-Length: 3\r\n\r\nabc", extra: func(c *framed, stream uint32) {
		c.raw(http2.FrameData, http2.FlagDataEndStream|http2.FlagDataPadded, stream, string(rune(len(smuggled)))+"bc"+smuggled)
	}},
	{name: "frames of an unknown type between", body: []string{"a"}, open: true, want: chunkedHead + "2\r\nab\r\n0\r\n\r\n", extra: func(c *framed, stream uint32) {
		c.raw(0xbe, 0xff, stream, smuggled).data(stream, true, "b")
	}},
	{name: "HTTP/1 instead of a frame", head: []string{}, wrong: true, extra: func(c *framed, _ uint32) {
		c.out.Lock()
		defer c.out.Unlock()
		c.pending.WriteString(smuggled)
	}},
}

// headFields returns the head that the client sends; nil for none.
func (s *smuggling) headFields() []string {
	if s.head != nil {
		return s.head
	}
	if s.body != nil {
		return pseudo("POST", "/")
	}
	return pseudo("GET", "/")
}

// put adds the frames that the client sends.
func (s *smuggling) put(c *framed, stream uint32) {
	if head := s.headFields(); len(head) > 0 {
		c.head(stream, s.body == nil && !s.open, head...)
	}
	for i, text := range s.body {
		c.data(stream, i == len(s.body)-1 && s.trailers == nil && !s.open, text)
	}
	if s.trailers != nil {
		c.head(stream, true, s.trailers...)
	}
	if s.extra != nil {
		s.extra(c, stream)
	}
}

const (
	afterwards = "GET /afterwards HTTP/1.1\r\nHost: p\r\n\r\n"
	plainHTTP2 = "h2c"
)

// http2Settings are the settings of a proxy whose clients may speak HTTP/1.1, and HTTP/2 with prior knowledge.
func http2Settings(port int, more settings) settings {
	s := settings{"listen": []any{map[string]any{"port": port, "protocols": []string{plainHTTP2, "http/1.1"}}}}
	for k, v := range more {
		s[k] = v
	}
	return s
}

// startHTTP2 is startHTTP for clients with prior knowledge. Protocol is the hosts'; "" is HTTP/1.1.
func startHTTP2(t *testing.T, protocol string, s setup) *proxy {
	t.Helper()
	s.mode = "http"
	port := reservePort(t)
	more := http2Settings(port, s.settings)
	if protocol != "" {
		group := settings{"hosts": s.hosts, "protocol": protocol}
		more["servers"] = settings{"backend": group}
	}
	s.settings = more
	return startOn(t, port, s)
}

// verify fails the test if the host got anything but what the case allows and the request that follows.
func (s *smuggling) verify(t *testing.T, got []string, kept string) {
	t.Helper()
	after := plainRequests(afterwards)[0]
	whole := got[:0]
	seen := false
	for _, g := range got {
		switch {
		case g == after:
			seen = true
		case strings.HasSuffix(g, "\nwhole"):
			whole = append(whole, g)
		}
	}
	if !seen {
		t.Errorf("the request that follows did not reach the host; it got %q", got)
	}
	want := plainRequests(s.want)
	if kept != "" {
		want[0] = strings.Replace(want[0], "\n\nwhole", "\n"+kept+"\nwhole", 1)
	}
	if !slices.Equal(whole, want) && (!s.any || len(whole) > 0) {
		t.Errorf("the host got %q\nwant %q", whole, want)
	}
}

// send sends the case on a connection of its own, and waits until the proxy has processed it.
func (s *smuggling) send(t *testing.T, p *proxy) {
	t.Helper()
	c := p.framed(t, nil)
	defer c.conn.Close()
	s.put(c, 1)
	c.mustSend()
	// Streams may be served in any order, but a PING is answered after all frames before it were read.
	c.raw(http2.FramePing, 0, 0, "awaited!")
	_ = c.send()
	c.within(patience, func() bool { return c.pongs > 0 })
	c.mu.Lock()
	over := c.over
	c.mu.Unlock()
	if over != nil {
		if !s.wrong {
			t.Errorf("the connection ended with error %v, GOAWAY %v", over, c.goAways)
		}
		return
	}
	if s.want != "" && !s.any {
		c.expectStatus(1, "200")
	} else if len(s.headFields()) > 0 && (!s.open || s.extra != nil) {
		c.within(patience, func() bool {
			m := c.streams[1]
			return m != nil && (m.ended || m.reset) || strings.Contains(s.name, "cut")
		})
	}
}

// A host of HTTP/1 takes no part of an HTTP/2 request for another request.
func TestHTTP2SmugglingToHTTP1(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	h := startRecorder(t)
	p := startHTTP2(t, "", setup{hosts: []endpoint{h.endpoint}, settings: settings{"upstream_keepalive": 0, "forwarded_headers": false, "reactors_num": 1}})
	for _, s := range smugglings {
		t.Run(s.name, func(t *testing.T) {
			h.begin(nil)
			s.send(t, p)
			c := p.framed(t, nil)
			c.get(1, "/afterwards").mustSend()
			c.expectStatus(1, "200")
			h.hangUp()
			var got []string
			for _, text := range h.all() {
				got = append(got, plainRequests(text)...)
			}
			s.verify(t, got, "")
		})
	}
}

// Nor does a host of HTTP/2.
func TestHTTP2SmugglingToHTTP2(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	h := startFramedHost(t, nil, nil, answerHello)
	p := startHTTP2(t, plainHTTP2, setup{hosts: []endpoint{h.endpoint}, settings: settings{"forwarded_headers": false, "reactors_num": 1}})
	for _, s := range smugglings {
		t.Run(s.name, func(t *testing.T) {
			h.forget()
			s.send(t, p)
			c := p.framed(t, nil)
			c.get(1, "/afterwards").mustSend()
			c.expectStatus(1, "200")
			s.verify(t, h.requests(), s.kept)
		})
	}
}

// fromHTTP1 are requests of HTTP/1 that would mean something else as HTTP/2 if they were copied unchanged.
var fromHTTP1 = []httpCase{
	refusal(400, getHead+":path: /smuggled\r\n\r\n"),
	refusal(400, getHead+":method: POST\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\n:authority: q\r\nHost: p\r\n\r\n"),
	refusal(400, "GET / HTTP/1.1\r\nHost: p\r\n :path: /smuggled\r\n\r\n"),
	relayed(getHead+"X-UPPER: Case\r\n\r\n", getHead+"x-upper: Case\r\n\r\n"),
	relayed(getHead+"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n", getRequest).under("an upgrade to h2c"),
	relayed(getHead+"Connection: x-a\r\nX-A: 1\r\nKeep-Alive: 1\r\nProxy-Connection: close\r\n\r\n", getRequest),
	relayed(getHead+"TE: trailers\r\nConnection: te\r\n\r\n", getHead+"te: trailers\r\n\r\n"),
	relayed(getHead+"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", getRequest).under("an upgrade that HTTP/2 does not have"),
	relayed(chunkedHead+inChunk(smuggled), chunkedHead+inChunk(smuggled)).under("a request as a body"),
	relayed(chunkedHead+"18\r\n"+http2.ClientPreface+"\r\n0\r\nX-Sum: 1\r\nTe: trailers\r\n\r\n", chunkedHead+"18\r\n"+http2.ClientPreface+"\r\n0\r\nX-Sum: 1\r\n\r\n").under("trailers"),
	badChunk("1\r\na\r\n0\r\n:path: /smuggled\r\n\r\n").under("a pseudo-header field in trailers"),
	relayed(getHead+"Cookie: a=b\r\nCookie: c=d\r\n\r\n", getHead+"Cookie: a=b\r\nCookie: c=d\r\n\r\n").under("two cookies"),
	relayed("GET http://q/x HTTP/1.1\r\nHost: p\r\n\r\n", "GET /x HTTP/1.1\r\nHost: q\r\n\r\n"),
	refusal(431, getHead+"X: "+strings.Repeat("a", 33<<10)+"\r\n\r\n").under("a long head"),
}

// Requests that are malformed as HTTP/1 reach no host of HTTP/2; all others mean the same there.
func TestHTTP1SmugglingToHTTP2(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	h := startFramedHost(t, nil, nil, answerHello)
	p := startHTTP2(t, plainHTTP2, setup{hosts: []endpoint{h.endpoint}, settings: settings{"forwarded_headers": false, "reactors_num": 1}})
	for _, c := range slices.Concat(framingCases, chunkCases, headCases, hopCases, fromHTTP1) {
		name := c.name
		if name == "" {
			name = fmt.Sprintf("%.80q", c.in)
		}
		if len(c.host) > 1 || c.half || c.script != nil || c.status != 0 && c.out != "" || strings.HasPrefix(c.in, "TRACE") || c.in == http2.ClientPreface {
			continue // such a case is not about one whole request
		}
		t.Run(name, func(t *testing.T) {
			h.forget()
			conn := p.dial()
			defer conn.Close()
			send(t, conn, c.in)
			in := bufio.NewReader(conn)
			if c.status != 0 {
				expectStatus(t, in, c.status)
			} else if res, body := reply(t, in, http.MethodGet); res.StatusCode != 200 || body != "hello" {
				t.Errorf("the client got status %d, body %q", res.StatusCode, body)
			}
			_ = conn.Close()
			end := p.dial()
			send(t, end, "GET /afterwards HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n")
			expectStatus(t, bufio.NewReader(end), 200)
			s := smuggling{want: strings.Join(c.host, "")}
			s.verify(t, h.requests(), s.kept)
		})
	}
}
