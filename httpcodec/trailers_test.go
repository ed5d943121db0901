package httpcodec

import (
	"cmp"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"kroxy-ev/config"
	"kroxy-ev/engine/enginetest"
)

// Between a client and a host of HTTP/2, trailers after content of a known length are kept, both ways, whether or not they were announced.
func TestTrailersAfterLength(t *testing.T) {
	t.Parallel()
	const request = ":method: POST|:scheme: http|:path: /|content-length: 3 / {abc} / "
	const response = ":status: 200|content-length: 5 / {hello} / "
	refused := func(w *wire) { w.reset(1, xhttp2.ErrCodeRefusedStream) }
	for _, tc := range []struct {
		name    string
		ask     func(w *wire) // after the head of the request
		asked   string
		again   func(w *wire) // what the host does the first time
		reply   func(w *wire, id uint32)
		want    string
		buffer  int
		timeout time.Duration // proxy_read_timeout; zero for a long one
	}{
		{name: "of a response", reply: func(w *wire, id uint32) {
			w.data(id, false, "hello")
			w.head(id, true, "x-sum: 1", "x-more: 2")
		}, want: response + "x-sum: 1|x-more: 2 / end"},
		{name: "of a response, later", reply: func(w *wire, id uint32) {
			w.data(id, false, "hel")
			time.Sleep(20 * time.Millisecond)
			w.data(id, false, "lo")
			time.Sleep(20 * time.Millisecond)
			w.head(id, true, "x-sum: 1")
		}, want: response + "x-sum: 1 / end"},
		{name: "that may not be forwarded", reply: func(w *wire, id uint32) {
			w.data(id, false, "hello")
			w.head(id, true, "set-cookie: a=b")
		}, want: response + "end"},
		{name: "an end of its own", reply: func(w *wire, id uint32) {
			w.data(id, false, "hello")
			time.Sleep(20 * time.Millisecond)
			w.data(id, true, "")
		}, want: response + "end"},
		{name: "no end", reply: func(w *wire, id uint32) { w.data(id, false, "hello") }, want: response + "end", timeout: 2 * time.Second},
		{name: "a reset in place of the end", reply: func(w *wire, id uint32) {
			w.data(id, false, "hello")
			time.Sleep(20 * time.Millisecond)
			w.reset(id, xhttp2.ErrCodeInternal)
		}, want: response + "end"},
		{name: "the connection's end in place of it", reply: func(w *wire, id uint32) {
			w.data(id, false, "hello")
			time.Sleep(20 * time.Millisecond)
			w.conn.Close()
		}, want: response + "end"},
		{name: "more content in place of it", reply: func(w *wire, id uint32) {
			w.data(id, false, "hello")
			time.Sleep(20 * time.Millisecond)
			w.data(id, false, "more")
		}, want: response + "end"},
		{name: "of a request", ask: func(w *wire) {
			w.data(1, false, "abc")
			w.head(1, true, "x-sum: 1")
		}, asked: request + "x-sum: 1 / end"},
		{name: "of a request, later", ask: func(w *wire) {
			w.data(1, false, "a")
			time.Sleep(20 * time.Millisecond)
			w.data(1, false, "bc")
			time.Sleep(20 * time.Millisecond)
			w.head(1, true, "x-sum: 1")
		}, asked: request + "x-sum: 1 / end"},
		{name: "a request with an end of its own", ask: func(w *wire) {
			w.data(1, false, "abc")
			time.Sleep(20 * time.Millisecond)
			w.data(1, true, "")
		}, asked: request + "end"},
		{name: "a client that tells who it is", ask: func(w *wire) {
			w.data(1, false, "abc")
			w.head(1, true, "x-forwarded-for: 1.1.1.1")
		}, asked: request + "end"},
		{name: "of a request that is sent again", buffer: 100, ask: func(w *wire) {
			w.data(1, false, "abc")
			time.Sleep(20 * time.Millisecond)
			w.head(1, true, "x-sum: 1")
		}, again: refused, asked: request + "x-sum: 1 / end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startFrameHost(t)
			p := rig{opts: EntryOptions{Protocols: H2C}}.start(t, overHTTP2(func(s *flat) {
				s.ProxyReadTimeout = cmp.Or(tc.timeout, enginetest.Patience)
				if tc.buffer > 0 {
					s.Retry = config.Retry{Attempts: 1, Buffer: tc.buffer}
				}
			}), h.addr)
			c := p.wire()
			if tc.ask == nil {
				tc.ask, tc.asked = func(w *wire) { w.data(1, true, "abc") }, request+"end"
			}
			if tc.reply == nil {
				tc.reply, tc.want = func(w *wire, id uint32) { w.data(id, true, "hello") }, response+"end"
			}
			c.ask(1, false, "POST", "/", "content-length: 3")
			tc.ask(c)
			w, id := h.accept(), uint32(1)
			if got := w.request(id); got != tc.asked {
				t.Errorf("the host is asked %q, want %q", got, tc.asked)
			}
			if tc.again != nil {
				tc.again(w)
				id = 3
				if got := w.request(id); got != tc.asked {
					t.Errorf("the host is asked again %q, want %q", got, tc.asked)
				}
			}
			w.head(id, false, ":status: 200", "date: t", "content-length: 5")
			tc.reply(w, id)
			if got := c.get(1); got != tc.want {
				t.Errorf("the client gets %q, want %q", got, tc.want)
			}
			c.stillServed(3)
		})
	}
}

