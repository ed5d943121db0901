package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/pires/go-proxyproto"
)

// listenRequiringHeader listens as a host whose connections must begin with a PROXY header of this version. Accepted connections have the addresses in the
// header.
func listenRequiringHeader(t *testing.T, version byte) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: patience,
		ConnPolicy:        func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil },
		ValidateHeader: func(h *proxyproto.Header) error {
			if h.Version != version {
				return fmt.Errorf("version %d, want %d", h.Version, version)
			}
			return nil
		},
	}
}

func endpointOf(l net.Listener) endpoint { return endpoint{"127.0.0.1", l.Addr().(*net.TCPAddr).Port} }

// toProxyHeader returns s with a PROXY header of this version for the hosts.
func (s setup) toProxyHeader(version byte, keys settings) setup {
	group := settings{"hosts": s.hosts, "proxy_protocol": fmt.Sprint("v", version)}
	for k, v := range keys {
		group[k] = v
	}
	all := settings{"servers": settings{"backend": group}}
	for k, v := range s.settings {
		all[k] = v
	}
	s.settings = all
	return s
}

// eachHeader runs a test for each version of the PROXY header.
func eachHeader(t *testing.T, test func(t *testing.T, version byte)) {
	t.Helper()
	for version := byte(1); version <= 2; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

// A host gets the addresses of the client's connection before anything else, and before TLS.
func TestProxyHeaderToStreamHosts(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	eachHeader(t, func(t *testing.T, version byte) {
		for name, tc := range map[string]struct{ secure, hostSpeaks, told bool }{
			"the client speaks":      {},
			"the host speaks":        {hostSpeaks: true},
			"TLS":                    {secure: true},
			"TLS, the host speaks":   {secure: true, hostSpeaks: true},
			"the client was told of": {told: true},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := listenRequiringHeader(t, version)
				seen := make(chan string, 1)
				go func() {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					ends := fmt.Sprint(c.RemoteAddr(), " ", c.LocalAddr())
					if tc.secure {
						c = tls.Server(c, id.config())
					}
					in := make([]byte, 5)
					if tc.hostSpeaks {
						_, _ = io.WriteString(c, "hello")
					}
					if _, err := io.ReadFull(c, in); err == nil && string(in) == "hello" {
						seen <- ends
					} else {
						seen <- fmt.Sprintf("%q, %v", in, err)
					}
					if !tc.hostSpeaks {
						_, _ = io.WriteString(c, "hello")
					}
				}()
				keys := settings{}
				if tc.secure {
					keys = settings{"proxy_tls_enabled": true, "proxy_tls_verify": true, "proxy_tls_ca_path": a.path}
				}
				s := setup{hosts: []endpoint{endpointOf(l)}}.toProxyHeader(version, keys)
				var p *proxy
				if tc.told {
					p = startWithProxyHeader(t, s)
				} else {
					p = start(t, s)
				}
				c := p.dial()
				want := fmt.Sprint(c.LocalAddr(), " ", c.RemoteAddr())
				if tc.told {
					send(t, c, proxyHeader(t, version))
					want = "198.51.100.7:1234 203.0.113.1:443"
				}
				if tc.hostSpeaks {
					expect(t, c, "hello")
				}
				send(t, c, "hello")
				if got := <-seen; got != want {
					t.Errorf("the host got the address %s, want %s", got, want)
				}
				if !tc.hostSpeaks {
					expect(t, c, "hello")
				}
			})
		}
	})
}

// A connection whose PROXY header names a client is used for one request only, whatever upstream_keepalive is. To reuse it, the proxy would have to keep it
// for that client alone.
func TestProxyHeaderToHTTPHosts(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	eachHeader(t, func(t *testing.T, version byte) {
		for name, secure := range map[string]bool{"plain": false, "TLS": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var opened atomic.Int32
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
				_ = srv.Listener.Close()
				srv.Listener = listenRequiringHeader(t, version)
				srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateNew {
						opened.Add(1)
					}
				}
				keys := settings{"upstream_keepalive": 10}
				if secure {
					keys["proxy_tls_enabled"], keys["proxy_tls_verify"], keys["proxy_tls_ca_path"] = true, true, a.path
					srv.TLS = id.config()
					srv.StartTLS()
				} else {
					srv.Start()
				}
				t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
				p := start(t, setup{hosts: []endpoint{endpointOf(srv.Listener)}, mode: "http", settings: settings{"reactors_num": 1}}.toProxyHeader(version, keys))
				const clients, requests = 3, 2
				for range clients {
					c := p.dial()
					in := bufio.NewReader(c)
					for range requests {
						send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
						if res, body := reply(t, in, http.MethodGet); res.StatusCode != http.StatusOK || body != c.LocalAddr().String() {
							t.Errorf("the host got the address %q (%s), want %s", body, res.Status, c.LocalAddr())
						}
					}
				}
				if n := opened.Load(); n != clients*requests {
					t.Errorf("%d connections for %d requests, want one for each", n, clients*requests)
				}
			})
		}
	})
}

// A reload that turns the header on affects connections that are made from then on. Existing ones without a header are not used any more.
func TestProxyHeaderToHostsReload(t *testing.T) {
	t.Parallel()
	first := make(chan string, 10) // the first line of each connection
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		line, err := in.ReadString('\n')
		first <- line
		for ; err == nil; line, err = in.ReadString('\n') {
			if line == "\r\n" && write(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") != nil {
				return
			}
		}
	})
	s := setup{hosts: endpoints(h), mode: "http", settings: settings{"reactors_num": 1}}
	p := start(t, s)
	c := p.dial()
	in := bufio.NewReader(c)
	ask := func() {
		t.Helper()
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		expectStatus(t, in, http.StatusOK)
	}
	ask()
	ask()
	if got := <-first; got != "GET / HTTP/1.1\r\n" || len(first) > 0 {
		t.Fatalf("the host's connections begin with %q, and there are %d more", got, len(first))
	}
	p.rewrite(s.toProxyHeader(1, nil))
	p.mustOrder("reload")
	ask()
	want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n", c.LocalAddr().(*net.TCPAddr).Port, p.port)
	if got := <-first; got != want {
		t.Errorf("after the reload the host's connection begins with %q, want %q", got, want)
	}
	p.rewrite(s)
	p.mustOrder("reload")
	ask()
	if got := <-first; got != "GET / HTTP/1.1\r\n" {
		t.Errorf("after the second reload the host's connection begins with %q", got)
	}
}
