package httpcodec

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/accesslog"
)

// FuzzExchange sends bytes through a running proxy, over sockets, to a host that writes down what reaches it, and compares
// what was on the three wires (the client's two, the host's) with what the proxy says that it did (its access log), by the
// readers of net/http. Anything on a wire that is not part of a message that was logged is a failure, as is an exchange that
// does not end, or that leaves something behind.
func FuzzExchange(f *testing.F) {
	for _, s := range exchangeSeeds() {
		f.Add([]byte(s.in), []byte(s.replies), s.seed)
	}
	w := startWires(f)
	f.Fuzz(func(t *testing.T, in, replies []byte, seed uint64) {
		if len(in) > 128<<10 || len(replies) > 128<<10 {
			t.Skip("too long")
		}
		w.run(t, string(in), string(replies), seed)
	})
}

// next separates the replies to one request and the next.
const next = "\x00|"

type exchangeSeed struct {
	in, replies string
	seed        uint64
}

// smuggled are requests with another inside that only some readers see.
var smuggled = []string{
	postRoot + "Content-Length: 6\r\n" + te + "\r\n0\r\n\r\nG",
	postRoot + te + "Content-Length: 4\r\n\r\n5c\r\nGET /x HTTP/1.1\r\nHost: p\r\nContent-Length: 15\r\n\r\nx=1\r\n0\r\n\r\n",
	postRoot + te + "Transfer-Encoding: x\r\n\r\n0\r\n\r\n" + getRoot, postRoot + "Transfer-Encoding: x\r\n" + te + "\r\n0\r\n\r\n" + getRoot,
	postRoot + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + getRoot, postRoot + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + getRoot,
	postRoot + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + getRoot, postRoot + " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + getRoot,
	postRoot + "X: X\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + getRoot, postRoot + "Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n" + getRoot,
	postRoot + "Transfer-Encoding: \x0bchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", postRoot + "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n" + getRoot,
	postRoot + te + "\r\n2;\nxx\r\n0\r\n\r\n" + getRoot, postRoot + te + "\r\n2;\rxx\r\n0\r\n\r\n" + getRoot, postRoot + te + "\r\n2\nxx\r\n0\r\n\r\n" + getRoot,
	postRoot + te + "\r\n2;a=\"\r\nxx\r\n0\r\n\r\n\"\r\n0\r\n\r\n" + getRoot, postRoot + te + "\r\n3\r\nabcX\r\n0\r\n\r\n" + getRoot,
	postRoot + te + "\r\n0\r\nContent-Length: 40\r\n\r\n" + getRoot, postRoot + te + "\r\n0\r\n X: y\r\n\r\n" + getRoot, postRoot + te + "\r\n0\r\nX: y\n\n" + getRoot,
	postRoot + te + "\r\nffffffffffffffff1\r\na\r\n0\r\n\r\n", postRoot + te + "\r\n-1\r\n" + getRoot, postRoot + te + "\r\n0x2\r\nab\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 33\r\nConnection: Content-Length\r\n\r\n" + getRoot, postRoot + "Connection: Transfer-Encoding\r\n" + te + "\r\n0\r\n\r\n" + getRoot,
	"GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 028\r\n\r\n" + getRoot, "GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 5, 5\r\n\r\nhello" + getRoot,
	"GET / HTTP/1.1\r\nHost: p\r\nContent_Length: 28\r\n\r\n" + getRoot, "GET http://p/\r\nX:1 HTTP/1.1\r\nHost: p\r\n\r\n", "GET / HTTP/1.1\r\nHost: p\r\nX: a\rHost: q\r\n\r\n" + getRoot,
	"GET / HTTP/1.1\r\nHost: p\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"HEAD / HTTP/1.1\r\nHost: p\r\n\r\n" + getRoot, postRoot + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + getRoot,
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" + te + "\r\n0\r\n\r\n" + getRoot, "GET / HTTP/1.0\r\n\r\n" + getRoot, "\n" + getRoot, "\r\n\r\n" + getRoot + "\r\n" + getRoot,
	"OPTIONS http://p HTTP/1.1\r\nHost: p\r\nMax-Forwards: 1\r\n\r\n" + ping + getRoot, "TRACE / HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\n\r\n" + getRoot,
}

const (
	askSwitch = "GET /w HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
	switched  = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
)

