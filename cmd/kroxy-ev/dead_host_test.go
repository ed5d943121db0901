package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// deadLate is a little less than the 3 s for which a request waits for a host that answers nothing. Any other request takes that long only if the machine
// stands still.
const deadLate = 2900 * time.Millisecond

// deadHostCase is a way to request something from a group of two hosts.
type deadHostCase struct {
	mode, algorithm string
	ask             func(t *testing.T, p *proxy) // one request or session, over a connection of its own
}

func deadHostCases() map[string]deadHostCase {
	get := func(t *testing.T, p *proxy) {
		t.Helper()
		c := p.dial()
		send(t, c, "GET / HTTP/1.1\r\nHost: both.test\r\nConnection: close\r\n\r\n")
		if res, body := reply(t, bufio.NewReader(c), http.MethodGet); res.StatusCode != 200 || body != "alive" {
			t.Errorf("status %d, body %q, want 200", res.StatusCode, body)
		}
		_ = c.Close()
	}
	say := func(text string) func(*testing.T, *proxy) {
		return func(t *testing.T, p *proxy) {
			t.Helper()
			c := p.dial()
			expectEcho(t, c, text)
			_ = c.Close()
		}
	}
	all := map[string]deadHostCase{"stream, sni": {"stream", "sni", say(clientHello(askingFor(&tls.Config{}, "both.test")))}}
	for _, algorithm := range []string{"round_robin", "first", "least_conn"} {
		all["stream, "+algorithm] = deadHostCase{"stream", algorithm, say("hello")}
	}
	for _, algorithm := range []string{"round_robin", "first", "least_conn", "host"} {
		all["http, "+algorithm] = deadHostCase{"http", algorithm, get}
	}
	return all
}

// start starts a proxy with two hosts, the first of which is dead. Both have the same name.
func (c *deadHostCase) start(t *testing.T, dead endpoint, more settings, multi bool) *proxy {
	t.Helper()
	var alive endpoint
	if c.mode == "http" {
		alive = serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive") }).endpoint
	} else {
		alive = listen(t, "127.0.0.1", echo).endpoint
	}
	s := groupOf(c.algorithm, nil, namedEntry(dead, "both.test"), namedEntry(alive, "both.test"))
	for k, v := range more {
		s[k] = v
	}
	return start(t, setup{mode: c.mode, settings: s, multi: multi})
}

// A host that answers nothing delays one request, by 3 s and not by half of connect_timeout. It delays no later request: neither in other workers, nor when
// the host is probed. With workers, passive checks are on as well.
func TestBlackHoleDelaysOneRequest(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about time")
	hole := blackHole(t)
	for name, c := range deadHostCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			modes(t, func(t *testing.T, multi bool) {
				s := settings{"workers_num": 4, "reactors_num": 2}
				if multi {
					s["passive_check"] = settings{"failures": 1, "eject": "10m"}
				}
				p := c.start(t, hole, s, multi)
				var late []time.Duration
				for range 40 {
					begin := time.Now()
					c.ask(t, p)
					if d := time.Since(begin); d > deadLate {
						late = append(late, d.Round(time.Millisecond))
					}
					time.Sleep(50 * time.Millisecond) // the host's first pause must pass and a probe begin
				}
				if len(late) > 1 || len(late) == 1 && late[0] > 5*deadLate {
					t.Errorf("of 40 requests these were late: %v; want one, by 3 s", late)
				}
				const line = `level=WARN msg="upstream: a host is down and is tried last" .*connecting timed out`
				p.awaitLog(line)
				if n := p.stderr.count(line); n != 1 {
					t.Errorf("%d log lines say that a host is down, want one", n)
				}
			})
		})
	}
}

