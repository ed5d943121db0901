package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soon is how long other clients may wait while a host leads back to the proxy: far less than where nothing cuts the chain, and longer than a loaded
// machine stands still.
const soon = 10 * time.Second

// The proxy does not connect to a host whose address is its own, however the address was configured or found, and serves other hosts.
func TestHostIsTheProxyItself(t *testing.T) {
	t.Parallel()
	needAddress(t, "127.0.0.2", "127.0.0.2")
	modes(t, func(t *testing.T, multi bool) {
		good := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good") })
		for what, host := range map[string]string{"its address": "127.0.0.1", "another loopback address": "127.0.0.2", "the unspecified address": "0.0.0.0", "a name": "localhost"} {
			port := reservePort(t)
			set := groupOf("host", nil, namedEntry(endpoint{host, port}, "loop.example"), namedEntry(good.endpoint, "good.example"))
			set["max_connections"] = 100
			p := startOn(t, port, setup{mode: "http", settings: set, multi: multi})
			for range 20 {
				if res, _ := p.ask("loop.example"); res.StatusCode != 502 {
					t.Errorf("%s: status %d, want 502", what, res.StatusCode)
				}
			}
			begin := time.Now()
			if res, body := p.ask("good.example"); res.StatusCode != 200 || body != "good" {
				t.Errorf("%s: the other host: status %d, %q", what, res.StatusCode, body)
			}
			if took := time.Since(begin); took > soon {
				t.Errorf("%s: the other host took %v", what, took)
			}
			p.await(p.stderr, fmt.Sprintf(`group=backend host=%s:%d .*this proxy's own; correct \\"host\\" or \\"port\\"`, host, port))
		}
	})
}

// ask makes a request with this Host and reads the response.
func (p *proxy) ask(host string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Host = host
	return do(p.t, p.client(), req)
}

// The same for TLS passthrough to a name that resolves to the proxy. If a host has two addresses and one is the proxy's, the other is used, and the group's
// other hosts are tried.
func TestPassThroughToTheProxyItself(t *testing.T) {
	t.Parallel()
	prepare := withNames(t, "loop.test", "good.test")
	a := newAuthority(t)
	good := listen(t, "127.0.0.1", nil)
	port := reservePort(t)
	set := settings{"max_connections": 100}
	p := startOn(t, port, setup{algorithm: "sni", prepare: prepare, settings: set, hosts: []endpoint{{"loop.test", port}, withName(good.endpoint, "good.test")}})
	for range 20 {
		c := p.dial()
		_, _ = io.WriteString(c, clientHello(askingFor(&tls.Config{}, "loop.test")))
		expectClosed(t, c)
	}
	begin := time.Now()
	client := tls.Client(p.dial(), a.clientConfig("good.test"))
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	good.acceptTLS(a.issue("good.test").config())
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > soon {
		t.Errorf("the other host took %v", took)
	}
	p.await(p.stderr, fmt.Sprintf(`group=backend host=loop.test:%d address=127.0.0.1:%[1]d`, port))

	port = reservePort(t)
	next := listen(t, "127.0.0.1", answer("next"))
	p = startOn(t, port, setup{algorithm: "first", hosts: []endpoint{{"127.0.0.1", port}, next.endpoint}})
	expectAll(t, p.dial(), "next")
}

// After a reload that moves the port, the old port is an ordinary host, and the new one leads back.
func TestOwnPortChanges(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		other := listen(t, "127.0.0.1", answer("next"))
		was, is := reservePort(t), reservePort(t)
		s := setup{algorithm: "first", multi: multi, hosts: []endpoint{{"127.0.0.1", is}, other.endpoint}}
		p := startOn(t, was, s)
		expectAll(t, p.dial(), "next") // nothing listens on the future port yet
		p.port = is
		p.rewrite(s)
		if status, out := p.order("reload"); status != 0 { // the reload warns
			t.Fatalf("reload: exit status %d: %s", status, out)
		}
		// The host was found down before, so it is not tried again until its next probe.
		eventually(t, "the log says that the host leads back", func() bool {
			expectAll(t, p.dial(), "next")
			return p.stderr.count(fmt.Sprintf(`address=127.0.0.1:%d .*this proxy's own`, is)) > 0
		})
	})
}

