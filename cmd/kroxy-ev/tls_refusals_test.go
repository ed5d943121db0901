package main_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// verdict returns how the proxy treats a client: "served", or the error. With TLS 1.3 a client knows that only after a response.
func (p *proxy) verdict(config *tls.Config) string {
	p.t.Helper()
	c, err := p.tryDialTLS(config)
	if err == nil {
		_, _ = io.WriteString(c, lastRequest)
		_, err = io.ReadFull(c, make([]byte, 4))
	}
	if err != nil {
		return err.Error()
	}
	_ = c.Close()
	return "served"
}

// Where client certificates are required, only good ones are accepted.
func TestTLSClientCertificates(t *testing.T) {
	t.Parallel()
	a, b := newAuthority(t), newAuthority(t)
	id := a.issue("site.test")
	good, hard, expired, unknown := b.issue("client.test"), b.issueRSA("client.test"), b.expired("client.test"), a.issue("client.test")
	verified := func(more settings) settings {
		more["tls_verify_client"] = true
		return id.serverSettings(more)
	}
	web, raw := endpoints(serve(t, "127.0.0.1", mirror)), endpoints(listen(t, "127.0.0.1", echo))
	for name, s := range map[string]setup{
		"http":                 {mode: "http", hosts: web, settings: verified(settings{"tls_client_ca_path": b.path})},
		"stream":               {hosts: raw, settings: verified(settings{"tls_client_ca_path": b.path})},
		"http, system's CAs":   {mode: "http", hosts: web, settings: verified(settings{}), prepare: withSystemCA(b)},
		"stream, system's CAs": {hosts: raw, settings: verified(settings{}), prepare: withSystemCA(b)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, s)
			eachVersion(t, func(t *testing.T, version uint16) {
				config := only(version, a.clientConfig("site.test"))
				for who, test := range map[string]struct {
					shown *identity
					want  string
				}{
					"nobody":     {nil, "^remote error: tls: (certificate required|handshake failure|bad certificate)$"},
					"good":       {good, "^served$"},
					"RSA":        {hard, "^served$"},
					"expired":    {expired, "^remote error: tls: (expired certificate|bad certificate)$"},
					"unknown CA": {unknown, "^remote error: tls: (unknown certificate authority|bad certificate)$"},
				} {
					c := config
					if test.shown != nil {
						c = test.shown.withClientCert(config)
					}
					t.Log(who)
					expectMatch(t, p.verdict(c), test.want)
				}
			})
			cleanup(t, func() { // all of them have connected by then
				for _, reason := range []string{"didn't provide a certificate", "expired", "unknown authority"} {
					p.await(p.stderr, `level=INFO .*client=127\.0\.0\.1 .*`+reason)
				}
			})
		})
	}
}

// No version below the configured one is accepted.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("site.test")
	web, raw := endpoints(serve(t, "127.0.0.1", mirror)), endpoints(listen(t, "127.0.0.1", echo))
	for least, oldest := range map[string]uint16{"": tls.VersionTLS12, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		more := settings{}
		if least != "" {
			more["tls_min_version"] = least
		}
		for mode, hosts := range map[string][]endpoint{"http": web, "stream": raw} {
			t.Run(mode+" "+least, func(t *testing.T) {
				t.Parallel()
				p := start(t, setup{mode: mode, hosts: hosts, settings: id.serverSettings(more)})
				for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
					want := "^served$"
					if version < oldest {
						want = "^remote error: tls: protocol version not supported$"
					}
					t.Log(tls.VersionName(version))
					expectMatch(t, p.verdict(only(version, a.clientConfig("site.test"))), want)
				}
				config := a.clientConfig("site.test")
				config.MinVersion = tls.VersionTLS10
				if s := p.dialTLS(config).ConnectionState(); s.Version != tls.VersionTLS13 {
					t.Errorf("with a client of all versions: %s", tls.VersionName(s.Version))
				}
			})
		}
	}
}

// A client that sends http to the https port gets an explanation in plain text.
func TestTLSPlainHTTP(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", mirror)), settings: a.issue("site.test").serverSettings(nil)})
	idle := p.sockets()
	for name, say := range map[string]func(c net.Conn) error{
		"GET":          func(c net.Conn) error { return write(c, getRequest) },
		"1.0":          func(c net.Conn) error { return write(c, "GET / HTTP/1.0\r\n\r\n") },
		"byte by byte": func(c net.Conn) error { return inPieces(c, []byte(getRequest), 1, 0) },
		"slowly":       func(c net.Conn) error { return inPieces(c, []byte(getRequest), 2, 20*time.Millisecond) },
		"with a body":  func(c net.Conn) error { return write(c, postHead+"Content-Length: 100000\r\n\r\n"+bulk[:100_000]) },
		"WebDAV":       func(c net.Conn) error { return write(c, "PROPFIND / HTTP/1.1\r\nHost: p\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			c := p.dial()
			go func() { _ = say(c) }()
			in := bufio.NewReader(c)
			res, body := reply(t, in, http.MethodGet)
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "https") || !res.Close {
				t.Errorf("got status %d, Connection: close: %v, body %q", res.StatusCode, res.Close, body)
			}
			expectEnd(t, in)
			_ = c.Close()
		})
	}
	t.Run("curl", func(t *testing.T) {
		out, trouble, err := p.curl("-w", "%{http_code}", p.url("/"))
		if err != nil || !strings.Contains(out, "https") || !strings.HasSuffix(out, "400") {
			t.Errorf("curl printed %q, %v: %s", out, err, trouble)
		}
	})
	p.awaitSockets(t, "the sockets are closed", func(n int) bool { return n <= idle })
	if got := p.verdict(a.clientConfig("site.test")); got != "served" {
		t.Errorf("a good client: %s", got)
	}
}

