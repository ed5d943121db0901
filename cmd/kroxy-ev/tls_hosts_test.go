package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// tlsHost is a host that speaks TLS, or should, and the expected results in both modes.
type tlsHost struct {
	config  *tls.Config        // nil: the host does not speak TLS
	instead func(*net.TCPConn) // what it does in that case
	group   settings           // keys of its group besides proxy_tls_enabled
	trusts  *authority         // the system's only CA
	more    settings
	name    string // its name in the configuration; "" is its address
	status  int    // in http mode; anything but 200 is a failed connection in stream mode
	log     string // a pattern of the log's error
}

// tlsHosts returns hosts for all outcomes of a handshake.
func tlsHosts(t *testing.T) map[string]tlsHost {
	t.Helper()
	good, bad := newAuthority(t), newAuthority(t)
	verified := settings{"proxy_tls_verify": true, "proxy_tls_ca_path": good.path}
	also := func(more settings) settings {
		all := settings{}
		for _, s := range []settings{verified, more} {
			for k, v := range s {
				all[k] = v
			}
		}
		return all
	}
	const addr = "127.0.0.1"
	own := good.issue("proxy.test")
	asking := func(a *authority, version uint16) *tls.Config {
		c := only(version, good.issue(addr).config())
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, a.pool
		return c
	}
	shown := also(settings{"proxy_tls_cert_path": own.cert, "proxy_tls_key_path": own.key})
	shownRSA := good.issueRSA("proxy.test")
	named := func(name string, id *identity) *tls.Config {
		c := id.config()
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if hello.ServerName != name {
				return nil, fmt.Errorf("the client asked for %q", hello.ServerName)
			}
			return nil, nil
		}
		return c
	}
	const failed = `msg="upstream: a host is down and is tried last".* error="while making a TLS handshake: `
	const unknown, refused = `remote error: tls: (unknown certificate authority|bad certificate)`, `remote error: tls: (certificate required|handshake failure)`
	return map[string]tlsHost{
		"nothing verified":                      {config: bad.expired("elsewhere.test").config(), status: 200},
		"verified":                              {config: good.issue(addr).config(), group: verified, status: 200},
		"verified, with an RSA key":             {config: good.issueRSA(addr).config(), group: verified, status: 200},
		"TLS 1.2":                               {config: only(tls.VersionTLS12, good.issue(addr).config()), group: verified, status: 200},
		"a name":                                {config: named("localhost", good.issue("localhost")), group: verified, name: "localhost", status: 200},
		"the system's CA":                       {config: good.issue(addr).config(), group: settings{"proxy_tls_verify": true}, trusts: good, status: 200},
		"not the system's CA":                   {config: good.issue(addr).config(), group: settings{"proxy_tls_verify": true}, trusts: bad, status: 502, log: failed + `.*unknown authority`},
		"an unknown CA":                         {config: bad.issue(addr).config(), group: verified, status: 502, log: failed + `.*unknown authority`},
		"expired":                               {config: good.expired(addr).config(), group: verified, status: 502, log: failed + `.*expired`},
		"another address":                       {config: good.issue("127.0.0.9").config(), group: verified, status: 502, log: failed + `.*127\.0\.0\.9, not 127\.0\.0\.1`},
		"another name":                          {config: good.issue("a.test").config(), group: also(settings{"proxy_tls_server_name": "b.test"}), status: 502, log: failed + `.*a\.test, not b\.test`},
		"no address":                            {config: good.issue("a.test").config(), group: verified, status: 502, log: failed + `.*127\.0\.0\.1`},
		"proxy_tls_server_name":                 {config: named("db.test", good.issue("db.test")), group: also(settings{"proxy_tls_server_name": "db.test"}), status: 200},
		"proxy_tls_server_name alone":           {config: named("db.test", bad.issue(addr)), group: settings{"proxy_tls_server_name": "db.test"}, status: 200},
		"an address in its place":               {config: named("", good.issue("10.0.0.1")), group: also(settings{"proxy_tls_server_name": "10.0.0.1"}), status: 200},
		"wildcard":                              {config: good.issue("*.test").config(), group: also(settings{"proxy_tls_server_name": "db.test"}), status: 200},
		"wants a client certificate, 1.2":       {config: asking(good, tls.VersionTLS12), group: shown, status: 200},
		"wants a client certificate, 1.3":       {config: asking(good, tls.VersionTLS13), group: shown, status: 200},
		"wants a client certificate, RSA":       {config: asking(good, tls.VersionTLS13), group: also(settings{"proxy_tls_cert_path": shownRSA.cert, "proxy_tls_key_path": shownRSA.key}), status: 200},
		"wants a client certificate, 1.2, none": {config: asking(good, tls.VersionTLS12), group: verified, status: 502, log: refused},
		"wants a client certificate, 1.3, none": {config: asking(good, tls.VersionTLS13), group: verified, status: 502, log: refused},
		"asks for a certificate of another CA":  {config: asking(bad, tls.VersionTLS12), group: shown, status: 502, log: unknown},
		"TLS 1.1":                               {config: only(tls.VersionTLS11, good.issue(addr).config()), group: verified, status: 502, log: failed + `.*protocol version`},
		"plain HTTP": {instead: func(c *net.TCPConn) {
			_, _ = bufio.NewReader(c).ReadByte()
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}, status: 502, log: failed + `tls: first record does not look like a TLS handshake`},
		"speaks first":                 {instead: answer("220 welcome\r\n"), status: 502, log: failed + `.*(sent bytes before|does not look like)`},
		"closes":                       {instead: func(*net.TCPConn) {}, status: 502, log: failed + `.*(EOF|reset|ended)`},
		"closes after the ClientHello": {instead: func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 4096)) }, status: 502, log: failed + `.*(EOF|ended)`},
		"is silent":                    {instead: hold(t), more: settings{"connect_timeout": short}, status: 504, log: `msg="upstream: a host is down and is tried last".*handshake took too long`},
		"stops within its flight": {instead: func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "\x16\x03\x03\x00\x7a\x02\x00")
			hold(t)(c)
		}, more: settings{"connect_timeout": short}, status: 504, log: `msg="upstream: a host is down and is tried last".*handshake took too long`},
	}
}

