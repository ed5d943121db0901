package httpcodec

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http1"
)

func TestContinue(t *testing.T) {
	t.Parallel()
	const body = "abc"
	got := make(chan string, 1)
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		head := postRoot + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
		b := make([]byte, len(head))
		n, _ := io.ReadFull(c, b)
		send(c, "HTTP/1.1 100 Continue\r\n\r\n", nil)
		m, _ := io.ReadFull(c, b[:len(body)])
		got <- string(b[:m]) + " behind " + string(b[m:n])
		send(c, hi, nil)
		enginetest.Hold(c)
	})
	p := startProxy(t, nil, host)
	c := p.dial()
	send(c, postRoot+"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", nil)
	readN(t, c, "HTTP/1.1 100 Continue\r\n\r\n")
	send(c, body, nil)
	readN(t, c, hi)
	stillOpen(t, c)
	if s := <-got; !strings.HasPrefix(s, body) {
		t.Errorf("the host got %q", s)
	}
}

// A host responds early, takes no more and closes: the client gets the response although it keeps sending.
func TestEarlyResponseToABigUpload(t *testing.T) {
	t.Parallel()
	no := "HTTP/1.1 403 No\r\nDate: t\r\nContent-Length: 2\r\n"
	for _, how := range []string{halts, closes} {
		host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			b := make([]byte, 1000)
			_, _ = io.ReadFull(c, b)
			send(c, no+"\r\nno", nil)
			if how == halts {
				_, _ = io.Copy(io.Discard, c)
			}
		})
		p := startProxy(t, nil, host)
		c := p.dial()
		const n = 600_000
		send(c, postRoot+"Content-Length: 10000000\r\n\r\n"+strings.Repeat("a", n), nil)
		if got, end := readAll(c); got != no+"Connection: close\r\n\r\nno" || end != "eof" {
			t.Errorf("%s: got %q, %s", how, got, end)
		}
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	ask := "GET / HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
	switched := "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
	got := make(chan string, 1)
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		b := make([]byte, len(ask))
		_, _ = io.ReadFull(c, b)
		send(c, switched+"first", nil)
		rest, _ := io.ReadAll(c) // until the client half-closes
		got <- string(b) + string(rest)
		send(c, "last", nil)
	})
	p := startProxy(t, nil, host)
	c := p.dial()
	send(c, ask+"before", nil)
	readN(t, c, switched+"first")
	send(c, "after", nil)
	_ = c.CloseWrite()
	if s, how := readAll(c); s != "last" || how != "eof" {
		t.Errorf("the client got %q, %s", s, how)
	}
	if s := <-got; s != ask+"beforeafter" {
		t.Errorf("the host got %q", s)
	}
	awaitActive(t, p, 0)
}

// random returns n bytes in which a wrong order would show.
func random(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

const big = 20 << 20

func TestBigDownload(t *testing.T) {
	t.Parallel()
	content := random(big)
	for name, head := range map[string]string{"length": "Content-Length: 20971520\r\n", "chunked": te, "until close": "Connection: close\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
				send(c, "HTTP/1.1 200 OK\r\n"+head+"\r\n", nil)
				if name == "chunked" {
					w := chunkWriter{c}
					_, _ = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(content)}, make([]byte, 50_000))
					send(c, "0\r\n\r\n", nil)
					enginetest.Hold(c)
				} else {
					_, _ = c.Write(content)
				}
				_ = c.CloseWrite()
			})
			p := startProxy(t, func(s *flat) { s.SendTimeout, s.ProxyReadTimeout = 10*time.Second, 10*time.Second }, host)
			c := p.dial()
			_ = c.SetReadBuffer(256 << 10) // more than a segment of loopback, or the kernel takes its time
			send(c, getRoot, nil)
			checkBody(t, slowReader{c}, content)
		})
	}
}

