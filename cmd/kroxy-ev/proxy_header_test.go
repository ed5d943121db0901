package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderSettings are the settings of a proxy on port that demands PROXY headers from clients in these networks.
func proxyHeaderSettings(port int, more settings, networks ...string) settings {
	s := settings{"listen": []settings{{"port": port, "proxy_protocol": networks}}}
	for k, v := range more {
		s[k] = v
	}
	return s
}

// startWithProxyHeader starts a proxy that demands a PROXY header from everybody.
func startWithProxyHeader(t *testing.T, s setup) *proxy {
	t.Helper()
	port := reservePort(t)
	s.settings = proxyHeaderSettings(port, s.settings, "127.0.0.0/8")
	return startOn(t, port, s)
}

// proxyHeader returns the PROXY header for a client at 198.51.100.7.
func proxyHeader(t *testing.T, version byte) string {
	t.Helper()
	source, destination := &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 1234}, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 443}
	b, err := proxyproto.HeaderProxyFromAddrs(version, source, destination).Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// withHeader returns a connection whose first write is preceded by a header.
func withHeader(c net.Conn, header string) net.Conn {
	return &alteredHello{Conn: c, write: func(c net.Conn, p []byte) error {
		_, err := c.Write(slices.Concat([]byte(header), p))
		return err
	}}
}

// The client in the header counts as the client for hosts, for trusted_proxies and for the log. The address of the connection itself is not used.
func TestProxyHeaderHTTP(t *testing.T) {
	t.Parallel()
	const local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	a := newAuthority(t)
	id := a.issue("localhost")
	modes(t, func(t *testing.T, multi bool) {
		for name, secure := range map[string]bool{"plain": false, "TLS": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
					_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Client"))
				})
				file := filepath.Join(t.TempDir(), "access.log")
				keys := settings{
					"file_log": file, "format_log": "$client_addr $client_port $status", "forwarded_headers": true,
					"trusted_proxies": []string{"198.51.100.0/24"}, "headers": settings{"X-Client": "$addr"},
				}
				if secure {
					keys = id.serverSettings(keys)
				}
				p := startWithProxyHeader(t, setup{hosts: endpoints(h), mode: "http", multi: multi, settings: keys})
				for i, tc := range []struct{ header, want, log string }{
					{proxyHeader(t, 1), "192.0.2.1, 198.51.100.7 198.51.100.7", `198\.51\.100\.7 1234 200`},
					{proxyHeader(t, 2), "192.0.2.1, 198.51.100.7 198.51.100.7", `198\.51\.100\.7 1234 200`},
					{"PROXY UNKNOWN\r\n", "127.0.0.1 127.0.0.1", `127\.0\.0\.1 \d+ 200`},
					{local, "127.0.0.1 127.0.0.1", `127\.0\.0\.1 \d+ 200`},
				} {
					c := withHeader(p.dial(), tc.header)
					if secure {
						c = tls.Client(c, a.clientConfig("localhost"))
					}
					in := bufio.NewReader(c)
					for range 2 { // it is logged once
						send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
						if res, body := reply(t, in, http.MethodGet); res.StatusCode != http.StatusOK || body != tc.want {
							t.Errorf("after %q: status %d, the host saw %q, want %q", tc.header, res.StatusCode, body, tc.want)
						}
					}
					eventually(t, "both are in the log", func() bool { return len(lines(t, file)) == 2*i+2 })
					expectMatch(t, lines(t, file)[2*i+1], stamp+tc.log+"$")
				}
			})
		}
	})
}

// The stream begins after the header, for a host and when the proxy looks for a server name.
func TestProxyHeaderStream(t *testing.T) {
	t.Parallel()
	for version := byte(1); version <= 2; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "access.log")
			h := listen(t, "127.0.0.1", echo)
			p := startWithProxyHeader(t, setup{hosts: endpoints(h), settings: settings{
				"file_log": file, "format_log": "$client_addr $client_port $bytes_sent_upstream",
			}})
			c := p.dial()
			send(t, withHeader(c, proxyHeader(t, version)), "hello")
			_ = c.CloseWrite()
			expectAll(t, c, "hello")
			eventually(t, "the session is in the log", func() bool { return len(lines(t, file)) == 1 })
			expectMatch(t, lines(t, file)[0], stamp+`198\.51\.100\.7 1234 5$`)
		})
	}
	t.Run("a host that speaks first", func(t *testing.T) {
		t.Parallel()
		p := startWithProxyHeader(t, setup{hosts: endpoints(listen(t, "127.0.0.1", answer("220 hello")))})
		c := p.dial()
		send(t, c, proxyHeader(t, 2))
		expectAll(t, c, "220 hello")
	})
	t.Run("by name", func(t *testing.T) {
		t.Parallel()
		a := newAuthority(t)
		h, other := listenTLS(t, a.issue("localhost").config(), echoTLS), listen(t, "127.0.0.1", answer("other"))
		p := startWithProxyHeader(t, setup{hosts: []endpoint{withName(h.endpoint, "localhost"), other.endpoint}, algorithm: "sni"})
		c := tls.Client(withHeader(p.dial(), proxyHeader(t, 2)), a.clientConfig("localhost"))
		send(t, c, "hello")
		expect(t, c, "hello")
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		a := newAuthority(t)
		p := startWithProxyHeader(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), settings: a.issue("localhost").serverSettings(nil)})
		c := tls.Client(withHeader(p.dial(), proxyHeader(t, 1)), a.clientConfig("localhost"))
		send(t, c, "hello")
		expect(t, c, "hello")
	})
}

