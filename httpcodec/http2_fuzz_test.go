package httpcodec

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http1/http1test"
)

// witness is a host that answers all requests, and recognizes those that the proxy has not written: the proxy's have exactly
// one X-Via.
type witness struct {
	mu       sync.Mutex
	failures []string
}

func (h *witness) serve(c *net.TCPConn) {
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), endingOf(err) == "reset":
			return
		case err != nil:
			h.fail("no request: " + err.Error())
			return
		}
		if n := len(r.Header["X-Via"]); n != 1 {
			h.fail(fmt.Sprintf("%s %s has %d X-Via", r.Method, r.RequestURI, n))
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			if endingOf(err) != "reset" && !errors.Is(err, io.ErrUnexpectedEOF) {
				h.fail("a body that is malformed: " + err.Error())
			}
			return
		}
		for name := range r.Trailer {
			if http1test.Protected(name) {
				h.fail("trailers tell " + name)
			}
		}
		send(c, okHead+te+"\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", nil)
	}
}

func (h *witness) fail(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures = append(h.failures, why)
}

// FuzzHTTP2Connection sends arbitrary bytes after the preface. The proxy must survive, hosts must receive only requests written
// by the proxy, and the connection must end.
func FuzzHTTP2Connection(f *testing.F) {
	h := &witness{}
	p := startH2C(f, func(s *flat) { s.Policies.Request = http1test.Headers(f, "X-Via", "$request_id") }, enginetest.Accepting(f, enginetest.Loopback, h.serve))
	for _, seed := range connectionSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(enginetest.Patience))
		send(c, xhttp2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"+string(frames), nil)
		_ = c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); err != nil && endingOf(err) != "reset" {
			t.Errorf("the connection does not end: %v", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.failures) > 0 {
			t.Errorf("%q", h.failures)
			h.failures = nil
		}
	})
}

// connectionSeeds has frames of requests of all kinds, and of ways in which they can be wrong.
func connectionSeeds() [][]byte {
	var out strings.Builder
	framer := xhttp2.NewFramer(&out, nil)
	framer.AllowIllegalWrites = true
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	head := func(id uint32, end bool, fields ...string) {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		_ = framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(block.String()), EndStream: end, EndHeaders: true})
	}
	ask := func(id uint32, end bool, method string, fields ...string) {
		head(id, end, append([]string{":method", method, ":scheme", "http", ":authority", "p", ":path", "/"}, fields...)...)
	}
	var seeds [][]byte
	add := func(write func()) {
		out.Reset()
		encoder = hpack.NewEncoder(&block)
		write()
		seeds = append(seeds, []byte(out.String()))
	}
	add(func() {
		ask(1, true, "GET", "cookie", "a=1", "cookie", "b=2")
		ask(3, true, "HEAD")
	})
	add(func() {
		ask(1, false, "POST", "content-length", "5")
		_ = framer.WriteData(1, false, []byte("he"))
		ask(3, true, "GET")
		_ = framer.WriteData(1, true, []byte("llo"))
	})
	add(func() {
		ask(1, false, "PUT", "te", "trailers", "expect", "100-continue")
		_ = framer.WriteDataPadded(1, false, []byte("0\r\n\r\nGET / HTTP/1.1\r\nhost: p\r\n\r\n"), make([]byte, 9))
		head(1, true, "x-sum", "1")
	})
	add(func() {
		ask(1, false, "POST")
		_ = framer.WriteRSTStream(1, xhttp2.ErrCodeCancel)
		_ = framer.WritePing(false, [8]byte{1})
		_ = framer.WriteWindowUpdate(0, 100)
		_ = framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1})
		_ = framer.WriteGoAway(0, xhttp2.ErrCodeNo, nil)
	})
	add(func() {
		ask(1, true, "GET", "transfer-encoding", "chunked")
		ask(3, false, "POST", "content-length", "3")
		_ = framer.WriteData(3, true, []byte("abcd"))
		ask(5, true, "GET", "x", "a\r\nb: c")
		ask(7, true, "CONNECT")
	})
	add(func() {
		ask(1, true, "GET", "x-long", strings.Repeat("a", 5000))
		whole := out.String()
		out.Reset()
		const cut = 3000
		block := whole[9:]
		_ = framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block[:cut]), EndStream: true})
		_ = framer.WriteContinuation(1, true, []byte(block[cut:]))
	})
	return seeds
}
