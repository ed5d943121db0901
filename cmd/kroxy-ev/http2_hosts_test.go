package main_test

import (
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// badHostCase is what a host of HTTP/2 does when it gets a request for /bad. It answers all other requests with hello.
type badHostCase struct {
	name  string
	begin func(c *framed)                // instead of its settings
	do    func(c *framed, stream uint32) // instead of an answer; a failure to send does not matter
	want  []string                       // what a client may get for it, as seenMessage returns it
}

// endlessly sends something many times, until the other end has had enough.
func endlessly(each func(c *framed, stream uint32)) func(c *framed, stream uint32) {
	return func(c *framed, stream uint32) {
		for range 2000 {
			for range 20 {
				each(c, stream)
			}
			if c.send() != nil {
				return
			}
		}
	}
}

var refusedOrLate = []string{"502", "504", cutOff}

var badHostCases = []badHostCase{
	{name: "interim answers without end", want: refusedOrLate, do: endlessly(func(c *framed, stream uint32) { c.head(stream, false, ":status", "103", "link", "a") })},
	{name: "settings without end", want: refusedOrLate, do: endlessly(func(c *framed, _ uint32) { c.raw(http2.FrameSettings, 0, 0, setting(4, 100)) })},
	{name: "pings without end", want: refusedOrLate, do: endlessly(func(c *framed, _ uint32) { c.raw(http2.FramePing, 0, 0, "12345678") })},
	{name: "frames of an unknown type without end", want: refusedOrLate, do: endlessly(func(c *framed, stream uint32) { c.raw(0xbe, 0, stream, "abc") })},
	{name: "empty data without end", want: refusedOrLate, do: func(c *framed, stream uint32) {
		c.head(stream, false, ok()...)
		endlessly(func(c *framed, stream uint32) { c.data(stream, false, "") })(c, stream)
	}},
	{name: "padding without end", want: refusedOrLate, do: func(c *framed, stream uint32) {
		c.head(stream, false, ok()...)
		endlessly(func(c *framed, stream uint32) { c.raw(http2.FrameData, http2.FlagDataPadded, stream, "\x01\x00") })(c, stream)
	}},
	{name: "a head without end", want: refusedOrLate, do: func(c *framed, stream uint32) {
		c.raw(http2.FrameHeaders, 0, stream, "\x88")
		endlessly(func(c *framed, stream uint32) { c.raw(http2.FrameContinuation, 0, stream, "\x00\x01x\x01y") })(c, stream)
	}},
	{name: "resets without end", want: append(refusedOrLate, "503"), do: endlessly(func(c *framed, stream uint32) { c.rst(stream, http2.ErrCodeCancel) })},
	{name: "GOAWAY without end", want: refusedOrLate, do: endlessly(func(c *framed, stream uint32) {
		c.put(func(w *http2.Framer) error { return w.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil) })
	})},
	{name: "more data than the window", want: refusedOrLate, do: func(c *framed, stream uint32) {
		c.head(stream, false, ok()...)
		for range 200 {
			c.data(stream, false, strings.Repeat("x", 16384))
		}
		_ = c.send()
	}},
	{name: "a window of the connection above all", want: refusedOrLate, do: func(c *framed, _ uint32) { c.window(0, 1<<31-1); _ = c.send() }},
	{name: "a window of the stream above all", want: refusedOrLate, do: func(c *framed, stream uint32) { c.window(stream, 1<<31-1); _ = c.send() }},
	{name: "no increment", want: refusedOrLate, do: func(c *framed, stream uint32) { c.window(stream, 0); _ = c.send() }},
	{name: "a promise", want: refusedOrLate, do: func(c *framed, stream uint32) {
		c.raw(http2.FramePushPromise, 4, stream, u32(2)+"\x82\x84\x86")
		_ = c.send()
	}},
	{name: "data on a stream that nobody began", want: refusedOrLate, do: func(c *framed, stream uint32) { c.data(stream+100, true, hello); _ = c.send() }},
	{name: "data on a stream that is over", want: append(refusedOrLate, "200 "), do: func(c *framed, stream uint32) {
		c.head(stream, true, ok()...)
		for range 1000 {
			c.data(stream, false, hello)
		}
		_ = c.send()
	}},
	{name: "heads on streams that are over", want: append(refusedOrLate, "200 "), do: func(c *framed, stream uint32) {
		c.head(stream, true, ok()...)
		endlessly(func(c *framed, stream uint32) { c.head(stream, true, ok()...) })(c, stream)
	}},
	{name: "references to a large entry", want: refusedOrLate, do: func(c *framed, stream uint32) {
		c.rawHead(stream, true, []byte("\x88"+added+strings.Repeat(refers, 12_000)))
		_ = c.send()
	}},
	{name: "a head of a thousand fields", want: refusedOrLate, do: func(c *framed, stream uint32) {
		c.rawHead(stream, true, []byte("\x88"+strings.Repeat("\x00\x01x\x01y", 1000)))
		_ = c.send()
	}},
	{name: "a block that cannot be decoded", want: refusedOrLate, do: func(c *framed, stream uint32) { c.rawHead(stream, true, []byte{0x88, 0x80}); _ = c.send() }},
	{name: "noise", want: refusedOrLate, do: func(c *framed, _ uint32) { c.out.Lock(); c.pending.Write(noise[:64<<10]); c.out.Unlock(); _ = c.send() }},
	{name: "silence", want: refusedOrLate, do: func(*framed, uint32) {}},
	{name: "half a head", want: refusedOrLate, do: func(c *framed, stream uint32) { c.raw(http2.FrameHeaders, 0, stream, "\x88"); _ = c.send() }},
	{name: "the end of the connection", want: refusedOrLate, do: func(c *framed, _ uint32) { _ = c.conn.Close() }},
	{name: "no settings", want: refusedOrLate, begin: func(*framed) {}},
	{name: "HTTP/1.1", want: refusedOrLate, begin: func(c *framed) { _, _ = io.WriteString(c.conn, hello) }},
	{name: "no streams", want: append(refusedOrLate, "503"), begin: func(c *framed) {
		_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		_ = c.send()
	}},
	{name: "GOAWAY at once", want: append(refusedOrLate, "503"), begin: func(c *framed) {
		_ = c.framer.WriteSettings()
		_ = c.framer.WriteGoAway(0, http2.ErrCodeNo, nil)
		_ = c.send()
	}},
	{name: "settings that are wrong", want: refusedOrLate, begin: func(c *framed) {
		_ = c.framer.WriteSettings(http2.Setting{ID: initialWindow, Val: 1 << 31})
		_ = c.send()
	}},
	{name: "every stream is refused", want: append(refusedOrLate, "503"), do: func(c *framed, stream uint32) { c.rst(stream, http2.ErrCodeRefusedStream); _ = c.send() }},
	{name: "GOAWAY for each request", want: append(refusedOrLate, "503"), do: func(c *framed, stream uint32) {
		c.put(func(w *http2.Framer) error { return w.WriteGoAway(0, http2.ErrCodeNo, nil) })
		_ = c.send()
	}},
}

