package httpcodec

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/h2conn"
)

// proxy is a Server on a loop of its own, until the test ends or stop is called.
type proxy struct {
	t      testing.TB
	addr   string
	loop   *engine.Loop
	server *Server
	entry  *Entry
	hosts  *upstream.Connector
	stop   func() // aborts every exchange and waits for it; may be called twice
	gone   chan struct{}
}

// rig has the options of a proxy besides its settings.
type rig struct {
	listen string            // address to listen on, if not enginetest.Loopback
	access *accesslog.Buffer // nil for none
	log    *slog.Logger      // nil for the test's output
	table  *metrics.Table    // where the loop counts, in row 0; nil for nowhere
	limit  *engine.Limit     // of clients; nil for none
	opts   EntryOptions      // further options of the entry
}

// flat is a server with one route that leads to one group, as a flat struct.
type flat struct {
	Settings
	Route
	Target
}

// nested returns flat's settings in the form that a server uses.
func (f *flat) nested() *Settings {
	s := f.Settings
	r := f.Route
	r.Targets = []Target{f.Target}
	s.Routes = []Route{r}
	s.Unrouted = Route{Route: &config.Route{MaxBodySize: r.MaxBodySize, ClientBodyTimeout: r.ClientBodyTimeout, SendTimeout: r.SendTimeout}}
	return &s
}

// newSettings makes settings for a group of hosts.
func newSettings(t testing.TB, r *resolve.Resolver, change func(*flat), hosts ...netip.AddrPort) *Settings {
	t.Helper()
	balancer, err := balance.New("round_robin", nil)
	if err != nil {
		t.Fatal(err)
	}
	set := &flat{Settings: Settings{HTTP2: h2conn.DefaultLimits}, Route: Route{Route: new(config.Route)}}
	set.Group = &upstream.Group{
		Name: "test", Balance: balance.NewGroup(len(hosts), balancer, balance.NewCounters(1, len(hosts))), ConnectTimeout: enginetest.Patience,
		Keepalive: 64,
	}
	for _, at := range hosts {
		set.Group.Hosts = append(set.Group.Hosts, upstream.NewHost(r, at.Addr().String(), at.Port()))
		set.Names = append(set.Names, HostName{Name: []byte(at.Addr().String()), Authority: []byte(at.String())})
	}
	set.Weight = 1
	if change != nil {
		change(set)
	}
	return set.nested()
}

// groupsOf returns the groups for which a connector keeps connections with these settings.
func groupsOf(s *Settings) *upstream.Groups {
	return upstream.NewGroups([]*upstream.Group{s.only().Group}, 1024, 1024)
}

// only returns the target of all requests, if there is only one.
func (s *Settings) only() *Target {
	if len(s.Routes) == 1 && len(s.Routes[0].Targets) == 1 {
		return &s.Routes[0].Targets[0]
	}
	return nil
}

// startProxy runs a server in front of hosts.
func startProxy(t testing.TB, change func(*flat), hosts ...netip.AddrPort) *proxy {
	t.Helper()
	return rig{}.start(t, change, hosts...)
}

