package main_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// Limits on what one client may do to other clients and to the machine.
const (
	longestWait     = 10 * time.Second // for a request of another client while attacks run in parallel on a busy machine; usually it takes some milliseconds
	attackMemory    = 10 << 10         // KiB by which the process may grow
	attackers       = 3                // connections, one after the other
	parallelAttacks = 4                // attacks that run in parallel, each on a process of its own
	maxHits         = 400              // requests that one connection may make a host process in vain
)

// attack is what the client of one connection does to the proxy.
type attack struct {
	name  string
	do    func(c *framed)                          // sends everything; a failure to send does not matter
	each  func(c *framed, n int)                   // instead of do: sends one frame or request; it is called many times
	many  int                                      // 0: once
	codes []http2.ErrCode                          // the error codes with which the connection may end; nil: any, or it need not end
	check func(t *testing.T, a *attack, c *framed) // instead of codes
	begin func(p *proxy, t *testing.T) *framed     // instead of a client that has sent its preface
	open  []http2.Setting                          // the client's SETTINGS
	asks  int                                      // how many streams must end, if check is streamsEnd
	once  bool                                     // by one attacker only
	mute  bool                                     // after the preface the attacker reads nothing
	keys  settings
}

var (
	calm     = []http2.ErrCode{http2.ErrCodeEnhanceYourCalm}
	calmOr   = func(more ...http2.ErrCode) []http2.ErrCode { return append(more, http2.ErrCodeEnhanceYourCalm) }
	protocol = []http2.ErrCode{http2.ErrCodeProtocol}
	flow     = []http2.ErrCode{http2.ErrCodeFlowControl}
	size     = []http2.ErrCode{http2.ErrCodeFrameSize}
	coding   = []http2.ErrCode{http2.ErrCodeCompression}
	// eachReset are the codes that may end a connection whose streams are reset one by one: an error of the connection is as good as too many stream errors.
	eachReset = []http2.ErrCode{http2.ErrCodeEnhanceYourCalm, http2.ErrCodeProtocol, http2.ErrCodeFlowControl, http2.ErrCodeStreamClosed, http2.ErrCodeFrameSize}
)

// streamID returns the id of a client's nth stream.
func streamID(n int) uint32 { return uint32(2*n + 1) }

func u32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

func setting(id http2.SettingID, value uint32) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(id))) + u32(value)
}

// requestFloods are attacks by requests, or frames that resemble them, that are not carried out.
var requestFloods = []attack{
	{name: "rapid reset", many: 2000, codes: calm, each: func(c *framed, n int) { c.get(streamID(n), "/slow").rst(streamID(n), http2.ErrCodeCancel) }},
	{name: "rapid reset of uploads", many: 2000, codes: calm, each: func(c *framed, n int) {
		c.post(streamID(n), "/slow").data(streamID(n), false, "x").rst(streamID(n), http2.ErrCodeCancel)
	}},
	{name: "rapid reset once the answer has begun", many: 2000, codes: calm, each: func(c *framed, n int) {
		c.get(streamID(n), "/large").window(streamID(n), 1).rst(streamID(n), http2.ErrCodeCancel)
	}},
	{name: "rapid reset of what is over", many: 2000, codes: calmOr(http2.ErrCodeProtocol, http2.ErrCodeStreamClosed), each: func(c *framed, n int) {
		c.get(streamID(n), "/slow").rst(streamID(n), http2.ErrCodeCancel).rst(streamID(n), http2.ErrCodeCancel).rst(streamID(n), http2.ErrCodeCancel)
	}},
	{name: "made you reset: window overflow", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.post(streamID(n), "/slow").window(streamID(n), 1<<31-1)
	}},
	{name: "made you reset: no increment", many: 2000, codes: eachReset, each: func(c *framed, n int) { c.post(streamID(n), "/slow").window(streamID(n), 0) }},
	{name: "made you reset: data behind the end", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.get(streamID(n), "/slow").data(streamID(n), false, "x")
	}},
	{name: "made you reset: a head behind the end", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.get(streamID(n), "/slow").get(streamID(n), "/slow")
	}},
	{name: "made you reset: a stream that depends on itself, by PRIORITY", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.get(streamID(n), "/slow").raw(http2.FramePriority, 0, streamID(n), u32(streamID(n))+"\x10")
	}},
	{name: "made you reset: a stream that depends on itself, by HEADERS", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		block := c.block(pseudo("GET", "/slow")...)
		c.raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream|http2.FlagHeadersPriority, streamID(n), u32(streamID(n))+"\x10"+string(block))
	}},
	{name: "made you reset: PRIORITY of a wrong size", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.get(streamID(n), "/slow").raw(http2.FramePriority, 0, streamID(n), "abcd")
	}},
	{name: "made you reset: a malformed head", many: 2000, codes: eachReset, each: func(c *framed, n int) { c.get(streamID(n), "/slow", "X", "y") }},
	{name: "made you reset: more than content-length", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.post(streamID(n), "/slow", "content-length", "1").data(streamID(n), false, "abc")
	}},
	{name: "made you reset: less than content-length", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.post(streamID(n), "/slow", "content-length", "9").data(streamID(n), true, "abc")
	}},
	{name: "made you reset: malformed trailers", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.post(streamID(n), "/slow").head(streamID(n), true, ":path", "/")
	}},
	{name: "made you reset: trailers that do not end", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.post(streamID(n), "/slow").head(streamID(n), false, "x", "y")
	}},
	{name: "made you reset: more streams than are allowed", many: 2000, codes: eachReset, each: func(c *framed, n int) { c.get(streamID(n), "/slow") }},
	{name: "made you refuse: a head that is too large", many: 2000, codes: eachReset, each: func(c *framed, n int) {
		c.get(streamID(n), "/slow", slices.Repeat([]string{"x", "y"}, 130)...)
	}},
	{name: "made you refuse: what no host gets", many: 2000, each: func(c *framed, n int) {
		c.head(streamID(n), true, instead(":authority", "p,q")...)
	}},
}

