package bench

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is what a recording host saw.
type record struct {
	mu     sync.Mutex
	seen   []string // one line for each request: all contestants must produce the same
	conns  int
	agents []string
}

func (r *record) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b, err := io.ReadAll(q.Body)
	h := q.Header
	r.mu.Lock()
	r.seen = append(r.seen, fmt.Sprintf("%s %s %s host=%s for=%q proto=%q forwarded-host=%q body=%d %v",
		q.Method, q.URL, q.Proto, q.Host, h["X-Forwarded-For"], h["X-Forwarded-Proto"], h["X-Forwarded-Host"], len(b), err))
	r.agents = append(r.agents, h.Get("User-Agent"))
	r.mu.Unlock()
	if h.Get("Te") == "trailers" {
		answerH2(w, q)
		return
	}
	fmt.Fprint(w, httpBody)
}

// recordingHost starts a host and returns its port.
func recordingHost(t *testing.T, r *record) int {
	t.Helper()
	s := httptest.NewUnstartedServer(r)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.mu.Lock()
			r.conns++
			r.mu.Unlock()
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// The contestants for HTTP do the same, over TLS too: the requests that reach the hosts, the number of connections, and the log lines are equal.
// Not parallel: it makes this process a subreaper.
func TestHTTPPeersAreEqual(t *testing.T) {
	if _, err := os.Stat("../go.mod"); err != nil {
		t.Skip("not in the module's tree: kroxy-ev cannot be built")
	}
	var note strings.Builder
	h, err := newHarness(options{thoroughness: thoroughness{1, time.Second}}, &note)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	for _, p := range allPeers("", "", "") {
		if p.mode == modeStream {
			continue
		}
		check := checkHTTPPeer
		switch {
		case p.mode.http2():
			check = checkHTTP2Peer
		case p.mode == modeFeatures:
			check = checkFeatures
		}
		at := slices.IndexFunc(h.peers, func(q peer) bool { return q.mode == p.mode && q.name == p.name })
		for _, log := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,%s,log=%v", p.mode, p.name, log), func(t *testing.T) {
				if at < 0 {
					t.Skipf("%s is not installed (bench/setup.sh installs it)", p.name)
				}
				check(t, h, h.peers[at], log)
			})
		}
	}
}

// startRecorded starts a contestant in front of two hosts that record what they see. It ends with the test.
func startRecorded(t *testing.T, h *harness, p peer, log bool) (*record, *target) {
	t.Helper()
	r := new(record)
	hs := &hosts{ports: hostPorts{A: recordingHost(t, r), B: recordingHost(t, r)}}
	tg, err := h.startTarget(&workload{mode: p.mode, noLog: !log}, p, hs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tg.proc.stop)
	tg.setRound(0)
	return r, tg
}

func checkHTTPPeer(t *testing.T, h *harness, p peer, log bool) {
	r, tg := startRecorded(t, h, p, log)
	d, proto, tickets := dialer{addr: tg.addr}, "http", countingSessions{}
	if tg.tls() {
		if err := checkTLS(tg); err != nil {
			t.Error(err)
		}
		d.config, proto = clientTLS(tg.certificate.roots), "https"
		d.config.ClientSessionCache = &tickets
		if h.wrk != "" {
			if err := h.checkWrk(tg.addr); err != nil {
				t.Error(err)
			}
		}
	}
	c, err := d.dial()
	if err != nil {
		t.Fatal(tg.proc.blame(err))
	}
	defer c.Close()
	const times = 4
	var want []string
	for range times {
		for _, e := range []exchange{getAsABrowser, post16K} {
			if _, err := e.on(c, nil); err != nil {
				t.Fatal(tg.proc.blame(err))
			}
		}
		rest := ` HTTP/1.1 host=bench for=["127.0.0.1"] proto=["` + proto + `"] forwarded-host=["bench"] body=`
		want = append(want, "GET /"+rest+"0 <nil>", "POST /bytes/16384"+rest+"16384 <nil>")
	}
	r.mu.Lock()
	if !slices.Equal(r.seen, want) {
		t.Errorf("the hosts saw\n%s\nwant\n%s", strings.Join(r.seen, "\n"), strings.Join(want, "\n"))
	}
	if r.agents[0] != strings.TrimPrefix(browserFields[0], "User-Agent: ") {
		t.Errorf("the hosts saw the agent %q", r.agents[0])
	}
	// The harness's check that the proxy answers opens none: it sends no request.
	if r.conns > 2 {
		t.Errorf("%d connections to 2 hosts, for one request at a time", r.conns)
	}
	r.mu.Unlock()
	if tg.tls() && tickets.n != 1 {
		t.Errorf("%d session tickets after a full handshake, want 1", tickets.n)
	}
	checkLog(t, filepath.Dir(tg.proc.output), log, times)
}

