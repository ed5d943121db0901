package httpcodec

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/accesslog"
	"kroxy-ev/logformat"
)

// wires is a proxy whose connections are tapped.
type wires struct {
	proxy  *proxy
	host   *net.TCPListener
	access *accesslog.Log
	lines  bytes.Buffer // the access log; may be read after Reopen

	mu       sync.Mutex
	failures []string   // reasons in the error log
	replies  []string   // replies still to be given
	seen     int        // complete requests seen
	random   *rand.Rand // how the host cuts its replies
	conns    []*tapped
	barrier  string        // local address of a connection that is not the proxy's
	reached  chan struct{} // closed when that connection arrives
}

// tapped is a connection from the proxy to the host.
type tapped struct {
	raw      bytes.Buffer // everything received
	end      error        // how reading ended
	requests []seenRequest
	part     bool   // part of an incomplete request followed
	tail     string // what followed a 101
	switched bool   // the last reply is a 101
	closed   bool   // the host closed it first
	lost     bool   // the host has reset it
	bad      error  // what arrived was not a request
	done     chan struct{}
}

type seenRequest struct {
	order  int
	method string
	header http.Header
	body   string
	reply  string
	used   bool // it is not the first on its connection
	excess bool // the reply continues after its end
}

// tap copies everything read to c.raw.
type tap struct {
	net.Conn
	c *tapped
}

func (t tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.c.raw.Write(p[:n])
	if err != nil && t.c.end == nil { // a read after a reset returns EOF
		t.c.end = err
	}
	return n, err
}

func startWires(t testing.TB) *wires {
	w := &wires{}
	var err error
	if w.host, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	go w.accept()
	format, err := logformat.Compile("$status $bytes_sent_upstream $bytes_sent_downstream $request_method $request_uri", logformat.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	w.access = accesslog.New("test", &w.lines, accesslog.Options{BufferSize: 16 << 20, FlushInterval: time.Hour})
	g := rig{access: w.access.NewBuffer(format), log: slog.New(reasons{w})}
	w.proxy = g.start(t, func(s *flat) { s.Server.ForwardedHeaders = true }, w.host.Addr().(*net.TCPAddr).AddrPort())
	t.Cleanup(func() {
		w.proxy.stop()
		w.host.Close()
		_ = w.access.Close(time.Second)
	})
	return w
}

// reasons is a slog.Handler that records why exchanges failed.
type reasons struct{ w *wires }

func (reasons) Enabled(context.Context, slog.Level) bool { return true }
func (r reasons) WithAttrs([]slog.Attr) slog.Handler     { return r }
func (r reasons) WithGroup(string) slog.Handler          { return r }
func (r reasons) Handle(_ context.Context, rec slog.Record) error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" && strings.HasPrefix(rec.Message, "http:") {
			r.w.failures = append(r.w.failures, a.Value.String())
		}
		return true
	})
	return nil
}

func (w *wires) accept() {
	for {
		c, err := w.host.AcceptTCP()
		if err != nil {
			return
		}
		w.mu.Lock()
		if c.RemoteAddr().String() == w.barrier {
			close(w.reached)
			w.mu.Unlock()
			c.Close()
			continue
		}
		rec := &tapped{done: make(chan struct{})}
		w.conns = append(w.conns, rec)
		w.mu.Unlock()
		go func() {
			rec.serve(w, c)
			c.Close()
			close(rec.done)
		}()
	}
}

var requestLine = regexp.MustCompile(`^([!#$%&'*+.^_|~0-9A-Za-z-]+|` + "`" + `)+ [^\x00-\x20#\x7f]+ HTTP/1\.1\r\n$`)

// byByte reads one byte at a time, so that no bufio.Reader above it reads ahead.
type byByte struct{ r io.Reader }

func (b byByte) Read(p []byte) (int, error) { return b.r.Read(p[:min(1, len(p))]) }