// uselessFrames are attacks by frames without effect.
var uselessFrames = []attack{
	{name: "PING", many: 2000, codes: calm, each: func(c *framed, _ int) { c.raw(http2.FramePing, 0, 0, "12345678") }},
	{name: "answers to no PING", many: 2000, codes: calm, each: func(c *framed, _ int) { c.raw(http2.FramePing, http2.FlagPingAck, 0, "12345678") }},
	{name: "SETTINGS", many: 2000, codes: calm, each: func(c *framed, _ int) { c.raw(http2.FrameSettings, 0, 0, "") }},
	{name: "answers to no SETTINGS", many: 2000, codes: calmOr(http2.ErrCodeProtocol), each: func(c *framed, _ int) { c.raw(http2.FrameSettings, http2.FlagSettingsAck, 0, "") }},
	{name: "large SETTINGS", many: 300, codes: calm, each: func(c *framed, n int) {
		c.raw(http2.FrameSettings, 0, 0, strings.Repeat(setting(http2.SettingInitialWindowSize, uint32(n)), 2730))
	}},
	{name: "SETTINGS that change the windows of many streams", many: 300, codes: calm, each: func(c *framed, n int) {
		if n < 100 {
			c.get(streamID(n), "/large")
		}
		c.raw(http2.FrameSettings, 0, 0, strings.Repeat(setting(http2.SettingInitialWindowSize, 0)+setting(http2.SettingInitialWindowSize, 1<<30), 1000))
	}},
	{name: "SETTINGS that change the table", many: 300, codes: calm, each: func(c *framed, n int) {
		c.raw(http2.FrameSettings, 0, 0, strings.Repeat(setting(http2.SettingHeaderTableSize, 0)+setting(http2.SettingHeaderTableSize, 1<<31-1), 1000))
	}},
	{name: "empty DATA", many: 2000, codes: calm, each: func(c *framed, n int) {
		if n == 0 {
			c.post(1, "/slow")
		}
		c.data(1, false, "")
	}},
	{name: "DATA that is only padding", many: 2000, codes: calmOr(http2.ErrCodeFlowControl), each: func(c *framed, n int) {
		if n == 0 {
			c.post(1, "/sink")
		}
		c.raw(http2.FrameData, http2.FlagDataPadded, 1, "\x80"+strings.Repeat("\x00", 128))
	}},
	{name: "empty heads", many: 2000, codes: calmOr(http2.ErrCodeProtocol), each: func(c *framed, n int) { c.rawHead(streamID(n), true, nil) }},
	{name: "PRIORITY", many: 5000, codes: calm, each: func(c *framed, n int) { c.raw(http2.FramePriority, 0, streamID(n), u32(0)+"\x10") }},
	{name: "priorities by PRIORITY_UPDATE", many: 5000, codes: calm, each: func(c *framed, n int) { c.raw(0x10, 0, 0, u32(streamID(n))+"u=1") }},
	{name: "frames of an unknown type", many: 5000, codes: calm, each: func(c *framed, n int) { c.raw(0xbe, 0xff, 1, "abc") }},
	{name: "large frames of an unknown type", many: 5000, codes: calm, each: func(c *framed, n int) { c.raw(0xbe, 0, 0, strings.Repeat("x", 16384)) }},
	{name: "WINDOW_UPDATE of streams that are over", many: 20_000, each: func(c *framed, n int) {
		if n == 0 {
			c.get(1, "/").mustSend()
			c.response(1)
		}
		c.window(1, 1)
	}},
	{name: "RST_STREAM of streams that are over", many: 5000, codes: calmOr(http2.ErrCodeStreamClosed, http2.ErrCodeProtocol), each: func(c *framed, n int) {
		if n == 0 {
			c.get(1, "/").mustSend()
			c.response(1)
		}
		c.rst(1, http2.ErrCodeCancel)
	}},
	{name: "WINDOW_UPDATE of the connection", many: 20_000, each: func(c *framed, n int) { c.window(0, 1) }},
	{name: "WINDOW_UPDATE of a stream", many: 20_000, each: func(c *framed, n int) {
		if n == 0 {
			c.get(1, "/slow")
		}
		c.window(1, 1)
	}},
	{name: "GOAWAY", many: 5000, each: func(c *framed, n int) {
		c.put(func(w *http2.Framer) error { return w.WriteGoAway(0, http2.ErrCodeNo, make([]byte, 1000)) })
	}},
	{name: "CONTINUATION", many: 5000, codes: calmOr(http2.ErrCodeProtocol), each: func(c *framed, n int) {
		if n == 0 {
			c.raw(http2.FrameHeaders, 0, 1, string(c.block(pseudo("GET", "/")...)))
		}
		c.raw(http2.FrameContinuation, 0, 1, strings.Repeat("\x00\x01x\x01y", 3000))
	}},
	{name: "small CONTINUATION", many: 5000, codes: calmOr(http2.ErrCodeProtocol), each: func(c *framed, n int) {
		if n == 0 {
			c.raw(http2.FrameHeaders, 0, 1, string(c.block(pseudo("GET", "/")...)))
		}
		c.raw(http2.FrameContinuation, 0, 1, "\x00\x01x\x01y")
	}},
	{name: "empty CONTINUATION", many: 5000, codes: calmOr(http2.ErrCodeProtocol), each: func(c *framed, n int) {
		if n == 0 {
			c.raw(http2.FrameHeaders, 0, 1, "")
		}
		c.raw(http2.FrameContinuation, 0, 1, "")
	}},
	{name: "CONTINUATION of a value without end", many: 5000, codes: calmOr(http2.ErrCodeProtocol, http2.ErrCodeCompression), each: func(c *framed, n int) {
		if n == 0 {
			c.raw(http2.FrameHeaders, 0, 1, string(c.block(pseudo("GET", "/")...))+"\x00\x01x\x7f\xff\xff\xff\x07")
		}
		c.raw(http2.FrameContinuation, 0, 1, strings.Repeat("x", 16384))
	}},
}

