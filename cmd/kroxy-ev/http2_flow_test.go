package main_test

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// If a host reads nothing of a stream, the proxy accepts no more than the stream's window from the client. A client that sends more has its connection ended.
func TestHTTP2WindowIsKept(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", hold(t))
	p := startHTTP2(t, "", setup{hosts: endpoints(h)})
	c := p.framed(t, nil)
	c.post(1, "/")
	for range 1000 { // more than the kernel's buffers and all windows hold
		c.data(1, false, strings.Repeat("x", 16384))
		if c.send() != nil {
			break
		}
	}
	if m := c.streams; !c.within(patience, func() bool { return c.over != nil || m[1] != nil && m[1].reset }) {
		t.Fatal("a stream can send more than its window")
	}
	if m := c.streams[1]; m != nil && m.reset {
		if m.code != http2.ErrCodeFlowControl {
			t.Errorf("the stream was reset with %v, want FLOW_CONTROL_ERROR", m.code)
		}
		return
	}
	c.expectGoAway(http2.ErrCodeFlowControl)
}

// When a stream is reset, what it occupied of the connection's window is given back, although nobody reads the data.
func TestHTTP2WindowComesBack(t *testing.T) {
	t.Parallel()
	const each = 60_000
	p := startHTTP2(t, "", setup{hosts: []endpoint{blackHole(t)}})
	c := p.framed(t, nil)
	for n := range 90 {
		c.await("there is room in the connection's window", func() bool { return 65535+c.granted >= int64(n+1)*each })
		c.post(streamID(n), "/")
		for left := each; left > 0; left -= 15_000 {
			c.data(streamID(n), false, strings.Repeat("x", 15_000))
		}
		c.rst(streamID(n), http2.ErrCodeCancel).mustSend()
	}
}