// Whatever a host of HTTP/2 does, its clients get an answer, clients of other hosts are served, memory stays bounded, and no socket is left behind.
func TestHTTP2MaliciousHosts(t *testing.T) {
	skipUnderRace(t, "it takes long, and shows no data races that other tests of HTTP/2 do not")
	forEachLimited(badHostCases, func(m badHostCase) { t.Run(m.name, m.run) })
}

func (m *badHostCase) run(t *testing.T) { leastGrowth(t, m.attempt) }

// attempt runs the case on a proxy and a host of its own, and returns by how many KiB the proxy has grown.
func (m *badHostCase) attempt(t *testing.T) (grown int) {
	v := newAttackedHosts(t)
	var asked atomic.Int64
	h := startFramedHost(t, nil, m.begin, func(c *framed, req *message) {
		asked.Add(1)
		if m.do == nil {
			answerHello(c, req)
			return
		}
		m.do(c, req.stream)
	})
	port := reservePort(t)
	p := startOn(t, port, setup{mode: "http", hosts: endpoints(v.httpHost), settings: http2Settings(port, settings{
		"servers": settings{
			"backend": settings{"hosts": endpoints(v.httpHost)},
			"bad":     settings{"hosts": []endpoint{h.endpoint}, "protocol": plainHTTP2, "connect_timeout": 1000},
		},
		"routes": []settings{{"match": settings{"path": "/bad"}, "proxy_to": "bad", "proxy_read_timeout": 1000, "proxy_send_timeout": 1000}, {"proxy_to": "backend"}},
	})})
	sockets := p.sockets()
	for range 2 {
		b := p.startGoodClient(t)
		time.Sleep(100 * time.Millisecond)
		b.end(t)
	}
	memory := p.status("VmRSS")
	top := p.highWater()
	b := p.startGoodClient(t)
	c := p.framed(t, nil)
	for n := range 5 {
		c.get(streamID(n), "/bad").mustSend()
		if saw := seenMessage(c.response(streamID(n))); !slices.Contains(m.want, saw) && !strings.HasPrefix(saw, "50") {
			t.Errorf("the client got %.100q, want one of %q", saw, m.want)
		}
	}
	_ = c.conn.Close()
	b.end(t)
	grown = top() - memory
	if n := asked.Load(); n > 50 {
		t.Errorf("the host got %d requests", n)
	}
	for _, c := range h.connections() {
		_ = c.conn.Close()
	}
	p.awaitSockets(t, "the sockets are closed", func(n int) bool { return n-int(v.open.Load()) <= sockets })
	t.Logf("%d requests of good clients, the longest took %v; grew by %d KiB; the host got %d requests", b.asked, b.longest.Round(10*time.Microsecond), grown, asked.Load())
	return grown
}