// violations are attacks by violations of RFC 9113, each sent once.
var violations = []attack{
	{name: "PUSH_PROMISE", codes: protocol, do: func(c *framed) { c.raw(http2.FramePushPromise, 4, 1, u32(2)+string(c.block(pseudo("GET", "/")...))) }},
	{name: "an even stream", codes: protocol, do: func(c *framed) { c.get(2, "/") }},
	{name: "stream 0", codes: protocol, do: func(c *framed) { c.get(0, "/") }},
	{name: "a stream below another", codes: append(protocol, http2.ErrCodeStreamClosed), do: func(c *framed) { c.get(5, "/").get(3, "/") }},
	{name: "a stream again", codes: append(protocol, http2.ErrCodeStreamClosed), do: func(c *framed) {
		c.get(1, "/").mustSend()
		c.response(1)
		c.get(1, "/")
	}},
	{name: "DATA on no stream", codes: protocol, do: func(c *framed) { c.data(0, false, "x") }},
	{name: "DATA on an idle stream", codes: protocol, do: func(c *framed) { c.data(1, false, "x") }},
	{name: "RST_STREAM on an idle stream", codes: protocol, do: func(c *framed) { c.rst(1, http2.ErrCodeCancel) }},
	{name: "WINDOW_UPDATE on an idle stream", codes: protocol, do: func(c *framed) { c.window(1, 1) }},
	{name: "CONTINUATION without HEADERS", codes: protocol, do: func(c *framed) { c.raw(http2.FrameContinuation, 4, 1, "") }},
	{name: "SETTINGS on a stream", codes: protocol, do: func(c *framed) { c.raw(http2.FrameSettings, 0, 1, "") }},
	{name: "SETTINGS of a wrong size", codes: size, do: func(c *framed) { c.raw(http2.FrameSettings, 0, 0, "abcde") }},
	{name: "an answer to SETTINGS with settings", codes: size, do: func(c *framed) { c.raw(http2.FrameSettings, 1, 0, setting(4, 1)) }},
	{name: "a window above all in SETTINGS", codes: flow, do: func(c *framed) { c.raw(http2.FrameSettings, 0, 0, setting(4, 1<<31)) }},
	{name: "a frame size below all in SETTINGS", codes: protocol, do: func(c *framed) { c.raw(http2.FrameSettings, 0, 0, setting(5, 100)) }},
	{name: "a push in SETTINGS", codes: protocol, do: func(c *framed) { c.raw(http2.FrameSettings, 0, 0, setting(2, 2)) }},
	{name: "PING of a wrong size", codes: size, do: func(c *framed) { c.raw(http2.FramePing, 0, 0, "abc") }},
	{name: "PING on a stream", codes: protocol, do: func(c *framed) { c.raw(http2.FramePing, 0, 1, "12345678") }},
	{name: "GOAWAY on a stream", codes: protocol, do: func(c *framed) { c.raw(http2.FrameGoAway, 0, 1, "12345678") }},
	{name: "RST_STREAM of a wrong size", codes: size, do: func(c *framed) { c.get(1, "/slow").raw(http2.FrameRSTStream, 0, 1, "abc") }},
	{name: "WINDOW_UPDATE of a wrong size", codes: size, do: func(c *framed) { c.raw(http2.FrameWindowUpdate, 0, 0, "abc") }},
	{name: "no increment for the connection", codes: protocol, do: func(c *framed) { c.window(0, 0) }},
	{name: "a window of the connection above all", codes: flow, do: func(c *framed) { c.window(0, 1<<31-1) }},
	{name: "SETTINGS that bring a window above all", codes: flow, do: func(c *framed) {
		c.get(1, "/slow").window(1, 1<<31-1-65535).raw(http2.FrameSettings, 0, 0, setting(4, 1<<31-1))
	}},
	{name: "a large frame", codes: size, do: func(c *framed) { c.get(1, "/slow").raw(http2.FrameData, 0, 1, strings.Repeat("x", 16385)) }},
	{name: "the largest frame", codes: size, do: func(c *framed) { c.post(1, "/slow").raw(0xbe, 0, 1, strings.Repeat("x", 1<<24-1)) }},
	{name: "padding above the frame, in DATA", codes: protocol, do: func(c *framed) { c.post(1, "/slow").raw(http2.FrameData, 8, 1, "\xffabc") }},
	{name: "padding above the frame, in HEADERS", codes: protocol, do: func(c *framed) { c.raw(http2.FrameHeaders, 8|5, 1, "\xff\x82") }},
	{name: "an index of no field", codes: coding, do: func(c *framed) { c.rawHead(1, true, []byte{0xff, 0xff, 0x7f}) }},
	{name: "index 0", codes: coding, do: func(c *framed) { c.rawHead(1, true, []byte{0x80}) }},
	{name: "an endless integer", codes: coding, do: func(c *framed) { c.rawHead(1, true, []byte("\xff"+strings.Repeat("\xff", 16000))) }},
	{name: "a table above the limit", codes: coding, do: func(c *framed) { c.rawHead(1, true, []byte{0x3f, 0xff, 0xff, 0xff, 0x07}) }},
	{name: "a string that is cut", codes: coding, do: func(c *framed) { c.rawHead(1, true, []byte("\x00\x05x")) }},
	{name: "a string of wrong bits", codes: coding, do: func(c *framed) { c.rawHead(1, true, []byte("\x00\x84\xff\xff\xff\xff\x00")) }},
	{name: "a change of the table amid a block", codes: coding, do: func(c *framed) { c.rawHead(1, true, []byte("\x82\x40\x01x\x01y\x20")) }},
	{name: "noise", do: func(c *framed) { c.out.Lock(); c.pending.Write(noise[:1<<20]); c.out.Unlock() }},
	{name: "HTTP/1.1", do: func(c *framed) { c.out.Lock(); c.pending.WriteString(strings.Repeat(getRequest, 100)); c.out.Unlock() }},
}

