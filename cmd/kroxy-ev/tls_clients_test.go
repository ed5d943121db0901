package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"
)

// Go's own client connects with every version and kind of key, in both modes, and resumes its session the next time.
func TestTLSClients(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	h := serve(t, "127.0.0.1", mirror)
	e := listen(t, "127.0.0.1", echo)
	for kind, id := range map[string]*identity{"ECDSA": a.issue("site.test"), "RSA": a.issueRSA("site.test")} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			web := startHTTP(t, setup{hosts: endpoints(h), settings: id.serverSettings(nil)})
			raw := start(t, setup{hosts: endpoints(e), settings: id.serverSettings(nil)})
			eachVersion(t, func(t *testing.T, version uint16) {
				config := only(version, a.clientConfig("site.test"))
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				config.NextProtos = []string{"http/1.1"}
				for i := range 4 {
					c := web.dialTLS(config)
					in := bufio.NewReader(c)
					for range 3 {
						send(t, c, getRequest)
						if res, body := reply(t, in, http.MethodGet); res.StatusCode != 200 || body != "hello" {
							t.Errorf("got %d and %q", res.StatusCode, body)
						}
					}
					s := c.ConnectionState()
					if s.Version != version || s.DidResume != (i > 0) || s.NegotiatedProtocol != "http/1.1" {
						t.Errorf("connection %d: %s, resumed: %v, protocol %q", i, tls.VersionName(s.Version), s.DidResume, s.NegotiatedProtocol)
					}
					_ = c.Close()
				}
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				config.NextProtos = []string{"imap"} // stream mode ignores it
				for i := range 4 {
					c := raw.dialTLS(config)
					expectEcho(t, c, "hello")
					if s := c.ConnectionState(); s.Version != version || s.DidResume != (i > 0) || s.NegotiatedProtocol != "" {
						t.Errorf("connection %d: %s, resumed: %v, protocol %q", i, tls.VersionName(s.Version), s.DidResume, s.NegotiatedProtocol)
					}
					_ = c.CloseWrite()
					expectWhole(t, c, "")
					_ = c.Close()
				}
			})
		})
	}
}

// A client that offers only protocols which the proxy does not speak gets an alert.
func TestTLSClientOfAnotherProtocol(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", mirror)), settings: a.issue("site.test").serverSettings(nil)})
	config := a.clientConfig("site.test")
	config.NextProtos = []string{"imap"}
	_, err := p.tryDialTLS(config)
	expectMatch(t, fmt.Sprint(err), "no application protocol")
	p.await(p.stderr, `level=INFO msg="http: a client's handshake failed" client=127\.0\.0\.1 error=.*imap`)
}

// X-Forwarded-Proto is the client's scheme.
func TestTLSForwardedProto(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, req.Header.Get("X-Forwarded-Proto"))
	})
	p := startHTTP(t, setup{hosts: endpoints(h), settings: a.issue("site.test").serverSettings(nil)})
	if _, got := p.tlsGet(p.tlsClient(a.clientConfig("site.test")), "/"); got != "https" {
		t.Errorf("X-Forwarded-Proto is %q, want https", got)
	}
}

// However the proxy ends a connection, it sends close_notify.
func TestTLSClientsGetCloseNotify(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	h := serve(t, "127.0.0.1", mirror)
	id := a.issue("site.test")
	for name, test := range map[string]struct {
		settings settings
		talk     func(t *testing.T, p *proxy, c *tls.Conn, in *bufio.Reader)
	}{
		"Connection: close": {nil, func(t *testing.T, _ *proxy, c *tls.Conn, in *bufio.Reader) {
			send(t, c, getHead+"Connection: close\r\n\r\n")
			expectStatus(t, in, 200)
		}},
		"a bad request": {nil, func(t *testing.T, _ *proxy, c *tls.Conn, in *bufio.Reader) {
			send(t, c, "GET\r\n\r\n")
			expectStatus(t, in, 400)
		}},
		"keepalive_timeout": {settings{"keepalive_timeout": 300}, func(t *testing.T, _ *proxy, c *tls.Conn, in *bufio.Reader) {
			send(t, c, getRequest)
			expectStatus(t, in, 200)
		}},
		"client_header_timeout": {settings{"client_header_timeout": 300}, func(*testing.T, *proxy, *tls.Conn, *bufio.Reader) {}},
		"SIGTERM": {nil, func(t *testing.T, p *proxy, c *tls.Conn, in *bufio.Reader) {
			send(t, c, getRequest)
			expectStatus(t, in, 200)
			p.signal(unix.SIGTERM)
		}},
		"its own end": {nil, func(t *testing.T, _ *proxy, c *tls.Conn, in *bufio.Reader) {
			send(t, c, getRequest)
			expectStatus(t, in, 200)
			_ = c.CloseWrite()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startHTTP(t, setup{hosts: endpoints(h), settings: id.serverSettings(test.settings)})
			idle := p.sockets()
			c := p.dialTLS(a.clientConfig("site.test"))
			in := bufio.NewReader(c)
			test.talk(t, p, c, in)
			expectEnd(t, in)
			expectNotified(t, c)
			if name == "SIGTERM" {
				if status := p.wait(); status != 0 {
					t.Errorf("exit status %d", status)
				}
				return
			}
			_ = c.Close()
			p.awaitSockets(t, "the connection's socket is closed", func(n int) bool { return n <= idle+1 }) // the host's connection may stay
		})
	}
}