// A client that does not end its request is to blame for that, and not the host, which waits for it.
func TestRequestWithoutEnd(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := rig{opts: EntryOptions{Protocols: H2C}}.start(t, overHTTP2(func(s *flat) {
		s.ClientBodyTimeout, s.ProxyReadTimeout = 2*time.Second, time.Second // the client sends its content in time
	}), h.addr)
	c := p.wire()
	c.ask(1, false, "POST", "/", "content-length: 3")
	c.data(1, false, "abc")
	w := h.accept()
	if got, want := w.request(1), ":method: POST|:scheme: http|:path: /|content-length: 3 / {abc} / CANCEL"; got != want {
		t.Errorf("the host is asked %q, want %q", got, want)
	}
	if got := c.get(1); !strings.HasPrefix(got, ":status: 408|") {
		t.Errorf("the client gets %q", got)
	}
}

// Peers of HTTP/1.1 get the content, and no trailers.
func TestTrailersAfterLengthAreDropped(t *testing.T) {
	t.Parallel()
	h := startFrameHost(t)
	p := startProxy(t, overHTTP2(nil), h.addr)
	c := p.dial()
	send(c, getRoot, nil)
	w := h.accept()
	w.asked(1)
	w.head(1, false, ":status: 200", "date: t", "content-length: 5")
	w.data(1, false, "hello")
	w.head(1, true, "x-sum: 1")
	readN(t, c, okHead2+"Content-Length: 5\r\n\r\nhello")
	stillOpen(t, c)
}

// A client that takes long content slowly gets the trailers behind it.
func TestTrailersAfterSlowClient(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 2000)
	h := startFrameHost(t)
	p := rig{opts: EntryOptions{Protocols: H2C}}.start(t, overHTTP2(nil), h.addr)
	c := p.wire(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
	c.slow = 1
	c.ask(1, true, "GET", "/")
	w := h.accept()
	w.asked(1)
	w.head(1, false, ":status: 200", "date: t", "content-length: 32000")
	w.data(1, false, text[:16000])
	w.data(1, false, text[16000:])
	w.head(1, true, "x-sum: 1")
	w.ping()
	for range 10 {
		c.await(func() bool { return c.answer(1).bytes%100 == 0 && c.answer(1).bytes > 0 })
		c.check(c.framer.WriteWindowUpdate(1, 3200))
	}
	if got, want := c.get(1), ":status: 200|content-length: 32000 / {"+text+"} / x-sum: 1 / end"; got != want {
		t.Errorf("got %d bytes: %.60s ... %.40s", len(got), got, got[max(0, len(got)-40):])
	}
}