// added adds a field to the dynamic table; refers is a reference to that field as long as no other is added.
var (
	added  = "\x40\x01x\x7f" + string([]byte{0xa1, 0x1e}) + strings.Repeat("b", 4000) // 127 + 0x21 + 0x1e<<7
	refers = "\xbe"
)

// literal encodes a string for HPACK, without Huffman coding.
func literal(s string) string {
	n, length := len(s), ""
	if n < 127 {
		return string([]byte{byte(n)}) + s
	}
	for n -= 127; n >= 128; n >>= 7 {
		length += string([]byte{byte(n) | 128})
	}
	return "\x7f" + length + string([]byte{byte(n)}) + s
}

// slowGet is a request for /slow that neither uses nor changes the dynamic table.
var slowGet = "\x82\x86\x04" + literal("/slow") + "\x01" + literal("p")

// headBombs are heads that are larger than they look. Each stream may be answered with 431 or be reset; no other result is allowed.
var headBombs = []attack{
	{name: "references to a large entry", many: 100, each: func(c *framed, n int) {
		c.rawHead(streamID(n), true, []byte(slowGet+added+strings.Repeat(refers, 12_000)))
	}},
	{name: "references to a large entry, in eight CONTINUATION", many: 50, each: func(c *framed, n int) {
		c.raw(http2.FrameHeaders, 1, streamID(n), slowGet+added)
		for i := range 8 {
			c.raw(http2.FrameContinuation, http2.Flags(4*(i/7)), streamID(n), strings.Repeat(refers, 16384))
		}
	}},
	{name: "references up to the limit", many: 100, once: true, each: func(c *framed, n int) {
		c.rawHead(streamID(n), true, []byte(slowGet+added+strings.Repeat(refers, 6)))
	}},
	{name: "crumbs of cookies", many: 200, each: func(c *framed, n int) {
		c.rawHead(streamID(n), true, []byte(slowGet+strings.Repeat("\xa0", 16_000)))
	}},
	{name: "crumbs of cookies from the table", many: 200, each: func(c *framed, n int) {
		c.rawHead(streamID(n), true, []byte(slowGet+"\x60\x7f\xa1\x1e"+strings.Repeat("b", 4000)+strings.Repeat(refers, 12_000)))
	}},
	{name: "fields without anything", many: 200, each: func(c *framed, n int) {
		c.rawHead(streamID(n), true, []byte(slowGet+strings.Repeat("\x00\x00\x00", 5000)))
	}},
	{name: "changes of the table", many: 200, each: func(c *framed, n int) {
		c.rawHead(streamID(n), true, []byte(strings.Repeat("\x20\x3f\xe1\x1f", 4000)+"\x82\x84\x86\x41\x01p"))
	}},
	{name: "entries that are replaced", many: 200, each: func(c *framed, n int) {
		c.rawHead(streamID(n), true, []byte(slowGet+strings.Repeat("\x40\x01x\x01y", 3000)))
	}},
	{name: "strings that grow", many: 200, each: func(c *framed, n int) { // the shortest Huffman codes have 5 bits
		c.rawHead(streamID(n), true, []byte(slowGet+"\x00\x01x\xff\xed\x7c"+strings.Repeat("\x18\xc6\x31\x8c\x63", 3200)+strings.Repeat("\x18\xc6\x31\x8c\x63", 1)))
	}},
	{name: "heads in pieces, of many sizes", many: 100, each: func(c *framed, n int) {
		c.raw(http2.FrameHeaders, 1, streamID(n), slowGet)
		c.raw(http2.FrameContinuation, 0, streamID(n), "\x00\x01x"+literal(strings.Repeat("a", 16000*(n+1)/100)))
		c.raw(http2.FrameContinuation, 4, streamID(n), "\x00\x01y"+literal(strings.Repeat("b", 100*n)))
	}},
	{name: "the largest heads, all at once", many: 100, once: true, each: func(c *framed, n int) {
		c.get(streamID(n), "/slow", "x", strings.Repeat("a", 30<<10))
	}},
	{name: "the largest heads with the most fields, all at once", many: 100, once: true, each: func(c *framed, n int) {
		c.post(streamID(n), "/slow", slices.Repeat([]string{"x", strings.Repeat("a", 200)}, 120)...)
	}},
}