// checkBody reads a response and compares its body.
func checkBody(t *testing.T, r io.Reader, want []byte) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, res.Body)
	if expect := sha256.Sum256(want); err != nil || n != int64(len(want)) || !bytes.Equal(sum.Sum(nil), expect[:]) {
		t.Errorf("%d bytes, %v; want %d, and the same", n, err, len(want))
	}
}

// chunkWriter writes each write as a chunk.
type chunkWriter struct{ w io.Writer }

func (w chunkWriter) Write(p []byte) (int, error) {
	b := append(http1.AppendChunkHeader(nil, len(p)), p...)
	_, err := w.w.Write(append(b, "\r\n"...))
	return len(p), err
}

// slowReader pauses now and then, so that the writer is always ahead.
type slowReader struct{ r io.Reader }

func (s slowReader) Read(p []byte) (int, error) {
	time.Sleep(50 * time.Microsecond)
	return s.r.Read(p[:min(len(p), 64<<10)])
}

func TestBigUpload(t *testing.T) {
	t.Parallel()
	content := random(big)
	for _, chunked := range []bool{false, true} {
		sum := make(chan [32]byte, 1)
		host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			in := bufio.NewReader(slowReader{c})
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			h := sha256.New()
			_, _ = io.Copy(h, req.Body)
			sum <- [32]byte(h.Sum(nil))
			send(c, hi, nil)
			enginetest.Hold(c)
		})
		p := startProxy(t, func(s *flat) { s.ProxySendTimeout, s.ClientBodyTimeout, s.ProxyReadTimeout = 10e9, 10e9, 10e9 }, host)
		c := p.dial()
		go func() {
			if !chunked {
				send(c, postRoot+"Content-Length: 20971520\r\n\r\n", nil)
				_, _ = c.Write(content)
				return
			}
			send(c, postRoot+te+"\r\n", nil)
			_, _ = io.CopyBuffer(struct{ io.Writer }{chunkWriter{c}}, struct{ io.Reader }{bytes.NewReader(content)}, make([]byte, 70_000))
			send(c, "0\r\n\r\n", nil)
		}()
		readN(t, c, hi)
		if got := <-sum; got != sha256.Sum256(content) {
			t.Errorf("chunked %v: the host got something else", chunked)
		}
		stillOpen(t, c)
	}
}

// A response with a malformed body becomes an error if nothing of it was sent, and is cut short otherwise.
func TestMalformedResponseBody(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, okHead+te+"\r\nzz\r\n", hi)
	p := startProxy(t, nil, h.addr)
	c := p.dial()
	send(c, getRoot+getRoot, nil)
	readN(t, c, page(502, true)+hi)
	stillOpen(t, c)

	more := make(chan struct{})
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
		send(c, okHead+te+"\r\n3\r\nabc\r\n", nil)
		<-more
		send(c, "zz\r\n", nil)
		enginetest.Hold(c)
	})
	p = startProxy(t, nil, host)
	c = p.dial()
	send(c, getRoot, nil)
	readN(t, c, okHead+te+"\r\n3\r\nabc\r\n")
	close(more)
	if s, how := readAll(c); s != "" || how != "reset" {
		t.Errorf("got %q, %s; want a reset", s, how)
	}
}

// The host is full and the client resets its connection: the proxy notices, although it has nothing to read or write.
func TestClientResetsBehindAFullHost(t *testing.T) {
	t.Parallel()
	gone := make(chan string, 1)
	full := make(chan struct{})
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		<-full
		_, err := io.Copy(io.Discard, c)
		gone <- endingOf(err)
	})
	p := startProxy(t, nil, host)
	c := p.dial()
	send(c, postRoot+"Content-Length: 1000000000\r\n\r\n", nil)
	p.fill(c)
	_ = c.SetLinger(0)
	c.Close()
	awaitActive(t, p, 0)
	close(full)
	if how := <-gone; how != "reset" {
		t.Errorf("the host's connection ended with %s, want reset", how)
	}
}