func exchangeSeeds() (all []exchangeSeed) {
	for i, r := range rows {
		all = append(all, exchangeSeed{r.in, strings.Join(r.replies, next), uint64(i)})
	}
	for in := range refused {
		all = append(all, exchangeSeed{in + getRoot, hi, uint64(len(in))}, exchangeSeed{getRoot + in + getRoot, hi, uint64(len(in) / 2)})
	}
	for i, reply := range nonsense {
		all = append(all, exchangeSeed{getRoot + getRoot, hi + next + reply + next + hi, uint64(i)})
	}
	for _, s := range stray {
		all = append(all, exchangeSeed{s.method + getRoot[3:] + getRoot, s.reply + next + hi, uint64(len(s.reply))})
	}
	for i, in := range smuggled {
		all = append(all, exchangeSeed{in, hi, uint64(i)}, exchangeSeed{getRoot + in, hi + next + hi, uint64(i) * 7})
	}
	cont := "HTTP/1.1 100 Continue\r\n\r\n"
	return append(all,
		exchangeSeed{askSwitch + "to the host", switched + "to the client", 1},
		exchangeSeed{getRoot + askSwitch + getRoot, hi + next + switched, 2},
		exchangeSeed{askSwitch + getRoot, hi + next + hi, 3},
		exchangeSeed{getRoot + getRoot, hi + next + closes, 4}, // the request is repeated
		exchangeSeed{getRoot + postRoot + "\r\n", hi + next + closes, 5},
		exchangeSeed{getRoot + getRoot + getRoot, hi + next + resets, 6},
		exchangeSeed{postRoot + "Content-Length: 30\r\n\r\nabc", early + hi, 7},
		exchangeSeed{postRoot + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", early + cont + next + hi, 8},
		exchangeSeed{postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n" + getRoot, cont + hi + next + cont + cont + hi, 9},
	)
}

// Each seed, cut in some ways.
func TestExchangeSeeds(t *testing.T) {
	t.Parallel()
	w := startWires(t)
	for _, s := range exchangeSeeds() {
		for _, seed := range []uint64{s.seed, 0, 1, 2, 5, 10, 15, 7 << 32} {
			w.run(t, s.in, s.replies, seed)
		}
	}
}

// wires is a proxy whose connections are listened in on.
type wires struct {
	proxy  *proxy
	host   *net.TCPListener
	access *accesslog.Log
	lines  bytes.Buffer // of access; safe to read behind its Reopen

	mu       sync.Mutex
	failures []string   // reasons in the error log
	replies  []string   // still to be given
	seen     int        // requests, whole
	random   *rand.Rand // how the host cuts its replies
	conns    []*tapped
	barrier  string        // address of a connection that is no proxy's
	reached  chan struct{} // closed when it comes
}

// tapped is a connection of the proxy's to the host.
type tapped struct {
	raw      bytes.Buffer // all that came
	end      error        // of reading
	requests []seenRequest
	part     bool   // bytes of a request that is not whole came behind these
	tail     string // what came behind a 101
	switched bool   // the last reply is a 101
	closed   bool   // the host has ended it first
	lost     bool   // the host has reset it
	bad      error  // what came is no request
	done     chan struct{}
}

type seenRequest struct {
	order  int
	method string
	header http.Header
	body   string
	reply  string
	used   bool // it is not the first on its connection
	excess bool // the reply goes on behind its end
}

// tap copies what is read to c.raw.
type tap struct {
	net.Conn
	c *tapped
}

func (t tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.c.raw.Write(p[:n])
	if err != nil && t.c.end == nil { // a read behind a reset says EOF
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
	format, err := accesslog.Compile("$status $bytes_sent_upstream $bytes_sent_downstream $request_method $request_uri", true)
	if err != nil {
		t.Fatal(err)
	}
	w.access = accesslog.New(&w.lines, accesslog.Options{BufferSize: 16 << 20, FlushInterval: time.Hour})
	g := rig{access: w.access.NewBuffer(format), log: slog.New(reasons{w})}
	w.proxy = g.start(t, func(s *Settings) { s.Forwarded = true }, w.host.Addr().(*net.TCPAddr).AddrPort())
	t.Cleanup(func() {
		w.proxy.stop()
		w.host.Close()
		_ = w.access.Close(time.Second)
	})
	return w
}

// reasons is a slog.Handler that keeps why exchanges failed.
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

var requestLine = regexp.MustCompile(`^([!#$%&'*+.^_|~0-9A-Za-z-]+|` + "`" + `)+ [!-~]+ HTTP/1\.1\r\n$`)

// byByte reads one byte at a time, so that no bufio.Reader above it takes more than it needs.
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
		// Go's reader wants more of a target than that it be visible.
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

// answer sends a reply. If it fails, the proxy has reset the connection, and no read will say so any more.
func (c *tapped) answer(w *wires, conn net.Conn, reply string) {
	if !w.send(conn, w.random, reply) && c.end == nil {
		c.end = unix.ECONNRESET
	}
}

// cut notes that a request was not whole: because the connection ended, or because it is none.
func (c *tapped) cut(err error) {
	c.part = true
	if c.end == nil {
		c.bad = err
	}
}

// endsConnection reports whether a client could still wait for more of reply, so that the host has to close, and whether
// it goes on behind its end.
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

// send writes s in pieces; some of them have been dealt with when the next is sent. It reports false if that fails.
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
		ending = "reset" // the writer was told
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

// quiesce waits until nothing is left of what run did, and returns the connections that the host has seen.
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
		hosts := v.settings.Group.Balance.Hosts()
		if n := hosts.Active(0); n != 0 {
			t.Errorf("%d leases are left", n)
		}
		known := map[*host]bool{}
		for i, list := range v.pool.idle {
			for _, h := range list {
				if known[h] || h.x != nil || !h.conn.Open() || h.index != i || !h.used {
					t.Errorf("a pooled connection: twice %v, %+v", known[h], h)
				}
				known[h] = true
			}
		}
		v.pool.close()
	})
	// The host accepts in order: behind this connection there is none of before.
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

// verdict is what is known of one run.
type verdict struct {
	t        *testing.T
	in, got  string // of the client
	ending   string
	conns    []*tapped
	log      []exchanged
	failures []string
}

func (v *verdict) fail(format string, args ...any) {
	v.t.Helper()
	v.t.Errorf(format, args...)
	v.t.Logf("client sent %q\ngot %q, %s\nlog %+v\nfailures %q", v.in, v.got, v.ending, v.log, v.failures)
	for _, c := range v.conns {
		v.t.Logf("host got %q, ended with %v; part %v, closed %v, lost %v, tail %q, bad: %v; requests %+v", c.raw.String(), c.end, c.part, c.closed, c.lost, c.tail, c.bad, c.requests)
	}
}

// checkHost compares what the host saw with the log: each exchange that sent something sent one request, whole, and
// nothing more; or a part of one, and then the connection was reset.
func (v *verdict) checkHost() {
	var sent, seen, hidden, repeats int
	var sentBytes, seenBytes int64
	for _, e := range v.log {
		if e.up > 0 {
			sent++
			sentBytes += e.up
		}
	}
	for _, c := range v.conns {
		how := endingOf(c.end)
		if c.bad != nil {
			v.fail("no request: %v", c.bad)
		}
		if c.part {
			seen++
			if !c.closed && how != "reset" {
				v.fail("a request was cut off, and the connection ended with %s", how)
			}
		}
		if c.part && c.closed {
			repeats++
		}
		if c.lost || how == "reset" {
			hidden++ // a reset destroys what is on its way
		}
		for _, r := range c.requests {
			seen++
			if r.used && (r.reply == "" || r.reply == closes || strings.HasSuffix(r.reply, resets)) {
				repeats++
			}
			if f := r.header["X-Forwarded-For"]; !slices.Equal(f, []string{"127.0.0.1"}) {
				v.fail("X-Forwarded-For is %q", f)
			}
		}
		seenBytes += int64(c.raw.Len())
	}
	if seen < sent-hidden || seen > sent+repeats {
		v.fail("%d exchanges have sent a request, the host saw %d; %d may have been lost and %d repeated", sent, seen, hidden, repeats)
	}
	if seenBytes > sentBytes || seenBytes < sentBytes && hidden == 0 {
		v.fail("the proxy counts %d bytes to the host, and that counts %d", sentBytes, seenBytes)
	}
}

// whole lists what the host saw, by exchange, if that is certain.
func (v *verdict) whole() map[int]seenRequest {
	var all []seenRequest
	for _, c := range v.conns {
		if c.part || c.lost {
			return nil
		}
		all = append(all, c.requests...)
	}
	slices.SortFunc(all, func(a, b seenRequest) int { return a.order - b.order })
	m := map[int]seenRequest{}
	for i, e := range v.log {
		if e.up > 0 && len(m) < len(all) {
			m[i] = all[len(m)]
		} else if e.up > 0 {
			return nil
		}
	}
	if len(m) < len(all) {
		return nil
	}
	return m
}

// checkClient compares what the client got with the log, and both with what went through the host.
func (v *verdict) checkClient() {
	asked := strings.NewReader(v.in)
	requests := bufio.NewReader(asked)
	got := bufio.NewReader(strings.NewReader(v.got))
	whole, readable, ordered, closing := v.whole(), true, true, false
	var down int64
	for i, e := range v.log {
		down += e.down
		// The request, as net/http reads it: it may refuse what the proxy takes, but not read it differently.
		var body []byte
		if readable {
			req, err := http.ReadRequest(requests)
			if err == nil {
				body, err = io.ReadAll(req.Body)
			}
			readable = err == nil
			if errors.Is(err, io.EOF) && e.up > 0 {
				v.fail("exchange %d was sent, and the client asked for nothing more", i)
			}
			if readable && req.Method != e.method && e.method != "-" {
				v.fail("exchange %d is %s, the client asked for %s", i, e.method, req.Method)
			}
		}
		host, certain := whole[i]
		if certain && (host.method != e.method || readable && host.body != string(body)) {
			v.fail("exchange %d: the host got %s with %q, the client sent %s with %q", i, host.method, host.body, e.method, body)
		}
		last := i == len(v.log)-1
		if e.status == 0 { // nothing would say that this is no end
			if !last || v.ending != "reset" {
				v.fail("exchange %d failed without a response, and the client's connection ended with %s", i, v.ending)
			}
			return
		}
		res, content, err := readFinal(got, e.method)
		switch {
		case err != nil && (!last || v.ending != "reset" && len(v.failures) == 0):
			v.fail("response %d: %v, and the connection ended with %s", i, err, v.ending)
			return
		case err != nil:
			return
		case res.StatusCode != e.status:
			v.fail("response %d: %d, logged %d", i, res.StatusCode, e.status)
		}
		closing = res.Close
		if closing && !last {
			v.fail("response %d says close, and is not the last", i)
		}
		if ordered && certain && e.status < 400 && v.ending == "eof" {
			reply := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host.reply, early), closes), resets)
			said, want, err := readFinal(bufio.NewReader(strings.NewReader(reply)), e.method)
			if err != nil || said.StatusCode != e.status || want != content {
				v.fail("response %d: the client got %d with %q of %q (%v)", i, e.status, content, reply, err)
			}
		}
		// What comes behind a response, and late, is taken for the next one: nothing tells them apart.
		ordered = ordered && !host.excess
		if e.status == 101 {
			v.checkTunnel(last, readable, v.in[len(v.in)-asked.Len()-requests.Buffered():])
			return
		}
	}
	if rest, _ := io.ReadAll(got); len(rest) > 0 {
		v.fail("the client got %q behind the last response", rest)
	}
	v.checkTunnel(true, true, "")
	if n := int64(len(v.got)); n > down || n < down && v.ending == "eof" {
		v.fail("the proxy counts %d bytes to the client, and that counts %d", down, n)
	}
	if v.ending == "reset" && len(v.failures) == 0 && !closing {
		v.fail("a reset without a reason")
	}
}

// checkTunnel looks at what went through the one tunnel there may be.
func (v *verdict) checkTunnel(last, readable bool, rest string) {
	if !last {
		v.fail("an exchange behind a tunnel")
	}
	for _, c := range v.conns {
		if endingOf(c.end) == "reset" || c.lost {
			readable = false
		}
		if !strings.HasPrefix(rest, c.tail) && (readable || !strings.HasSuffix(v.in, c.tail)) || readable && c.switched && c.tail != rest && rest != "" {
			v.fail("the host got %q by the tunnel, of %q", c.tail, rest)
		}
	}
}

// readFinal reads a response to method, and the 1xx before it.
func readFinal(in *bufio.Reader, method string) (*http.Response, string, error) {
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return nil, "", err
		}
		if res.StatusCode < 200 && res.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(res.Body)
		return res, string(body), err
	}
}
