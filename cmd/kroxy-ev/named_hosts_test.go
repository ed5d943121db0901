package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// namedEntry returns an entry of "hosts": e with a name.
func namedEntry(e endpoint, name string) settings {
	return settings{"host": e.Host, "port": e.Port, "name": name}
}

// groupOf returns "servers" with one group, which has these hosts.
func groupOf(algorithm string, more settings, hosts ...settings) settings {
	g := settings{"balancing_algo": algorithm, "hosts": hosts}
	for k, v := range more {
		g[k] = v
	}
	return settings{"servers": settings{"backend": g}}
}

// The name that a request asks for is compared with the hosts' "name", independent of their addresses; "*" gets the rest.
func TestNamedHostsInHTTP(t *testing.T) {
	t.Parallel()
	letter := func(l string) endpoint {
		return serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s %s %s", l, r.Host, r.Header.Get("X-Name"))
		}).endpoint
	}
	a, b, c, d := letter("A"), letter("B"), letter("C"), letter("D")
	hosts := []settings{namedEntry(a, "a.example"), namedEntry(refusing(t), "b.example"), namedEntry(b, "B.example"), namedEntry(refusing(t), "*"), namedEntry(c, "*"), namedEntry(d, "*")}
	set := groupOf("host", nil, hosts...)
	set["headers"] = settings{"X-Name": "$host"}
	kept := startHTTP(t, setup{settings: set})
	set = groupOf("host", nil, hosts...)
	set["headers"], set["proxy_set_host"] = settings{"X-Name": "$host"}, "upstream"
	replaced := startHTTP(t, setup{settings: set})
	for host, want := range map[string][2]string{
		"a.example":      {"A a.example a.example", fmt.Sprintf("A a.example:%d a.example", a.Port)},
		"A.Example.:99":  {"A A.Example.:99 a.example", fmt.Sprintf("A a.example:%d a.example", a.Port)},
		"b.example":      {"B b.example B.example", fmt.Sprintf("B B.example:%d B.example", b.Port)},
		"127.0.0.1":      {"C 127.0.0.1 127.0.0.1", fmt.Sprintf("C 127.0.0.1:%d 127.0.0.1", c.Port)},
		"sub.a.example":  {"C sub.a.example 127.0.0.1", fmt.Sprintf("C 127.0.0.1:%d 127.0.0.1", c.Port)},
		"unknown.exampl": {"C unknown.exampl 127.0.0.1", fmt.Sprintf("C 127.0.0.1:%d 127.0.0.1", c.Port)},
	} {
		for i, p := range []*proxy{kept, replaced} {
			conn := p.dial()
			send(t, conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
			if res, body := reply(t, bufio.NewReader(conn), http.MethodGet); res.StatusCode != 200 || body != want[i] {
				t.Errorf("asked for %q: status %d, %q; want %q", host, res.StatusCode, body, want[i])
			}
		}
	}
}

// With passthrough, the name in the ClientHello is compared with the hosts' "name"; "*" gets other names and clients without a name.
func TestNamedHostsInPassThrough(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	alpha, other := listen(t, "127.0.0.1", nil), listen(t, "127.0.0.1", nil)
	p := start(t, setup{settings: groupOf("sni", nil,
		namedEntry(alpha.endpoint, "alpha.test"), namedEntry(refusing(t), "*"), namedEntry(other.endpoint, "*"))})
	for name, h := range map[string]*host{"alpha.test": alpha, "ALPHA.test": alpha, "beta.test": other, "": other, "127.0.0.1": other} {
		client := tls.Client(p.dial(), askingFor(a.clientConfig(""), name))
		failed := make(chan error, 1)
		go func() { failed <- client.Handshake() }()
		server := h.acceptTLS(a.issue("alpha.test").config())
		if err := <-failed; err != nil {
			t.Errorf("asked for %q: %v", name, err)
		}
		_, _ = client.Close(), server.Close()
	}
}

// A host's "name" is sent to it by SNI, and its certificate must be for that name.
func TestNamedHostsByTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	is := a.issue("alpha.test")
	config := is.config()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName != "alpha.test" {
			return nil, fmt.Errorf("the client asked for %q", hello.ServerName)
		}
		return nil, nil
	}
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		s := tls.Server(c, config)
		_, _ = io.WriteString(s, "A")
		_ = s.Close()
	})
	verified := settings{"proxy_tls_enabled": true, "proxy_tls_verify": true, "proxy_tls_ca_path": a.path}
	for name, want := range map[string]string{"alpha.test": "A", "beta.test": ""} {
		p := start(t, setup{settings: groupOf("round_robin", verified, namedEntry(h.endpoint, name))})
		c := p.dial()
		if got, _ := io.ReadAll(c); string(got) != want {
			t.Errorf("a host with the name %q: got %q, want %q", name, got, want)
		}
	}
}