// A host that accepts connections and answers nothing delays at most one request of each worker, and is then ejected.
func TestSilentHostDelaysFewRequests(t *testing.T) {
	t.Parallel()
	const workers = 3
	for _, mode := range []string{"http", "stream"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			modes(t, func(t *testing.T, multi bool) {
				var asked atomic.Int64
				silent := listen(t, "127.0.0.1", func(c *net.TCPConn) {
					if n, _ := c.Read(make([]byte, 1)); n > 0 {
						asked.Add(1)
					}
					_, _ = io.Copy(io.Discard, c)
				})
				good := listen(t, "127.0.0.1", echo)
				if mode == "http" {
					good.endpoint = serve(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) {}).endpoint
				}
				s := groupOf("first", settings{"passive_check": settings{"failures": 1, "eject": "10m"}}, hostEntry(silent.endpoint), hostEntry(good.endpoint))
				s["workers_num"], s["reactors_num"], s["proxy_read_timeout"] = workers, 1, "5s"
				p := start(t, setup{mode: mode, settings: s, multi: multi})
				failed := 0
				for range 30 {
					c := p.dial()
					send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
					text := make([]byte, len("HTTP/1.1 504"))
					if n, _ := io.ReadFull(c, text); n == 0 || string(text) == "HTTP/1.1 504" {
						failed++
					}
					_ = c.Close()
				}
				if n := asked.Load(); n < 1 || n > workers || failed < 1 || failed > workers {
					t.Errorf("the silent host got %d requests, and %d of 30 requests failed; want 1 to %d of both", n, failed, workers)
				}
				p.await(p.stderr, fmt.Sprintf(`msg="upstream: a host fails its clients and is tried last \(passive_check\)".* group=backend host=127.0.0.1:%d`, silent.Port))
				t.Logf("the silent host got %d requests from %d workers", asked.Load(), workers)
			})
		})
	}
}

// failingHost is a host that counts its connections and closes each at once until serves is set. In a group with TLS each handshake fails until then.
type failingHost struct {
	*host
	serves atomic.Bool
	n      atomic.Int64
}