// shortTimeouts are short timeouts, for a proxy whose clients are slow.
var shortTimeouts = settings{"send_timeout": 700, "client_header_timeout": 700, "client_body_timeout": 700, "keepalive_timeout": 700}

// sentOnly returns a begin function for a client that has sent nothing but text.
func sentOnly(text string) func(p *proxy, t *testing.T) *framed {
	return func(p *proxy, t *testing.T) *framed {
		c := newFramed(t, p.dial())
		c.silent = true
		c.pending.WriteString(text)
		_ = c.send()
		go c.read()
		return c
	}
}

// connectionEnds demands that the connection ends, in any way.
func connectionEnds(t *testing.T, _ *attack, c *framed) {
	t.Helper()
	if codes, over := c.goAway(patience); !over {
		t.Errorf("the connection did not end; GOAWAY so far: %v", codes)
	}
	c.expectNotLate(t)
}

// streamsEnd demands that all streams end, if only because the connection ends.
func streamsEnd(t *testing.T, a *attack, c *framed) {
	t.Helper()
	over := func() bool {
		n := 0
		for _, m := range c.order {
			if m.ended || m.reset {
				n++
			}
		}
		return n == a.asks || c.over != nil
	}
	if !c.within(patience, over) && c.over == nil {
		t.Error("some streams did not end")
	}
	c.expectNotLate(t)
}

const initialWindow = http2.SettingInitialWindowSize

