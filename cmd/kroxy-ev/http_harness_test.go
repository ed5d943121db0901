package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// startHTTP is start in http mode.
func startHTTP(t *testing.T, s setup) *proxy {
	t.Helper()
	s.mode = "http"
	return start(t, s)
}

// url returns the URL of a path at the proxy.
func (p *proxy) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path) }

// client returns a net/http client that decodes no content and follows no redirect.
func (p *proxy) client() *http.Client {
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4096}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       2 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get fetches path and returns the response with the whole body.
func (p *proxy) get(c *http.Client, path string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url(path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return do(p.t, c, req)
}

// do sends req and reads the whole response.
func do(t *testing.T, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: after %d bytes of the body: %v", req.Method, req.URL, len(body), err)
	}
	return res, string(body)
}

// serverLog is the error log of net/http servers. It drops what they say of connections, which tests break on purpose, and keeps the panics of handlers:
// one that calls t.Error when its test is over makes the whole run fail, and nothing else would say why.
var serverLog = log.New(panicLog{}, "", 0)

type panicLog struct{}

func (panicLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic serving")) {
		return os.Stderr.Write(p)
	}
	return len(p), nil
}

// httpHost is a host of net/http.
type httpHost struct {
	endpoint
	opened atomic.Int64 // connections
	open   atomic.Int64 // those that are still open
}

// serve starts a host of net/http on addr, an IPv4 address of this machine.
func serve(t *testing.T, addr string, handler http.HandlerFunc) *httpHost {
	t.Helper()
	ln, err := net.Listen("tcp4", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httpHost{endpoint: endpoint{addr, ln.Addr().(*net.TCPAddr).Port}}
	srv := &http.Server{
		Handler:  handler,
		ErrorLog: serverLog,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.opened.Add(1)
				s.open.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.open.Add(-1)
			}
		},
	}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return s
}

// namedHosts starts n hosts that answer with their letter, A for the first. Their addresses are 127.0.0.1, 127.0.0.2 and so on, so that each has a name of
// its own.
func namedHosts(t *testing.T, n int) []*httpHost {
	t.Helper()
	var all []*httpHost
	for i := range n {
		addr := fmt.Sprintf("127.0.0.%d", i+1)
		needAddress(t, addr, addr)
		letter := string(rune('A' + i))
		all = append(all, serve(t, addr, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, letter) }))
	}
	return all
}

// reply reads the response to a request with this method, and returns it with its body.
func reply(t *testing.T, in *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading a response: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("after %d bytes of the response's body: %v", len(body), err)
	}
	return res, string(body)
}

// expectStatus reads a response and demands its status.
func expectStatus(t *testing.T, in *bufio.Reader, status int) *http.Response {
	t.Helper()
	res, body := reply(t, in, http.MethodGet)
	if res.StatusCode != status {
		t.Fatalf("status %d (%.200q), want %d", res.StatusCode, body, status)
	}
	return res
}

// expectEnd demands that the stream ends at once.
func expectEnd(t *testing.T, r io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Fatalf("%.100q and error %v where the stream should have ended", rest, err)
	}
}

// wire is what arrived over one connection.
type wire struct {
	text strings.Builder
	over bool
}

func (w *wire) Write(p []byte) (int, error) { return w.text.Write(p) }

// recorder is a host that records every byte that reaches it, by connection, and answers by script.
type recorder struct {
	endpoint
	mu      sync.Mutex
	changed *sync.Cond
	conns   []*wire // since begin was called
	open    []*net.TCPConn
	script  []string
	served  int // requests since begin
}

// Marks at the beginning or end of a scripted answer.
const (
	early  = "<early>" // the answer is sent before the request's body is read
	closes = "<close>" // after the answer the host half-closes
	resets = "<reset>" // after the answer the host resets the connection
	halts  = "<halt>"  // after it the host sends and interprets nothing
)

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	r.changed = sync.NewCond(&r.mu)
	h := listen(t, "127.0.0.1", nil)
	r.endpoint = h.endpoint
	quit := make(chan struct{})
	t.Cleanup(func() { close(quit) })
	go func() {
		for {
			select {
			case c := <-h.conns:
				w := r.register(c) // in the order of arrival
				go func() {
					defer c.Close()
					r.serve(c, w)
				}()
			case <-quit:
				return
			}
		}
	}()
	return r
}

func (r *recorder) register(c *net.TCPConn) *wire {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &wire{}
	r.conns, r.open = append(r.conns, w), append(r.open, c)
	return w
}

// begin drops what was recorded. From now on the nth request gets the nth answer of the script, and further ones get hello.
func (r *recorder) begin(script []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns, r.served, r.script = nil, 0, script
}

// all waits until every connection has ended, and returns what arrived over each.
func (r *recorder) all() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 0; i < len(r.conns); i++ {
		for !r.conns[i].over {
			r.changed.Wait()
		}
		list = append(list, r.conns[i].text.String())
	}
	return list
}

// hangUp half-closes all connections that are still open.
func (r *recorder) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.open {
		_ = c.CloseWrite()
	}
	r.open = nil
}

func (r *recorder) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

const (
	okHead = "HTTP/1.1 200 OK\r\nDate: now\r\n"
	hello  = okHead + "Content-Length: 5\r\n\r\nhello"
)

func (r *recorder) next() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.served
	if r.served++; n < len(r.script) {
		return r.script[n]
	}
	return hello
}

func (r *recorder) serve(c *net.TCPConn, w *wire) {
	defer func() {
		r.mu.Lock()
		w.over = true
		r.changed.Broadcast()
		r.mu.Unlock()
	}()
	in := bufio.NewReader(io.TeeReader(c, w))
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			_, _ = io.Copy(io.Discard, in)
			return
		}
		text, isEarly := strings.CutPrefix(r.next(), early)
		if !isEarly {
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
		text, isClose := strings.CutSuffix(text, closes)
		text, isReset := strings.CutSuffix(text, resets)
		text, isHalt := strings.CutSuffix(text, halts)
		_, _ = io.WriteString(c, text)
		switch {
		case isReset:
			reset(c)
			return
		case isClose:
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, in)
			return
		case isHalt:
			_, _ = io.Copy(io.Discard, in)
			return
		}
	}
}

// howEnded names the way in which a read ended.
func howEnded(err error) string {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return "end"
	case errors.Is(err, unix.ECONNRESET):
		return "reset"
	}
	return err.Error()
}