// Anything else that is not TLS starts no session, in either mode; in stream mode the same holds for HTTP.
func TestTLSNotSpoken(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("site.test")
	for mode, hosts := range map[string][]endpoint{
		"http": endpoints(serve(t, "127.0.0.1", mirror)), "stream": endpoints(listen(t, "127.0.0.1", echo)),
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := start(t, setup{mode: mode, hosts: hosts, settings: id.serverSettings(nil)})
			idle := p.sockets()
			openings := map[string]string{
				"HTTP":              getRequest,
				"SSH":               "SSH-2.0-OpenSSH_9.2\r\n",
				"HTTP/2":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
				"SSL 2":             "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80\x00\x00\x05\x00\x00\x04" + strings.Repeat("\x01", 40),
				"zeros":             strings.Repeat("\x00", 2000),
				"noise":             "\x99" + string(noise[:5000]),
				"another record":    "\x17\x03\x03\x00\x05hello",
				"another message":   "\x16\x03\x01\x00\x04\x0e\x00\x00\x00",
				"empty record":      "\x16\x03\x01\x00\x00",
				"record too long":   "\x16\x03\x01\x48\x01" + strings.Repeat("\x01", 0x4801),
				"hello too long":    "\x16\x03\x01\x40\x00\x01\x01\x00\x00" + strings.Repeat("\x01", 0x4000-4),
				"hello of garbage":  "\x16\x03\x01\x00\x34\x01\x00\x00\x30\x03\x03" + strings.Repeat("\xff", 46),
				"alert":             "\x15\x03\x01\x00\x02\x01\x00",
				"two wrong lengths": "\x16\x03\x01\x00\x06\x01\xff\xff\xff\x03\x03",
			}
			// The case whose log line the test waits for comes first: after a few kinds of errors, further lines are only counted for a while.
			for _, name := range slices.Sorted(maps.Keys(openings)) {
				opening := openings[name]
				if mode == "http" && strings.HasPrefix(name, "HTTP") {
					continue // gets a response
				}
				t.Log(name)
				c := p.dial()
				_ = write(c, opening)
				_ = c.CloseWrite()
				if got, err := io.ReadAll(c); len(got) > 7 || howEnded(err) != "end" && howEnded(err) != "reset" { // 7 is the length of an alert
					t.Errorf("%s: the client got %.100q and %s", name, got, howEnded(err))
				}
				_ = c.Close()
			}
			p.awaitSockets(t, "the sockets are closed", func(n int) bool { return n <= idle })
			if mode == "stream" {
				p.await(p.stderr, `level=INFO msg="stream: session closed" reason="client handshake failed".*plain HTTP`)
			}
			if got := p.verdict(a.clientConfig("site.test")); got != "served" {
				t.Errorf("a good client: %s", got)
			}
			if n := p.stderr.count("level=ERROR"); n > 0 {
				t.Errorf("%d errors", n)
			}
		})
	}
}

// Invalid records end an established connection: the client gets an alert, and the host a reset.
func TestTLSBrokenRecords(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("site.test")
	h := listen(t, "127.0.0.1", nil)
	for name, test := range map[string]struct{ record, alert string }{
		"too long":     {"\x17\x03\x03\x48\x01", "record overflow|unexpected message"},
		"far too long": {"\x17\x03\x03\xff\xff", "record overflow|unexpected message"},
		"wrong MAC":    {"\x17\x03\x03\x00\x20" + strings.Repeat("x", 32), "bad record MAC"},
		"no MAC":       {"\x17\x03\x03\x00\x01x", "bad record MAC"},
		"another type": {"\x63\x03\x03\x00\x20" + strings.Repeat("x", 32), "unexpected message|bad record MAC"},
		"not a record": {getRequest, "protocol version|unexpected message|record overflow|bad record MAC"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, version := range versions {
				p := start(t, setup{hosts: endpoints(h), settings: id.serverSettings(nil)})
				open := p.sockets()
				c := p.dialTLS(only(version, a.clientConfig("site.test")))
				server := h.accept()
				send(t, c, "hello")
				expect(t, server, "hello")
				if _, err := io.WriteString(underlyingTCP(c), test.record); err != nil {
					t.Fatal(err)
				}
				expectReset(t, server)
				_, err := c.Read(make([]byte, 1))
				expectMatch(t, fmt.Sprint(err), test.alert+"|reset")
				p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open })
			}
		})
	}
}

// Renegotiation, which a client of TLS 1.2 may ask for during a stream, is refused, and affects nobody else.
func TestTLSRenegotiation(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	a := newAuthority(t)
	h := listen(t, "127.0.0.1", nil)
	p := start(t, setup{hosts: endpoints(h), settings: a.issue("site.test").serverSettings(nil)})
	k := startOpenssl(t, "s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", p.port), "-tls1_2")
	server := h.accept()
	_, _ = io.WriteString(k.stdin, "hello\n")
	expect(t, server, "hello\n")
	_, _ = io.WriteString(k.stdin, "R\n")
	k.await(t, "RENEGOTIATING")
	k.await(t, "alert (unexpected message|no renegotiation)|reset by peer")
	expectReset(t, server)
	if exit := (*exec.ExitError)(nil); errors.As(k.wait(), &exit) && exit.ExitCode() < 0 {
		t.Errorf("openssl: %v", exit)
	}
	c := p.dialTLS(a.clientConfig("site.test"))
	send(t, c, "hello")
	expect(t, h.accept(), "hello")
}