// slowClients are attacks by clients that read or send little or nothing.
var slowClients = []attack{
	{name: "half a preface", keys: shortTimeouts, begin: sentOnly(http2.ClientPreface[:14]), check: connectionEnds},
	{name: "a preface and nothing more", keys: shortTimeouts, begin: sentOnly(http2.ClientPreface), check: connectionEnds},
	{name: "a preface and half a frame", keys: shortTimeouts, begin: sentOnly(http2.ClientPreface + "\x00\x00\x06\x04"), check: connectionEnds},
	{name: "no request", keys: shortTimeouts, do: func(*framed) {}, check: connectionEnds},
	{name: "half a head", keys: shortTimeouts, do: func(c *framed) { c.raw(http2.FrameHeaders, 1, 1, "\x82") }, check: connectionEnds},
	{name: "half a frame", keys: shortTimeouts, do: func(c *framed) {
		c.out.Lock()
		c.pending.WriteString("\x00\x00\x40\x01\x05\x00\x00\x00\x01\x82")
		c.out.Unlock()
	}, check: connectionEnds},
	{name: "a head in drops", keys: shortTimeouts, check: connectionEnds, do: func(c *framed) {
		c.raw(http2.FrameHeaders, 1, 1, "\x82")
		for c.send() == nil {
			time.Sleep(200 * time.Millisecond)
			c.raw(http2.FrameContinuation, 0, 1, "\x86")
		}
	}},
	{name: "PING and no request", keys: shortTimeouts, check: connectionEnds, do: func(c *framed) {
		for c.send() == nil {
			time.Sleep(200 * time.Millisecond)
			c.raw(http2.FramePing, 0, 0, "12345678")
		}
	}},
	{name: "a body that does not come", keys: shortTimeouts, asks: 1, check: streamsEnd, do: func(c *framed) { c.post(1, "/sink", "content-length", "9") }},
	{name: "100 bodies that do not come", keys: shortTimeouts, asks: 100, check: streamsEnd, do: func(c *framed) {
		for n := range 100 {
			c.post(streamID(n), "/sink").data(streamID(n), false, "x")
		}
	}},
	{name: "60 bodies that stop", keys: shortTimeouts, asks: 60, check: streamsEnd, do: func(c *framed) {
		for n := range 60 {
			c.post(streamID(n), "/slow").data(streamID(n), false, strings.Repeat("x", 16384))
		}
	}},
	{name: "one answer that is not taken", keys: shortTimeouts, open: []http2.Setting{{ID: initialWindow, Val: 0}}, asks: 1, check: streamsEnd, do: func(c *framed) { c.get(1, "/large") }},
	{name: "100 answers that are not taken", keys: shortTimeouts, open: []http2.Setting{{ID: initialWindow, Val: 0}}, asks: 100, check: streamsEnd, do: func(c *framed) {
		for n := range 100 {
			c.get(streamID(n), "/large")
		}
	}},
	{name: "100 answers, each taken by a byte", keys: shortTimeouts, open: []http2.Setting{{ID: initialWindow, Val: 1}}, asks: 100, check: streamsEnd, do: func(c *framed) {
		for n := range 100 {
			c.get(streamID(n), "/large")
		}
	}},
	{name: "100 answers that the connection's window is too small for", keys: shortTimeouts, open: []http2.Setting{{ID: initialWindow, Val: 1 << 30}}, asks: 100, check: streamsEnd, do: func(c *framed) {
		c.stingy = true
		for n := range 100 {
			c.get(streamID(n), "/large")
		}
	}},
	{name: "window drip", keys: shortTimeouts, open: []http2.Setting{{ID: initialWindow, Val: 1}}, asks: 1, check: streamsEnd, do: drip(100 * time.Millisecond)},
	{name: "fast window drip", keys: shortTimeouts, open: []http2.Setting{{ID: initialWindow, Val: 1}}, asks: 1, check: streamsEnd, do: drip(2 * time.Millisecond)},
	{name: "100 answers, and nothing is read", keys: shortTimeouts, mute: true, open: []http2.Setting{{ID: initialWindow, Val: 1 << 30}}, do: func(c *framed) {
		c.window(0, 1<<30)
		for n := range 100 {
			c.get(streamID(n), "/large")
		}
	}},
	{name: "small requests, and nothing is read", keys: shortTimeouts, mute: true, do: func(c *framed) {
		for n := 0; c.send() == nil; n++ {
			c.get(streamID(n), "/")
		}
	}},
	{name: "PING, and nothing is read", keys: shortTimeouts, mute: true, do: func(c *framed) {
		for c.send() == nil {
			c.raw(http2.FramePing, 0, 0, "12345678")
		}
	}},
	{name: "uploads, and nothing is read", keys: shortTimeouts, mute: true, do: func(c *framed) {
		for n := 0; c.send() == nil; n++ {
			c.post(streamID(n), "/sink", "content-length", "1").data(streamID(n), true, "x")
		}
	}},
}

