package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// soon is how long others may wait while a host leads back.
const soon = 2 * time.Second

// A host whose address is the proxy's own is not connected to, whatever leads to it, and others are served.
func TestHostIsTheProxyItself(t *testing.T) {
	t.Parallel()
	needAddress(t, "127.0.0.2", "127.0.0.2")
	modes(t, func(t *testing.T, multi bool) {
		dependsOnTime(t)
		good := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good") })
		for what, host := range map[string]string{"its address": "127.0.0.1", "another loopback address": "127.0.0.2", "the unspecified address": "0.0.0.0", "a name": "localhost"} {
			port := reservePort(t)
			set := groupOf("host", nil, entry(endpoint{host, port}, "loop.example"), entry(good.endpoint, "good.example"))
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

// ask sends a request for that host and reads the response.
func (p *proxy) ask(host string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Host = host
	return do(p.t, p.client(), req)
}

// The same where TLS is passed through, by a name that resolves to the proxy. A host that is at two addresses, one of them the
// proxy's, is reached at the other, and a group's other hosts are tried.
func TestPassThroughToTheProxyItself(t *testing.T) {
	t.Parallel()
	prepare := withNames(t, "loop.test", "good.test")
	dependsOnTime(t)
	a := newAuthority(t)
	good := listen(t, "127.0.0.1", nil)
	port := reservePort(t)
	set := settings{"max_connections": 100}
	p := startOn(t, port, setup{algorithm: "sni", prepare: prepare, settings: set, hosts: []endpoint{{"loop.test", port}, called(good.endpoint, "good.test")}})
	for range 20 {
		c := p.dial()
		_, _ = io.WriteString(c, clientHello(asking(&tls.Config{}, "loop.test")))
		expectClosed(t, c)
	}
	begin := time.Now()
	client := tls.Client(p.dial(), a.trusted("good.test"))
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	good.secureAccept(a.issue("good.test").config())
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

// After a reload that moves the port, the old one is a host like others, and the new one leads back.
func TestOwnPortChanges(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		other := listen(t, "127.0.0.1", answer("next"))
		was, is := reservePort(t), reservePort(t)
		s := setup{algorithm: "first", multi: multi, hosts: []endpoint{{"127.0.0.1", is}, other.endpoint}}
		p := startOn(t, was, s)
		expectAll(t, p.dial(), "next") // nobody is at the port that is to come
		p.port = is
		p.rewrite(s)
		if status, out := p.order("reload"); status != 0 { // with a warning
			t.Fatalf("reload: exit status %d: %s", status, out)
		}
		expectAll(t, p.dial(), "next")
		p.sees(fmt.Sprintf(`address=127.0.0.1:%d .*this proxy's own`, is))
	})
}