func newFailingHost(t *testing.T, config *tls.Config, body string) *failingHost {
	t.Helper()
	f := new(failingHost)
	f.host = listen(t, "127.0.0.1", func(c *net.TCPConn) {
		f.n.Add(1)
		if !f.serves.Load() {
			return
		}
		s := tls.Server(c, config)
		for in := bufio.NewReader(s); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = fmt.Fprintf(s, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
	return f
}

// deadPauses are the pauses between probes of a host that is down, as in package balance.
var deadPauses = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second}

// maxProbes returns the most probes that can begin within d after a host went down.
func maxProbes(d time.Duration) (n int64) {
	for _, pause := range deadPauses {
		if d < pause {
			break
		}
		d -= pause
		n++
	}
	return n
}

// However much traffic there is, one connection at a time probes whether a host serves again. When it does, all workers use it, and one of them has logged
// it.
func TestOneConnectionProbes(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		bad := newFailingHost(t, a.issue("127.0.0.1").config(), "bad")
		good := newFailingHost(t, a.issue("127.0.0.1").config(), "good")
		good.serves.Store(true)
		p := startHTTP(t, setup{
			hosts: endpoints(bad.host, good.host), multi: multi, settings: settings{"workers_num": 4, "reactors_num": 2},
		}.toTLS(settings{}))
		client := p.client()
		down := time.Now() // or later
		if _, body := p.get(client, "/"); body != "good" {
			t.Fatalf("the first answer came from %q", body)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var served atomic.Int64
		for range 16 {
			wg.Go(func() {
				tr := &http.Transport{DisableKeepAlives: true}
				for {
					select {
					case <-stop:
						return
					default:
					}
					res, err := (&http.Client{Transport: tr}).Get(p.url("/"))
					if err != nil {
						t.Error(err)
						return
					}
					body, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if err != nil || res.StatusCode != 200 {
						t.Errorf("status %d, error %v, want 200", res.StatusCode, err)
						return
					}
					if string(body) == "bad" {
						served.Add(1)
					}
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		for time.Since(down) < 3500*time.Millisecond {
			time.Sleep(50 * time.Millisecond)
		}
		eventually(t, "the host is probed", func() bool { return bad.n.Load() >= 2 })
		tried := bad.n.Load()
		if most := 1 + maxProbes(time.Since(down)); tried > most {
			t.Errorf("%d connections to a host that is down, want %d at most", tried, most)
		}
		bad.serves.Store(true)
		eventually(t, "the host serves again", func() bool { return served.Load() > 50 })
		close(stop)
		wg.Wait()
		p.awaitLog(`level=INFO msg="upstream: a host serves again" .*down_for=\d.* failed=\d`)
		for _, line := range []string{"a host is down", "a host serves again"} {
			if n := p.stderr.count(line); n != 1 {
				t.Errorf("%d log lines match %q, want one", n, line)
			}
		}
	})
}

// A new worker, or a new configuration, knows which hosts its predecessor found dead.
func TestDeadHostIsKnownToSuccessors(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for _, verb := range []string{"reload", "upgrade"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			bad := newFailingHost(t, nil, "")
			good := newFailingHost(t, a.issue("127.0.0.1").config(), "good")
			good.serves.Store(true)
			s := setup{hosts: endpoints(bad.host, good.host), mode: "http", multi: true, algorithm: "first", settings: settings{"workers_num": 2}}.toTLS(settings{})
			if verb == "upgrade" {
				s.prepare = inProcessGroup(t)
			}
			p := start(t, s)
			ask := func() {
				t.Helper()
				if _, err := requestOnce(p.port); err == nil || !strings.Contains(err.Error(), `"good"`) {
					t.Error(err)
				}
			}
			down := time.Now() // or later
			ask()
			// The longer the pause is, the more obvious it is if a successor does not know of it.
			for bad.n.Load() < 3 {
				ask()
				if time.Since(down) > patience {
					t.Fatal("the host was not probed")
				}
				time.Sleep(20 * time.Millisecond)
			}
			p.mustOrder(verb)
			for range 20 {
				ask()
			}
			if n, most := bad.n.Load(), 1+maxProbes(time.Since(down)); n > most {
				t.Errorf("%d connections to a host that is down, want %d at most", n, most)
			}
			if n := p.stderr.count("a host is down"); n != 1 {
				t.Errorf("%d log lines say that the host is down, want one", n)
			}
			if verb == "upgrade" {
				successor := p.awaitSuccessor(1)
				if status := p.wait(); status != 0 {
					t.Errorf("the first master's exit status is %d", status)
				}
				p.stopSuccessor(successor)
			}
		})
	}
}

// The only host of a group gets all of connect_timeout if the file sets one, else 3 s, and is never skipped.
func TestLastHost(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about time")
	hole := blackHole(t)
	for name, test := range map[string]struct {
		more   settings
		before time.Duration
	}{"by default": {nil, 2900 * time.Millisecond}, "connect_timeout": {settings{"connect_timeout": 4500}, 4500 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, setup{hosts: []endpoint{hole}, settings: test.more})
			for range 2 {
				begin := time.Now()
				expectClosed(t, p.dial())
				notBefore(t, begin, test.before)
			}
		})
	}
}

// Clients that give up early do not prevent the proxy from noticing a dead host.
func TestImpatientClientsOfABlackHole(t *testing.T) {
	t.Parallel()
	c := deadHostCase{mode: "stream", algorithm: "first"}
	p := c.start(t, blackHole(t), nil, false)
	for range 2 {
		client := p.dial()
		time.Sleep(1200 * time.Millisecond)
		reset(client)
	}
	p.await(p.stderr, `a host is down and is tried last.*connecting timed out`)
	begin := time.Now()
	expectEcho(t, p.dial(), "hello")
	if d := time.Since(begin); d > deadLate {
		t.Errorf("a client waited %v, although the host was known to be down", d)
	}
}

// A host dies while the proxy has idle connections to it. The first request that finds its connection closed also finds, on a fresh connection, that the host
// is down, and another host answers.
func TestDeadHostBehindKeptConnections(t *testing.T) {
	t.Parallel()
	alive := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive") })
	dying := refusing(t) // once it no longer listens
	ln := listenOn(t, dying.Port)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(c, hello)
		_, _ = http.ReadRequest(in)
		_ = ln.Close()
	}()
	p := startHTTP(t, setup{hosts: []endpoint{dying, alive.endpoint}, algorithm: "first", settings: settings{"reactors_num": 1}})
	client := p.client()
	for i, want := range []string{"hello", "alive", "alive"} {
		if res, body := p.get(client, "/"); res.StatusCode != 200 || body != want {
			t.Errorf("request %d: status %d, %q; want %q", i, res.StatusCode, body, want)
		}
	}
	p.await(p.stderr, fmt.Sprintf(`level=WARN msg="upstream: a host is down and is tried last" group=backend host=127\.0\.0\.1:%d address=127\.0\.0\.1:%[1]d error="connection refused" for=1s\n`, dying.Port))
}