// drip is a client that reads a large response byte by byte.
func drip(pause time.Duration) func(c *framed) {
	return func(c *framed) {
		c.stingy = true
		c.get(1, "/large")
		for begin := time.Now(); c.send() == nil && time.Since(begin) < patience; time.Sleep(pause) {
			c.mu.Lock()
			m := c.streams[1]
			done := c.over != nil || m != nil && (m.ended || m.reset)
			c.mu.Unlock()
			if done {
				return
			}
			c.window(1, 1).window(0, 1)
		}
	}
}

// sendAll sends everything that the attacker has to send.
func (a *attack) sendAll(c *framed) {
	if a.do != nil {
		a.do(c)
		_ = c.send()
		return
	}
	for n := range max(a.many, 1) {
		a.each(c, n)
		if c.pending.Len() < 16<<10 && n%50 != 49 && n < a.many-1 {
			continue
		}
		if c.send() != nil {
			return
		}
	}
}

// attackedHosts are hosts that both good and bad clients send requests to.
type attackedHosts struct {
	*httpHost
	hits atomic.Int64 // requests of bad clients
}

func newAttackedHosts(t *testing.T) *attackedHosts {
	t.Helper()
	v := &attackedHosts{}
	large := make([]byte, 256<<10)
	v.httpHost = serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/good" {
			v.hits.Add(1)
		}
		switch req.URL.Path {
		case "/slow":
			<-req.Context().Done()
		case "/large":
			for range 400 {
				if _, err := w.Write(large); err != nil {
					return
				}
			}
		case "/sink":
			_, _ = io.Copy(io.Discard, req.Body)
		default:
			_, _ = io.WriteString(w, "hello")
		}
	})
	return v
}

// goodClient is a well-behaved client that makes one request after another until end is called.
type goodClient struct {
	c       *framed
	stop    chan struct{}
	done    sync.WaitGroup
	asked   int
	longest time.Duration
	failure error
}