// A passthrough listener forwards all other names to an HTTP server in the same process, by an address and by a unix socket. That server has no host in this
// process, so there is no loop.
func TestPassThroughToOwnHTTP(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		id := a.issue("own.test", "socket.test")
		elsewhere := listen(t, "127.0.0.1", nil)
		front, own, plain, socket := reservePort(t), reservePort(t), reservePort(t), socketPath(t)
		local := []string{"127.0.0.1"}
		check := object{"interval": "50ms", "timeout": patience.Milliseconds()}
		p := startFile(t, multi, nil, object{
			"servers": object{
				"elsewhere": object{"hosts": []endpoint{elsewhere.endpoint}},
				"own":       object{"hosts": []object{{"host": "127.0.0.1", "port": own}}, "proxy_protocol": "v2", "health_check": check},
				"socket":    object{"hosts": []object{{"unix": socket}}, "proxy_protocol": "v1", "health_check": check},
				"round":     object{"hosts": []object{{"host": "127.0.0.1", "port": front}}},
				"again":     object{"hosts": []object{{"host": "127.0.0.1", "port": plain}}},
			},
			"stream": object{"port": front, "routes": []object{
				{"match": object{"sni": "elsewhere.test"}, "proxy_to": "elsewhere"},
				{"match": object{"sni": "socket.test"}, "proxy_to": "socket"},
				{"proxy_to": "own"},
			}},
			"http": object{
				"listen": []listenEntry{
					{"port": own, "tls": true, "proxy_protocol": local}, {"unix": socket, "tls": true, "proxy_protocol": local}, {"port": plain},
				},
				"certificates": []object{{"cert_path": id.cert, "key_path": id.key}},
				"routes": []object{
					{"match": object{"path": "/round"}, "proxy_to": "round"},
					{"match": object{"path": "/again"}, "proxy_to": "again"},
					{"respond": object{"body": "$client_addr:$client_port $tls_sni"}},
				},
			},
		})
		for _, name := range []string{"own.test", "socket.test"} {
			raw := guard(t, dialPort(t, front))
			c := tls.Client(raw, a.clientConfig(name))
			send(t, c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			if _, body := reply(t, bufio.NewReader(c), "GET"); body != raw.LocalAddr().String()+" "+name {
				t.Errorf("%s: %q, want %v", name, body, raw.LocalAddr())
			}
		}
		client := tls.Client(guard(t, dialPort(t, front)), a.clientConfig("elsewhere.test"))
		failed := make(chan error, 1)
		go func() { failed <- client.Handshake() }()
		elsewhere.acceptTLS(a.issue("elsewhere.test").config())
		if err := <-failed; err != nil {
			t.Error(err)
		}
		for _, path := range []string{"/round", "/again"} {
			c := guard(t, dialPort(t, plain))
			send(t, c, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
			if res, _ := reply(t, bufio.NewReader(c), "GET"); res.StatusCode != 502 {
				t.Errorf("%s: status %d, want 502", path, res.StatusCode)
			}
		}
		for _, line := range []string{"group=round", "group=again"} {
			p.await(p.stderr, line+" .*this proxy's own")
		}
		if n := p.stderr.count("check: a host is down"); n != 0 {
			t.Errorf("%d hosts failed their checks", n)
		}
	})
}

// chained starts two proxies that lead to each other for the name loop.test, and to ordinary hosts for good.test. Neither sees an address of its own.
func chained(t *testing.T, multi bool, mode, algorithm string, good endpoint) (p, q *proxy) {
	t.Helper()
	var ports [2]int
	for i := range ports {
		ports[i] = reservePort(t)
	}
	for i, port := range ports {
		set := groupOf(algorithm, nil, namedEntry(endpoint{"127.0.0.1", ports[1-i]}, "loop.test"), namedEntry(good, "good.test"))
		set["max_connections"] = 200
		p, q = startOn(t, port, setup{mode: mode, settings: set, multi: multi}), p
	}
	return p, q
}

// Where proxies lead to each other, chains of connections are cut before they occupy all places, and other clients are served.
func TestChainOfProxies(t *testing.T) {
	t.Parallel()
	const clients, others = 10, 20
	t.Run("passing TLS through", func(t *testing.T) {
		t.Parallel()
		modes(t, func(t *testing.T, multi bool) {
			a := newAuthority(t)
			is := a.issue("good.test")
			good := listen(t, "127.0.0.1", func(c *net.TCPConn) {
				s := tls.Server(c, is.config())
				_, _ = io.WriteString(s, "good")
				_ = s.Close()
			})
			p, q := chained(t, multi, "stream", "sni", good.endpoint)
			hello := clientHello(askingFor(&tls.Config{}, "loop.test"))
			var all []net.Conn
			for range clients {
				c := p.dial()
				_, _ = io.WriteString(c, hello)
				all = append(all, c)
			}
			for range others {
				expectSoon(t, "another client", func() {
					if got, err := io.ReadAll(tls.Client(p.dial(), a.clientConfig("good.test"))); err != nil || string(got) != "good" {
						t.Errorf("another client got %q, %v", got, err)
					}
				})
				time.Sleep(50 * time.Millisecond)
			}
			for _, c := range all {
				expectClosed(t, c)
			}
			both := func() string { return p.stderr.String() + q.stderr.String() }
			eventually(t, "one of the proxies logs the chain", func() bool {
				return regexp.MustCompile(`level=ERROR msg="upstream: client connections .* does the host lead back to this proxy.* group=backend host=127\.0\.0\.1:\d+ client=127\.0\.0\.1 `).MatchString(both())
			})
		})
	})
	t.Run("by http", func(t *testing.T) {
		t.Parallel()
		modes(t, func(t *testing.T, multi bool) {
			good := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good") })
			p, _ := chained(t, multi, "http", "host", good.endpoint)
			done := make(chan string, clients)
			for range clients {
				go func() {
					req, _ := http.NewRequest(http.MethodGet, p.url("/"), nil)
					req.Host = "loop.test"
					res, err := p.client().Do(req)
					if err != nil {
						done <- err.Error()
						return
					}
					_ = res.Body.Close()
					done <- res.Status
				}()
			}
			for range others {
				expectSoon(t, "another client", func() {
					if res, body := p.ask("good.test"); res.StatusCode != 200 || body != "good" {
						t.Errorf("another client got status %d, %q", res.StatusCode, body)
					}
				})
				time.Sleep(50 * time.Millisecond)
			}
			for range clients {
				if got := <-done; got != "502 Bad Gateway" {
					t.Errorf("a client of the chain got %s, want status 502", got)
				}
			}
		})
	})
}