// serve answers requests until the connection ends.
func (c *tapped) serve(w *wires, conn *net.TCPConn) {
	in := bufio.NewReader(tap{conn, c})
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			c.part = line != ""
			return
		}
		if !requestLine.MatchString(line) {
			c.bad = fmt.Errorf("request line %q", line)
			return
		}
		// Go's parser demands more of a target than visible characters.
		method, _, _ := strings.Cut(line, " ")
		req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(method+" / HTTP/1.1\r\n"), byByte{in})))
		if err != nil {
			c.cut(err)
			return
		}
		reply, isEarly := strings.CutPrefix(w.reply(), early)
		seen := seenRequest{method: method, header: req.Header, reply: reply, used: len(c.requests) > 0}
		if isEarly {
			c.answer(w, conn, strings.TrimSuffix(strings.TrimSuffix(reply, closes), resets))
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			c.cut(err)
			return
		}
		seen.body = string(body)
		reply, isClose := strings.CutSuffix(reply, closes)
		reply, isReset := strings.CutSuffix(reply, resets)
		over, switched, excess := endsConnection(reply, method)
		w.mu.Lock()
		seen.order, seen.excess = w.seen, excess
		w.seen++
		w.mu.Unlock()
		c.requests = append(c.requests, seen)
		if !isEarly {
			c.answer(w, conn, reply)
		}
		switch {
		case isReset:
			c.lost = true
			_ = conn.SetLinger(0)
			return
		case switched:
			c.switched = true
			rest, _ := io.ReadAll(in)
			c.tail = string(rest)
			return
		case isClose || over:
			c.closed = true
			_ = conn.CloseWrite()
			rest, _ := io.ReadAll(in)
			c.part = len(rest) > 0 // it was on its way already
			return
		}
	}
}

// answer sends a reply. If that fails, the proxy has reset the connection, and no later read would say so.
func (c *tapped) answer(w *wires, conn net.Conn, reply string) {
	if !w.send(conn, w.random, reply) && c.end == nil {
		c.end = unix.ECONNRESET
	}
}

// cut records that a request was incomplete, because the connection ended or because it was invalid.
func (c *tapped) cut(err error) {
	c.part = true
	if c.end == nil {
		c.bad = err
	}
}

// endsConnection reports whether a client could still expect more after reply, so that the host must close, and whether reply
// continues after its end.
func endsConnection(reply, method string) (over, switched, excess bool) {
	in := bufio.NewReader(strings.NewReader(reply))
	res, _, err := readFinal(in, method)
	if err != nil {
		return true, false, false
	}
	_, err = in.Peek(1)
	none := method == "HEAD" || res.StatusCode == 204 || res.StatusCode == 304
	return res.ContentLength < 0 && len(res.TransferEncoding) == 0 && !none, res.StatusCode == 101, err == nil
}

// reply takes the next reply.
func (w *wires) reply() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.replies) == 0 {
		return hi
	}
	r := w.replies[0]
	w.replies = w.replies[1:]
	return r
}

// send writes s in pieces, some of which the proxy has processed before the next is sent. It returns false if that fails.
func (w *wires) send(c net.Conn, random *rand.Rand, s string) bool {
	for s != "" {
		w.mu.Lock()
		n, wait := 1+random.IntN(len(s)), random.IntN(3) > 0
		if random.IntN(4) == 0 {
			n = min(len(s), 1+random.IntN(4))
		} else if random.IntN(2) == 0 {
			n = len(s)
		}
		w.mu.Unlock()
		if _, err := io.WriteString(c, s[:n]); err != nil {
			return false
		}
		if s = s[n:]; wait && s != "" {
			w.proxy.settle()
		}
	}
	return true
}

// exchanged is a line of the access log.
type exchanged struct {
	status   int
	up, down int64
	method   string
}

const fuzzPatience = 10 * time.Second

