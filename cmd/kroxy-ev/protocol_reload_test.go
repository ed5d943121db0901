package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// serveVersion starts a host that answers with the version of HTTP in which it was asked.
func serveVersion(t *testing.T) endpoint {
	t.Helper()
	return serveBothVersions(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.ProtoMajor) })
}

// listenOn listens on a port from reservePort. When the listener is closed, connections are refused at once.
func listenOn(t *testing.T, port int) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	return promptListener{ln.(*net.TCPListener)}
}

// serveBothVersions starts a host that speaks HTTP/1.1 and HTTP/2 without TLS, at an address, or at all if at is "".
func serveBothVersions(t *testing.T, at string, h http.HandlerFunc) endpoint {
	t.Helper()
	ln, err := net.Listen("tcp4", at+":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler:   h,
		ErrorLog:  serverLog,
		Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return endpoint{at, ln.Addr().(*net.TCPAddr).Port}
}

// versionClient returns a net/http client without TLS that speaks only HTTP/2 or only HTTP/1.1.
func (p *proxy) versionClient(two bool) *http.Client {
	c := p.client()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!two)
	protocols.SetUnencryptedHTTP2(two)
	c.Transport.(*http.Transport).Protocols = protocols
	return c
}

// A reload that changes the protocol of hosts takes effect with each client's next request, and none fails. Idle connections of the old version are not used
// for the new one. A change of the clients' protocols affects new connections; existing ones continue.
func TestProtocolsReload(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		group, port := []endpoint{serveVersion(t)}, reservePort(t)
		with := func(host string, clients ...string) setup {
			return setup{mode: "http", multi: multi, settings: settings{
				"listen":  []listenEntry{{"port": port, "protocols": clients}},
				"servers": settings{"backend": settings{"hosts": group, "protocol": host}},
			}}
		}
		p := startOn(t, port, with("http/1.1", "h2c", "http/1.1"))
		one, two := p.versionClient(false), p.versionClient(true)
		expect := func(c *http.Client, spoken int, want string) {
			t.Helper()
			res, body := p.get(c, "/")
			if res.StatusCode != 200 || res.ProtoMajor != spoken || body != want {
				t.Errorf("status %d in HTTP/%d, body %q; want HTTP/%d, and %q from the host", res.StatusCode, res.ProtoMajor, body, spoken, want)
			}
		}
		for range 3 {
			for protocol, want := range map[string]string{"h2c": "2", "http/1.1": "1"} {
				p.rewrite(with(protocol, "h2c", "http/1.1"))
				p.mustOrder("reload")
				for range 2 {
					expect(one, 1, want)
					expect(two, 2, want)
				}
			}
		}
		p.rewrite(with("h2c", "http/1.1"))
		p.mustOrder("reload")
		expect(one, 1, "2")
		expect(two, 2, "2") // over its existing connection
		two.CloseIdleConnections()
		if res, err := two.Get(p.url("/")); err == nil {
			t.Errorf("a new connection in HTTP/2 got status %d", res.StatusCode)
			_ = res.Body.Close()
		}
		p.rewrite(with("h2c", "h2c"))
		p.mustOrder("reload")
		expect(two, 2, "2")
		expect(one, 1, "2")
		one.CloseIdleConnections()
		if res, err := one.Get(p.url("/")); err == nil {
			t.Errorf("a new connection in HTTP/1.1 got status %d", res.StatusCode)
			_ = res.Body.Close()
		}
	})
}

// A host of HTTP/2 whose process dies fails none of its repeatable requests, however many share the connection. The connection has served before, so the
// requests are sent once more, as in HTTP/1.1, and do not count as retries, which have a budget.
func TestHostOfManyStreamsDies(t *testing.T) {
	t.Parallel()
	const n = 60 // the budget allows a fifth of them as retries at once
	arrived, dead := make(chan struct{}, n), make(chan struct{})
	dies := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/first" {
			arrived <- struct{}{}
			<-dead
			panic(http.ErrAbortHandler)
		}
	}))
	// Nobody else gets the port when the host is dead.
	_ = dies.Listener.Close()
	dies.Listener = listenOn(t, reservePort(t))
	dies.Config.ErrorLog = serverLog
	dies.Config.Protocols = new(http.Protocols)
	dies.Config.Protocols.SetUnencryptedHTTP2(true)
	dies.Start()
	t.Cleanup(dies.Close)
	at := dies.Listener.Addr().(*net.TCPAddr)
	port := reservePort(t)
	p := startFile(t, false, nil, object{
		"reactors_num": 1,
		"http": object{"port": port, "proxy_to": "web", "servers": object{"web": object{
			"protocol": "h2c", "balancing_algo": "first", "hosts": []endpoint{{"127.0.0.1", at.Port}, serveVersion(t)},
		}}},
	})
	p.port = port
	c := p.client()
	p.get(c, "/first")
	statuses := make(chan int, n)
	for range n {
		go func() {
			res, err := c.Get(p.url("/"))
			if err != nil {
				statuses <- 0
				return
			}
			_ = res.Body.Close()
			statuses <- res.StatusCode
		}()
	}
	for range n {
		<-arrived
	}
	_ = dies.Listener.Close()
	dies.CloseClientConnections()
	failed := 0
	for range n {
		if status := <-statuses; status != http.StatusOK {
			failed++
		}
	}
	close(dead)
	if failed > 0 {
		t.Errorf("%d of %d requests failed", failed, n)
	}
}