// checkHTTP2Peer is checkHTTPPeer over HTTP/2, with several exchanges at a time.
func checkHTTP2Peer(t *testing.T, h *harness, p peer, log bool) {
	r, tg := startRecorded(t, h, p, log)
	j, proto := job{Addr: tg.addr, TLS: tg.tls()}, "http"
	if j.TLS {
		proto = "https"
		if err := checkTLS(tg); err != nil {
			t.Error(err)
		}
		if needsH2load(h) == nil {
			if err := h.checkH2load(tg.addr); err != nil {
				t.Error(err)
			}
		}
	}
	rest := ` host=bench for=["127.0.0.1"] proto=["` + proto + `"] forwarded-host=["bench"] body=`
	agent := "user-agent: " + strings.TrimPrefix(browserFields[0], "User-Agent: ")
	first := h2Exchange{Path: "/", Fields: []string{agent}, Size: int64(len(httpBody))}
	second := h2Exchange{Path: "/bytes/16384", Body: make([]byte, 16<<10), Size: int64(len(httpBody))}
	pattern := "GET / HTTP/1.1" + rest + "0 <nil>"
	if p.mode == modeGRPC {
		first, second = h2Unary, h2Unary
		first.Fields = append(slices.Clone(first.Fields), agent)
		second.Path = "/bytes/16384"
		pattern = fmt.Sprintf("POST %s HTTP/2.0%s%d <nil>", first.Path, rest, len(first.Body))
	}
	const times = 4
	j.H2 = first
	d, err := j.dialer()
	if err != nil {
		t.Fatal(err)
	}
	n, err := d.dial()
	if err != nil {
		t.Fatal(tg.proc.blame(err))
	}
	defer n.Close()
	var want []string
	for range times {
		for _, e := range []h2Exchange{first, second} {
			if err := n.(*h2Conn).do(e); err != nil {
				t.Fatal(tg.proc.blame(err))
			}
		}
		want = append(want, pattern, strings.NewReplacer("GET / ", "POST /bytes/16384 ", first.Path+" ", second.Path+" ", "body=0", "body=16384").Replace(pattern))
	}
	r.mu.Lock()
	if !slices.Equal(r.seen, want) {
		t.Errorf("the hosts saw\n%s\nwant\n%s", strings.Join(r.seen, "\n"), strings.Join(want, "\n"))
	}
	if r.conns > 2 {
		t.Errorf("%d connections to 2 hosts, for one request at a time", r.conns)
	}
	r.mu.Unlock()
	checkLog(t, filepath.Dir(tg.proc.output), log, times)
}

// countingSessions counts the session tickets that it receives.
type countingSessions struct {
	noSessions
	n int
}

func (s *countingSessions) Put(string, *tls.ClientSessionState) { s.n++ }

// checkLog checks that the files of dir have as many lines about the browser's request as given by times, if the access log is enabled, and none otherwise.
func checkLog(t *testing.T, dir string, log bool, times int) {
	t.Helper()
	var all string
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		all = ""
		files, err := filepath.Glob(filepath.Join(dir, "*.*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && !strings.HasSuffix(f, ".conf") && !strings.HasSuffix(f, ".cfg") && !strings.HasSuffix(f, ".json") {
				all += string(b)
			}
		}
		if !log || strings.Count(all, `" 200 `) == 2*times || time.Now().After(end) {
			break
		}
	}
	lines := strings.Count(all, "Mozilla/5.0 (X11; Linux x86_64)")
	if posts := strings.Count(all, `"POST /bytes/16384" 200 `); log && (lines != times || posts != times) || !log && lines+posts > 0 {
		t.Errorf("log %v: %d and %d lines of %d exchanges each:\n%s", log, lines, posts, times, all)
	}
	if strings.Contains(all, "temporary file") {
		t.Errorf("it works with files:\n%s", all)
	}
}

// What wrk would negotiate with a server is found out without wrk, and must be what the rows require.
func TestCheckWrk(t *testing.T) {
	t.Parallel()
	h := &harness{wrk: find("wrk"), dir: t.TempDir()}
	if h.wrk == "" {
		t.Skip("wrk is not installed (bench/setup.sh installs it)")
	}
	var err error
	if h.cores, err = splitCores(); err != nil {
		t.Fatal(err)
	}
	for bad, config := range map[string]func(*tls.Config){
		"":                             nil,
		"TLS 1.2":                      func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"not a ServerHello with a key": func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
	} {
		addr, _ := tlsHost(t, config)
		if err := h.checkWrk(addr); (err != nil) != (bad != "") || err != nil && !strings.Contains(err.Error(), bad) {
			t.Errorf("%v, want %q", err, bad)
		}
	}
}

// wrk sends the bytes of a file unchanged if it is configured to do so.
func TestWrkSendsTheRequest(t *testing.T) {
	t.Parallel()
	h := &harness{wrk: find("wrk"), dir: t.TempDir()}
	if h.wrk == "" {
		t.Skip("wrk is not installed (bench/setup.sh installs it)")
	}
	var err error
	if h.cores, err = splitCores(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e := exchange{Request: post(5000), Size: int64(len(httpBody))}
	const response = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + httpBody
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, len(e.Request))
				for {
					if _, err := io.ReadFull(c, b); err != nil || string(b) != string(e.Request) {
						return // wrk reports that
					}
					if _, err := io.WriteString(c, response); err != nil {
						return
					}
				}
			}()
		}
	}()
	r, err := atLeast(2, lasting(job{Addr: l.Addr().String(), Exchange: e, Conns: 2}, func(j job) (result, error) { return requests(h, j) }))
	if err != nil || r.Errors > 0 || r.Ops < 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := r.checkSize(int64(len(response)), 2); err != nil {
		t.Error(err)
	}
}