// A client without an acceptable header is reset, nothing that it sent is taken for a request, and the log says why: once, not for each.
func TestProxyHeaderRefused(t *testing.T) {
	t.Parallel()
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, tc := range map[string]struct {
		networks string
		in       string
		ends     bool // the client half-closes after it
		why      string
	}{
		"untrusted network": {"192.0.2.0/24", "PROXY UNKNOWN\r\n" + request, false, "not in the networks"},
		"none":              {"127.0.0.0/8", request, false, "does not begin with a PROXY header"},
		"garbage":           {"127.0.0.0/8", "\x00\x01\x02" + request, false, "does not begin with a PROXY header"},
		"a TLS record":      {"127.0.0.0/8", "\x16\x03\x01\x00\x05hello", false, "does not begin with a PROXY header"},
		"too long":          {"127.0.0.0/8", "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n" + request, false, "over 107 bytes"},
		"malformed":         {"127.0.0.0/8", "PROXY TCP4 1.2.3.4 ::1 1 2\r\n" + request, false, "malformed address"},
		"wrong length":      {"127.0.0.0/8", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04" + request, false, "too short for its addresses"},
		"truncated":         {"127.0.0.0/8", "PROXY TCP4 1.2.3.4 5.6", true, "ended the connection within the header"},
		"late":              {"127.0.0.0/8", "PROXY TCP4 1.2.3.4 5.6", false, "tls_handshake_timeout"},
		"never":             {"127.0.0.0/8", "", false, "tls_handshake_timeout"},
		"after TLVs":        {"127.0.0.0/8", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", false, "over 4096 bytes"},
	} {
		for _, mode := range []string{"http", "stream"} {
			t.Run(name+" in "+mode, func(t *testing.T) {
				t.Parallel()
				h := listen(t, "127.0.0.1", nil)
				port := reservePort(t)
				timeout := patience.Milliseconds()
				if tc.why == "tls_handshake_timeout" {
					timeout = 100
				}
				p := startOn(t, port, setup{hosts: endpoints(h), mode: mode, settings: proxyHeaderSettings(port, settings{"tls_handshake_timeout": timeout}, tc.networks)})
				const clients = 20
				for range clients {
					c, err := p.tryDial()
					if err != nil { // the reset may arrive before the connection is seen as established
						continue
					}
					if err := write(c, tc.in); err == nil && tc.ends {
						_ = c.CloseWrite()
					}
					if n, _ := io.Copy(io.Discard, c); n > 0 {
						t.Fatalf("the client got %d bytes", n)
					}
				}
				p.await(p.stderr, `level=INFO msg="`+mode+`: .* client=127\.0\.0\.1 .*error="while waiting for a PROXY header: .*`+tc.why)
				if n := p.stderr.count(`level=INFO msg="` + mode + `: `); n > 2 {
					t.Errorf("the log has %d lines about %d clients, want at most 2", n, clients)
				}
				if len(h.conns) > 0 {
					t.Error("the proxy connected to the host")
				}
			})
		}
	}
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		p := startWithProxyHeader(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), mode: "http"})
		for range 5 {
			_ = p.dial().Close() // as port checks do
		}
		c := p.dial()
		send(t, c, request)
		expectReset(t, c)
		p.await(p.stderr, "does not begin with a PROXY header")
		if n := p.stderr.count("level=INFO msg=\"http: "); n != 1 {
			t.Errorf("the log has %d lines", n)
		}
	})
}

// Whether a header is required is decided when a connection is accepted. A reload does not affect existing connections.
func TestProxyHeaderReload(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Client")) })
		s := setup{hosts: endpoints(h), mode: "http", multi: multi, settings: settings{"headers": settings{"X-Client": "$addr"}}}
		p := start(t, s)
		ask := func(c net.Conn, header, want string) {
			t.Helper()
			send(t, c, header+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if res, body := reply(t, bufio.NewReader(c), http.MethodGet); res.StatusCode != http.StatusOK || body != want {
				t.Errorf("the host saw the client %q (%s), want %q", body, res.Status, want)
			}
		}
		plain := p.dial()
		ask(plain, "", "127.0.0.1")

		without := s.settings
		s.settings = proxyHeaderSettings(p.port, without, "127.0.0.0/8")
		p.rewrite(s)
		p.mustOrder("reload")
		ask(plain, "", "127.0.0.1")
		told := p.dial()
		ask(told, proxyHeader(t, 2), "198.51.100.7")
		refused := p.dial()
		send(t, refused, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		expectReset(t, refused)

		s.settings = without
		p.rewrite(s)
		p.mustOrder("reload")
		ask(told, "", "198.51.100.7")
		ask(p.dial(), "", "127.0.0.1")
	})
}