func (p *proxy) startGoodClient(t *testing.T) *goodClient {
	t.Helper()
	b := &goodClient{c: p.framedInTime(t), stop: make(chan struct{})}
	b.done.Go(func() {
		for n := 0; b.failure == nil; n++ {
			select {
			case <-b.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			begin := time.Now()
			m, over := b.ask(streamID(n), begin)
			for over { // the proxy closed it as idle, because the machine is busy
				_ = b.c.conn.Close()
				b.c, n = p.framedInTime(t), 0
				m, over = b.ask(streamID(n), begin)
			}
			if m == nil || m.status() != "200" {
				b.failure = fmt.Errorf("a good client's request %d: %v", n, m)
			}
			b.longest = max(b.longest, time.Since(begin))
			b.asked++
		}
	})
	return b
}

// framedInTime is framed for a proxy with short timeouts: it tries again if the proxy has ended the connection before the preface arrived, because the machine
// stands still.
func (p *proxy) framedInTime(t *testing.T, settings ...http2.Setting) *framed {
	t.Helper()
	begin := time.Now()
	c := newFramed(t, p.dial())
	for !c.offerPreface(settings...) && time.Since(begin) < patience {
		_ = c.conn.Close()
		c = newFramed(t, p.dial())
	}
	c.awaitPreface()
	return c
}

// ask makes a request, and reports whether the request has to be repeated on another connection because the proxy had ended this one before the request
// arrived.
func (b *goodClient) ask(stream uint32, begin time.Time) (m *message, over bool) {
	_ = b.c.conn.SetDeadline(begin.Add(patience))
	b.c.get(stream, "/good")
	_ = b.c.send()
	b.c.within(patience, func() bool { m = b.c.streams[stream]; return m != nil && (m.ended || m.reset) })
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	return m, m == nil && slices.ContainsFunc(b.c.goAways, func(f http2.GoAwayFrame) bool { return f.ErrCode == http2.ErrCodeNo && f.LastStreamID < stream })
}

func (b *goodClient) end(t *testing.T) {
	t.Helper()
	close(b.stop)
	b.done.Wait()
	if b.failure != nil {
		t.Errorf("a good client: %v", b.failure)
	}
	if b.longest > longestWait && !raceEnabled {
		t.Errorf("a good client waited %v", b.longest)
	}
	_ = b.c.conn.Close()
}

// highWater samples the process's memory until the returned function is called, which returns the highest value in KiB.
func (p *process) highWater() func() int {
	stop, most := make(chan struct{}), make(chan int)
	go func() {
		top := 0
		for {
			top = max(top, p.status("VmRSS"))
			select {
			case <-stop:
				most <- top
				return
			case <-p.t.Context().Done():
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int {
		close(stop)
		return <-most
	}
}

// leastGrowth runs an attack, and again if the process has grown by more than it may. On a busy machine Go's collector lags behind, and the process grows by
// that: what the attack itself takes it takes each time. Attempt returns by how many KiB the process has grown.
func leastGrowth(t *testing.T, attempt func(t *testing.T) int) {
	t.Helper()
	const tries = 3
	for i := range tries {
		grown := attempt(t)
		if grown <= attackMemory || raceEnabled {
			return
		}
		if i == tries-1 {
			t.Errorf("the process grew by %d KiB", grown)
		}
	}
}

func (a *attack) run(t *testing.T) { leastGrowth(t, a.attempt) }

// attempt runs the attack on a proxy of its own, and returns by how many KiB that has grown.
func (a *attack) attempt(t *testing.T) (grown int) {
	v := newAttackedHosts(t)
	p := startHTTP2(t, "", setup{hosts: endpoints(v.httpHost), settings: a.keys})
	sockets := p.sockets()
	for range 2 { // first let the program allocate what it needs once
		b := p.startGoodClient(t)
		time.Sleep(100 * time.Millisecond)
		b.end(t)
	}
	memory := p.status("VmRSS")
	top := p.highWater()
	b := p.startGoodClient(t)
	begin := time.Now()
	for n := range attackers {
		if a.once && n > 0 {
			break
		}
		var c *framed
		if a.begin != nil {
			c = a.begin(p, t)
		} else {
			c = p.attacker(t, a)
		}
		if a.do != nil || a.each != nil {
			a.sendAll(c)
		}
		a.verify(t, p, c)
		_ = c.conn.Close()
	}
	took := time.Since(begin)
	b.end(t)
	grown = top() - memory
	hits := v.hits.Load()
	if hits > attackers*maxHits && a.codes != nil {
		t.Errorf("%d of the attacker's requests reached the host", hits)
	}
	// Connections to the host are not counted: they may be kept.
	p.awaitSockets(t, "the sockets are closed", func(n int) bool { return n-int(v.open.Load()) <= sockets })
	t.Logf("took %v; %d requests of good clients, the longest took %v; grew by %d KiB; %d hits", took.Round(time.Millisecond), b.asked, b.longest.Round(10*time.Microsecond), grown, hits)
	return grown
}

// attacker connects a client that has sent its preface.
func (p *proxy) attacker(t *testing.T, a *attack) *framed {
	t.Helper()
	if !a.mute {
		return p.framedInTime(t, a.open...)
	}
	c := newFramed(t, p.dial())
	_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
	c.pending.WriteString(http2.ClientPreface)
	_ = c.framer.WriteSettings(a.open...)
	c.mustSend()
	return c
}

// verify demands that the connection ends as it should.
func (a *attack) verify(t *testing.T, p *proxy, c *framed) {
	t.Helper()
	switch {
	case a.mute:
		eventually(t, "the connection is closed", func() bool { return !p.holds(c.conn) })
	case a.check != nil:
		a.check(t, a, c)
	case a.codes != nil:
		c.expectGoAway(a.codes...)
	default: // the connection may stay open, and must then be served
		c.raw(http2.FramePing, 0, 0, "still on")
		_ = c.send()
		c.within(patience, func() bool { return c.pongs > 0 })
	}
}

// holds reports whether the process still has its end of a connection open, from /proc/net/tcp (proc(5)).
func (p *proxy) holds(c net.Conn) bool {
	p.t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		p.t.Fatal(err)
	}
	local, remote := fmt.Sprintf(":%04X", p.port), fmt.Sprintf(":%04X", c.LocalAddr().(*net.TCPAddr).Port)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if strings.HasSuffix(f[1], local) && strings.HasSuffix(f[2], remote) {
			return f[9] != "0" // the inode: 0 once the process has closed the socket
		}
	}
	return false
}

// forEachLimited runs f for each element of list, atOnce at a time. Parallel subtests would be more, and leave good clients too little CPU time.
func forEachLimited[T any](list []T, f func(T)) {
	var all sync.WaitGroup
	turns := make(chan struct{}, parallelAttacks)
	for _, one := range list {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			f(one)
		})
	}
	all.Wait()
}

// Whatever one client does, other clients are served, memory stays bounded, and no socket is left behind.
func TestHTTP2Attacks(t *testing.T) {
	skipUnderRace(t, "it takes long, and shows no data races that other tests of HTTP/2 do not")
	for _, kind := range []struct {
		name     string
		assaults []attack
	}{{"rapidly", requestFloods}, {"idly", uselessFrames}, {"wrongly", violations}, {"bombs", headBombs}, {"slowly", slowClients}} {
		t.Run(kind.name, func(t *testing.T) {
			forEachLimited(kind.assaults, func(a attack) { t.Run(a.name, a.run) })
		})
	}
}