func (g rig) start(t testing.TB, change func(*flat), hosts ...netip.AddrPort) *proxy {
	t.Helper()
	loop, err := engine.NewLoop(engine.Options{MaxPipes: 16})
	if err != nil {
		t.Fatal(err)
	}
	resolver := resolve.New(resolve.Options{})
	set := newSettings(t, resolver, change, hosts...)
	log := g.log
	if log == nil {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if strings.Contains(t.Name(), "Allocate") {
		log = slog.New(slog.DiscardHandler)
	}
	var row *metrics.Row
	if g.table != nil {
		row = newRow(t, g.table, 0)
		measure(g.table, set)
	}
	connector := upstream.NewConnector(loop, 0, row, nil, log)
	connector.Swap(groupsOf(set))
	handshaker := tlsconn.NewHandshaker(loop)
	server := NewServer(loop, Options{Connector: connector, TLS: handshaker, Metrics: row, Log: log})
	o := g.opts
	o.Settings, o.Access = set, g.access
	entry := server.NewEntry(o)
	listen := enginetest.Loopback
	if g.listen != "" {
		listen = g.listen
	}
	fd, err := engine.Listen(netip.MustParseAddrPort(listen))
	if err != nil {
		t.Fatal(err)
	}
	addr := enginetest.LocalAddr(t, fd)
	if _, err := server.Serve(fd, entry, g.limit, nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- loop.Run() }()
	var once sync.Once
	gone := make(chan struct{})
	stop := func() {
		once.Do(func() {
			drained := make(chan struct{})
			loop.Post(func() {
				server.Shutdown(func() { close(drained) })
				server.Abort()
			})
			<-drained
			loop.Post(connector.Close)
			close(gone)
			loop.Stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			handshaker.Close()
			loop.Close()
			resolver.Close()
		})
	}
	t.Cleanup(stop)
	return &proxy{t, addr.String(), loop, server, entry, connector, stop, gone}
}

// change replaces the settings of the proxy's clients, on the loop.
func (p *proxy) change(change func(*EntryOptions)) {
	o := p.entry.EntryOptions
	change(&o)
	p.entry.Swap(o)
}

// settle returns when the loop has processed what was sent to it so far. On loopback, bytes have arrived once they are written.
func (p *proxy) settle() {
	for range 2 {
		done := make(chan struct{})
		p.loop.Post(func() { close(done) })
		select {
		case <-done:
		case <-p.gone:
		}
	}
}

// dial connects a client.
func (p *proxy) dial() *net.TCPConn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(3 * enginetest.Patience)) // the last trial of a timed test takes longer than Patience
	return c.(*net.TCPConn)
}

// recorder is a host that records what reaches it, by connection, and replies according to a script.
type recorder struct {
	addr    netip.AddrPort
	replies []string
	drip    func() // called after each byte sent; nil to send replies whole
	served  atomic.Int64
	mu      sync.Mutex
	conns   []*record
	changed *sync.Cond // signals changes of conns and ended
	ended   int        // number of conns that have ended
}

// record is what arrived on one connection, and how that ended.
type record struct {
	bytes strings.Builder
	err   error
}

func (r *record) Write(p []byte) (int, error) { return r.bytes.Write(p) }

// Markers for the beginning and the end of a reply.
const (
	early  = "<early>"  // do not read the request's body first
	closes = "<close>"  // close the connection after it
	resets = "<reset>"  // reset the connection after it
	halts  = "<halt>"   // send nothing more
	always = "<always>" // this reply is for all further requests, too
)

// startRecorder starts a host that answers the nth request with the nth reply.
func startRecorder(t testing.TB, replies ...string) *recorder {
	h := &recorder{replies: replies}
	h.changed = sync.NewCond(&h.mu)
	h.addr = enginetest.Accepting(t, enginetest.Loopback, h.serve)
	return h
}

func (h *recorder) serve(c *net.TCPConn) {
	rec := &record{}
	h.mu.Lock()
	h.conns = append(h.conns, rec)
	h.changed.Broadcast()
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.ended++
		h.changed.Broadcast()
		h.mu.Unlock()
	}()
	in := bufio.NewReader(io.TeeReader(c, rec))
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			rec.err = err
			return
		}
		n := int(h.served.Add(1)) - 1
		reply := ""
		if last := len(h.replies) - 1; n <= last {
			reply = h.replies[n]
		} else if last >= 0 && strings.HasPrefix(h.replies[last], always) {
			reply = h.replies[last]
		}
		reply = strings.TrimPrefix(reply, always)
		reply, isEarly := strings.CutPrefix(reply, early)
		if !isEarly {
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				rec.err = err
				return
			}
		}
		reply, isClose := strings.CutSuffix(reply, closes)
		reply, isReset := strings.CutSuffix(reply, resets)
		reply, isHalt := strings.CutSuffix(reply, halts)
		send(c, reply, h.drip)
		switch {
		case isClose:
			_ = c.CloseWrite()
			_, rec.err = io.Copy(io.Discard, in)
			return
		case isReset:
			_ = c.SetLinger(0)
			return
		case isHalt:
			_, rec.err = io.Copy(io.Discard, in)
			return
		}
	}
}