// withSystemCA returns a prepare function for a system that trusts only a.
func withSystemCA(a *authority) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+a.path, "SSL_CERT_DIR=/nonexistent")
	}
}

// setup is the setup of a proxy with the host at e.
func (h *tlsHost) setup(e endpoint) setup {
	s := setup{hosts: []endpoint{e}, settings: h.more}
	if h.name != "" {
		s.hosts[0].Host = h.name
	}
	if h.trusts != nil {
		s.prepare = withSystemCA(h.trusts)
	}
	return s.toTLS(h.group)
}

func TestTLSHosts(t *testing.T) {
	t.Parallel()
	for name, h := range tlsHosts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e endpoint
			if h.config != nil {
				e = serveTLS(t, h.config, mirror).endpoint
			} else {
				e = listen(t, "127.0.0.1", h.instead).endpoint
			}
			p := startHTTP(t, h.setup(e))
			begin := time.Now()
			res, body := p.get(p.client(), "/")
			if res.StatusCode != h.status || h.status == 200 && body != "hello" {
				t.Errorf("status %d, body %.200q; want %d", res.StatusCode, body, h.status)
			}
			if h.status == 504 {
				notBefore(t, begin, short*time.Millisecond)
			}
			if h.log != "" {
				p.await(p.stderr, h.log)
			} else if n := p.stderr.count("level=(WARN|ERROR)"); n > 0 {
				t.Errorf("%d warnings or errors", n)
			}
			for _, secret := range []string{"certificate", "x509", "127.0.0.1"} {
				if strings.Contains(body, secret) {
					t.Errorf("the response reveals %q", secret)
				}
			}
		})
	}
}

// A host whose handshake fails counts as unreachable.
func TestTLSHostBesideBadOnes(t *testing.T) {
	t.Parallel()
	good := newAuthority(t)
	ok := serveTLS(t, good.issue("127.0.0.1").config(), mirror)
	for name, bad := range map[string]endpoint{
		"expired": serveTLS(t, good.expired("127.0.0.1").config(), mirror).endpoint,
		"plain":   serve(t, "127.0.0.1", mirror).endpoint,
		"silent":  listen(t, "127.0.0.1", hold(t)).endpoint,
		"refuses": refusing(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startHTTP(t, setup{
				hosts: []endpoint{bad, ok.endpoint}, algorithm: "first", settings: settings{"connect_timeout": patience.Milliseconds()}, // a silent host gets 3 s of it
			}.toTLS(settings{"proxy_tls_verify": true, "proxy_tls_ca_path": good.path}))
			body := strings.Repeat("kept for the second ", 1000)
			req, err := http.NewRequest(http.MethodPost, p.url("/echo"), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if res, got := do(t, p.client(), req); res.StatusCode != 200 || got != body {
				t.Errorf("status %d, %d bytes of the body", res.StatusCode, len(got))
			}
			p.await(p.stderr, fmt.Sprintf(`msg="upstream: a host is down and is tried last".*127\.0\.0\.1:%d`, bad.Port))
		})
	}
}

// A handshake is made once for many requests, and later connections resume the session.
func TestTLSHostConnections(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version uint16) {
		good := newAuthority(t)
		var g handshakes
		h := serveTLS(t, only(version, g.count(good.issue("127.0.0.1").config())), func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/last" {
				w.Header().Set("Connection", "close")
			}
			_, _ = io.WriteString(w, "hello")
		})
		p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"reactors_num": 1}}.toTLS(settings{"proxy_tls_verify": true, "proxy_tls_ca_path": good.path}))
		c := p.client()
		for range 100 {
			if _, body := p.get(c, "/"); body != "hello" {
				t.Fatalf("got %q", body)
			}
		}
		if n, full := h.opened.Load(), g.full.Load(); n != 1 || full != 1 {
			t.Errorf("%d connections, %d handshakes for 100 consecutive requests", n, full)
		}
		for range 10 {
			p.get(c, "/last")
			p.get(c, "/")
		}
		if full, resumed := g.full.Load(), g.resumed.Load(); full != 1 || resumed != 10 {
			t.Errorf("%d full handshakes and %d resumed ones for 11 connections", full, resumed)
		}
		if n := p.stderr.count("level=(WARN|ERROR)"); n > 0 {
			t.Errorf("%d warnings or errors", n)
		}
	})
}