// Many clients from one address, for one host, are not taken for a chain if the host answers.
func TestManyClientsAreNoChain(t *testing.T) {
	t.Parallel()
	const places, clients = 200, 195
	set := settings{"max_connections": places, "reactors_num": 1}
	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		p := start(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), settings: set})
		for range clients {
			expectEcho(t, p.dial(), "x")
		}
	})
	t.Run("silent, but not too many", func(t *testing.T) {
		t.Parallel()
		h := listen(t, "127.0.0.1", nil)
		p := start(t, setup{hosts: endpoints(h), settings: set})
		for range places * 3 / 4 {
			send(t, p.dial(), "x")
		}
		for range places * 3 / 4 {
			expect(t, h.accept(), "x")
		}
	})
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		var last, gap atomic.Int64 // when the host answered last, and its longest silence, both in ms
		note := func() {
			now := time.Now().UnixMilli()
			silent := now - last.Swap(now)
			for old := gap.Load(); silent > old && !gap.CompareAndSwap(old, silent); old = gap.Load() {
			}
		}
		h := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(100 * time.Millisecond)
			_, _ = io.WriteString(w, "slow")
			note()
		})
		for range 10 {
			p := startHTTP(t, setup{hosts: endpoints(h), settings: set})
			last.Store(time.Now().UnixMilli())
			gap.Store(0)
			refused := refusalsOf(t, p, clients)
			note()
			if refused == 0 {
				return
			}
			if silent := gap.Load(); silent < 500 {
				t.Fatalf("%d clients of a host that was silent for %d ms at most got another status, want 200", refused, silent)
			}
			p.stop() // the machine stood still, and a host that answers nobody for a second may be refused
		}
		t.Skip("this machine is too busy for a host that answers all the time")
	})
}

// refusalsOf makes five requests for each of the clients at once, over new connections, and returns how many did not get status 200.
func refusalsOf(t *testing.T, p *proxy, clients int) int64 {
	t.Helper()
	var running sync.WaitGroup
	var refused atomic.Int64
	for range clients {
		running.Go(func() {
			for range 5 {
				res, err := p.client().Get(p.url("/"))
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					refused.Add(1)
				}
			}
		})
	}
	running.Wait()
	return refused.Load()
}

// A forwarded port hides that an address is the proxy's own.
func TestForwardedToTheProxyItself(t *testing.T) {
	t.Parallel()
	port := reservePort(t)
	forwarder := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		d, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return
		}
		defer d.Close()
		ends := make(chan error, 2)
		for _, way := range [][2]net.Conn{{c, d}, {d, c}} {
			go func() {
				_, err := io.Copy(struct{ io.Writer }{way[0]}, struct{ io.Reader }{way[1]})
				ends <- err
			}()
		}
		if err := <-ends; err != nil {
			reset(c)
			reset(d.(*net.TCPConn))
		}
	})
	p := startOn(t, port, setup{hosts: endpoints(forwarder), settings: settings{"max_connections": 200}})
	for _, says := range []string{"", "hello"} {
		if c, err := p.tryDial(); err == nil { // the reset may arrive together with the connection
			_, _ = io.WriteString(c, says)
			expectClosed(t, c)
		}
		p.awaitSockets(t, "the chain's sockets are closed", func(n int) bool { return n < 50 })
	}
}

// expectSoon demands that do takes no longer than soon.
func expectSoon(t *testing.T, what string, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	if took := time.Since(begin); took > soon {
		t.Errorf("%s had to wait %v", what, took)
	}
}