// seen waits until there have been n connections and all have ended, and returns what arrived on each.
func (h *recorder) seen(n int) (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.conns) < n || h.ended < len(h.conns) {
		h.changed.Wait()
	}
	for _, r := range h.conns {
		all = append(all, r.bytes.String())
	}
	return all
}

// send writes s, byte by byte if there is a drip. Errors are left for the reader to notice. Writing nothing would take a reset away from
// the reader.
func send(c net.Conn, s string, drip func()) {
	if s == "" {
		return
	}
	if drip == nil {
		_, _ = io.WriteString(c, s)
		return
	}
	for i := range len(s) {
		if _, err := io.WriteString(c, s[i:i+1]); err != nil {
			return
		}
		drip()
	}
}

// noDate replaces the date in the proxy's own replies.
const noDate = "Thu, 00 Jan 0000 00:00:00 GMT"

var anyDate = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`)

// undated replaces dates by noDate.
func undated(s string) string { return anyDate.ReplaceAllString(s, "Date: "+noDate) }

// page returns the proxy's error page for a request that was not read, or that prefers HTML.
func page(status int, keep bool) string {
	return string(AppendError(nil, status, &Reply{KeepAlive: keep, Date: []byte(noDate)}))
}

// pageLater is page with Retry-After.
func pageLater(status int) string {
	return string(AppendError(nil, status, &Reply{KeepAlive: true, Date: []byte(noDate), Later: 1}))
}

// readAll reads until the stream ends, and says how it ended: "eof", "reset", or another error.
func readAll(c net.Conn) (string, string) {
	b, err := io.ReadAll(c)
	return undated(string(b)), endingOf(err)
}

func endingOf(err error) string {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return "eof"
	case errors.Is(err, unix.ECONNRESET):
		return "reset"
	}
	return err.Error()
}

// readN reads as many bytes as want has.
func readN(t testing.TB, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	n, err := io.ReadFull(c, b)
	if got := undated(string(b[:n])); got != want {
		t.Fatalf("got %q, %v\nwant %q", got, err, want)
	}
}

const (
	ping     = "OPTIONS * HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\n\r\n"
	pingBack = "HTTP/1.1 200 OK\r\nDate: " + noDate + "\r\nAllow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE\r\nContent-Length: 0\r\n\r\n"
)

// stillOpen fails the test unless the proxy serves another request on c and closes c when c sends no more.
func stillOpen(t testing.TB, c *net.TCPConn) {
	t.Helper()
	send(c, ping, nil)
	readN(t, c, pingBack)
	_ = c.CloseWrite()
	if rest, how := readAll(c); rest != "" || how != "eof" {
		t.Errorf("after the last request: %q, %s; want the end", rest, how)
	}
}

// plainChunks removes the chunk size lines from s, except the last chunk's, since they depend on how the bytes arrived. It
// stops at the first thing that is not a chunk.
func plainChunks(s string) string {
	head, body, chunked := strings.Cut(s, "chunked\r\n\r\n")
	if !chunked {
		return s
	}
	head += "chunked\r\n\r\n"
	for {
		line, rest, _ := strings.Cut(body, "\r\n")
		n, err := strconv.ParseUint(line, 16, 31)
		if err != nil || n == 0 || int(n)+2 > len(rest) {
			return head + "|" + plainChunks(body)
		}
		head, body = head+rest[:n], rest[n+2:]
	}
}

// readMessages reads n responses to GET and returns their bytes.
func readMessages(t testing.TB, c net.Conn, n int) string {
	t.Helper()
	var all strings.Builder
	in := bufio.NewReader(io.TeeReader(c, &all))
	for range n {
		res, err := http.ReadResponse(in, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		if err != nil {
			t.Fatalf("reading responses: %v behind %q", err, all.String())
		}
	}
	return undated(all.String())
}