// run sends in to the proxy and checks everything.
func (w *wires) run(t *testing.T, in, replies string, seed uint64) {
	w.mu.Lock()
	w.failures, w.conns, w.seen = nil, nil, 0
	w.replies = nil
	if replies != "" {
		w.replies = strings.Split(strings.ReplaceAll(replies, halts, ""), next)
	}
	w.random = rand.New(rand.NewPCG(seed, 1))
	w.mu.Unlock()
	w.lines.Reset()
	stats := w.proxy.server.Stats()
	counted := stats.Exchanges.Load()

	raw, err := net.Dial("tcp", w.proxy.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := raw.(*net.TCPConn)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(fuzzPatience))
	var got []byte
	var ending string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b, err := io.ReadAll(c)
		got, ending = b, endingOf(err)
	}()
	sent := w.send(c, rand.New(rand.NewPCG(seed, 2)), in)
	if seed%4 == 3 { // the end comes late
		select {
		case <-ended:
		case <-time.After(3 * time.Millisecond):
		}
	}
	_ = c.CloseWrite()
	<-ended
	c.Close()
	if !sent && ending == "eof" {
		ending = "reset" // the writer already saw it
	}
	if ending != "eof" && ending != "reset" {
		t.Fatalf("the exchange hangs: %s after %q", ending, got)
	}
	conns := w.quiesce(t)
	if err := w.access.Reopen(); err != nil {
		t.Fatal(err)
	}
	v := verdict{t, in, string(got), ending, conns, w.parseLines(t), w.failures}
	if n := stats.Exchanges.Load() - counted; n != int64(len(v.log)) {
		v.fail("%d exchanges counted, %d logged", n, len(v.log))
	}
	v.checkHost()
	v.checkClient()
}

// quiesce waits until everything that run caused is over, and returns the connections that the host has seen.
func (w *wires) quiesce(t *testing.T) []*tapped {
	late := time.Now().Add(fuzzPatience)
	v := w.proxy.server
	for v.Stats().Active.Load() != 0 {
		if time.Now().After(late) {
			t.Fatal("the client is gone and still active")
		}
		w.proxy.settle()
	}
	w.onLoop(func() {
		if n := v.tunnels.Stats().Active.Load(); n != 0 || v.active != nil {
			t.Errorf("%d tunnels, clients %v", n, v.active)
		}
		hosts := w.proxy.entry.Settings.only().Group.Balance.Hosts()
		if n := hosts.Active(0); n != 0 {
			t.Errorf("%d leases are left", n)
		}
		w.proxy.hosts.Close()
		if n := w.proxy.hosts.Idle(); n != 0 {
			t.Errorf("%d idle connections are left", n)
		}
	})
	// The host accepts in order, so after this connection no earlier one can follow.
	reached := make(chan struct{})
	w.mu.Lock()
	b, err := net.DialTCP("tcp", nil, w.host.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	w.barrier, w.reached = b.LocalAddr().String(), reached
	w.mu.Unlock()
	<-reached
	b.Close()
	w.mu.Lock()
	conns := w.conns
	w.mu.Unlock()
	for _, c := range conns {
		select {
		case <-c.done:
		case <-time.After(fuzzPatience):
			t.Fatal("a connection to the host is left open")
		}
	}
	return conns
}

func (w *wires) onLoop(fn func()) {
	done := make(chan struct{})
	w.proxy.loop.Post(func() { fn(); close(done) })
	<-done
}

var accessLine = regexp.MustCompile(`^\[[^]]{19}\]: (-|\d{3}) (\d+) (\d+) (\S+) (\S+)$`)

func (w *wires) parseLines(t *testing.T) (all []exchanged) {
	for line := range strings.Lines(w.lines.String()) {
		m := accessLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("a line of the access log: %q", line)
		}
		e := exchanged{method: m[4]}
		e.status, _ = strconv.Atoi(m[1])
		e.up, _ = strconv.ParseInt(m[2], 10, 64)
		e.down, _ = strconv.ParseInt(m[3], 10, 64)
		all = append(all, e)
	}
	return all
}