var moreLike = regexp.MustCompile(`, and ([0-9,]+) more like it`)

// countLines returns how many lines that match the pattern were written, plus those that were only counted.
func countLines(text, pattern string) (n int) {
	re := regexp.MustCompile(pattern)
	for line := range strings.Lines(text) {
		if !re.MatchString(line) {
			continue
		}
		if m := moreLike.FindStringSubmatch(line); m != nil {
			more, _ := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
			n += more
		} else {
			n++
		}
	}
	return n
}

// Thousands of requests to a host that refuses connections write a few lines, and the count of suppressed lines is exact.
func TestRefusedRequestsWriteFewLines(t *testing.T) {
	t.Parallel()
	const requests = 3000
	for mode, pattern := range map[string]string{"http": `msg="http: exchange failed`, "stream": `msg="stream: session closed`} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			modes(t, func(t *testing.T, multi bool) {
				p := start(t, setup{mode: mode, hosts: []endpoint{refusing(t)}, multi: multi, settings: settings{"workers_num": 2}})
				before, begin := len(p.stderr.String()), time.Now()
				var wg sync.WaitGroup
				for range 6 {
					wg.Go(func() {
						for range requests / 6 {
							c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", p.port))
							if err != nil {
								t.Error(err)
								return
							}
							_ = c.SetDeadline(time.Now().Add(patience))
							_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
							_, _ = io.Copy(io.Discard, c)
							_ = c.Close()
						}
					})
				}
				wg.Wait()
				p.stop()
				text := p.stderr.String()[before:]
				tens := int(time.Since(begin)/(10*time.Second)) + 1 // every 10 s some more lines of a kind may be written
				if len(text) > 4000*tens {
					t.Errorf("%d bytes in the log are too many:\n%.4000s", len(text), text)
				}
				if n := countLines(text, pattern); n != requests {
					t.Errorf("the log accounts for %d of %d requests:\n%.4000s", n, requests, text)
				}
				if n := strings.Count(text, "a host is down"); n != 1 {
					t.Errorf("%d lines that a host is down, want one:\n%.4000s", n, text)
				}
			})
		})
	}
}

// Clients whose handshakes fail write few lines too.
func TestFailedHandshakesWriteFewLines(t *testing.T) {
	t.Parallel()
	const clients = 300
	id := newAuthority(t).issue("site.test")
	for _, mode := range []string{"http", "stream"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := start(t, setup{mode: mode, hosts: []endpoint{refusing(t)}, settings: id.serverSettings(nil)})
			before, begin := len(p.stderr.String()), time.Now()
			for n := range clients {
				c := p.dial()
				send(t, c, []string{"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "SSH-2.0-OpenSSH_9.2\r\n", clientHello(askingFor(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "site.test"))}[n%3])
				expectClosed(t, c)
				_ = c.Close()
			}
			p.stop()
			text := p.stderr.String()[before:]
			tens := int(time.Since(begin)/(10*time.Second)) + 1 // every 10 s some more lines of a kind may be written
			if n := strings.Count(text, "level=INFO"); n > 10*tens || len(text) > 3000*tens {
				t.Errorf("%d lines, %d bytes in the log are too many:\n%.3000s", n, len(text), text)
			}
			if n := countLines(text, `handshake failed`); n != clients {
				t.Errorf("the log accounts for %d of %d clients:\n%.6000s", n, clients, text)
			}
		})
	}
}
