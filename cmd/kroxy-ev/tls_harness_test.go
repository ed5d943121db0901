package main_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
)

// authority is a CA.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string         // of the certificate
	pool *x509.CertPool // has only this CA
}

// identity is a certificate and its key.
type identity struct {
	cert, key string // paths of their files
	tls.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	return newAuthorityUntil(t, time.Now().Add(time.Hour))
}

// newAuthorityUntil makes a CA that is, or was, valid until notAfter.
func newAuthorityUntil(t *testing.T, notAfter time.Time) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t), pool: x509.NewCertPool()}
	template := certTemplate(notAfter)
	template.Subject.CommonName = "CA " + template.SerialNumber.String()
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	a.path = writePEM(t, t.TempDir(), "ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certTemplate returns a template of a certificate without names.
func certTemplate(notAfter time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{SerialNumber: serial, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter}
}

func writePEM(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// issue makes a certificate for names or addresses that is valid now.
func (a *authority) issue(names ...string) *identity {
	a.t.Helper()
	return a.sign(newKey(a.t), time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour), names)
}

// notYetValid makes a certificate whose validity has not begun.
func (a *authority) notYetValid(names ...string) *identity {
	a.t.Helper()
	return a.sign(newKey(a.t), time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), names)
}

// expired makes a certificate that has expired.
func (a *authority) expired(names ...string) *identity {
	a.t.Helper()
	return a.sign(newKey(a.t), time.Now().Add(-2*time.Hour), time.Now().Add(-time.Minute), names)
}

// rsaKey is made once, because it takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// issueRSA is issue with an RSA key.
func (a *authority) issueRSA(names ...string) *identity {
	a.t.Helper()
	key, err := rsaKey()
	if err != nil {
		a.t.Fatal(err)
	}
	return a.sign(key, time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour), names)
}

func (a *authority) sign(key crypto.Signer, notBefore, notAfter time.Time, names []string) *identity {
	a.t.Helper()
	template := certTemplate(notAfter)
	template.NotBefore = notBefore
	template.Subject = pkix.Name{CommonName: "somebody"}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	id := &identity{cert: writePEM(a.t, dir, "cert.pem", "CERTIFICATE", der), key: writePEM(a.t, dir, "key.pem", "PRIVATE KEY", keyDER)}
	if id.Certificate, err = tls.LoadX509KeyPair(id.cert, id.key); err != nil {
		a.t.Fatal(err)
	}
	return id
}

// clientConfig is the configuration of a client that trusts only a, and expects name.
func (a *authority) clientConfig(name string) *tls.Config {
	return &tls.Config{RootCAs: a.pool, ServerName: name}
}

// config is the configuration of a host that has this certificate.
func (id *identity) config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{id.Certificate}}
}

// withClientCert returns config for a client that sends this certificate, even if it was not asked for one.
func (id *identity) withClientCert(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &id.Certificate, nil }
	return config
}

// serverSettings are the settings of a proxy that has this certificate for its clients, and more settings.
func (id *identity) serverSettings(more settings) settings {
	s := settings{"tls_enabled": true, "tls_cert_path": id.cert, "tls_key_path": id.key}
	maps.Copy(s, more)
	return s
}

// toTLS returns s with TLS to the hosts, and further keys of their group.
func (s setup) toTLS(keys settings) setup {
	group := settings{"hosts": s.hosts, "proxy_tls_enabled": true}
	if s.algorithm != "" {
		group["balancing_algo"] = s.algorithm
	}
	maps.Copy(group, keys)
	all := settings{"servers": settings{"backend": group}}
	maps.Copy(all, s.settings)
	s.settings = all
	return s
}

// dialTLS connects to the proxy by TLS.
func (p *proxy) dialTLS(config *tls.Config) *tls.Conn {
	p.t.Helper()
	c, err := p.tryDialTLS(config)
	if err != nil {
		p.t.Fatalf("a handshake with kroxy-ev: %v", err)
	}
	return c
}

func (p *proxy) tryDialTLS(config *tls.Config) (*tls.Conn, error) {
	tcp, err := p.tryDial()
	if err != nil {
		return nil, err
	}
	c := tls.Client(&watched{TCPConn: tcp}, config)
	return c, c.Handshake()
}

// tlsURL returns the https URL of a path at the proxy.
func (p *proxy) tlsURL(path string) string {
	return fmt.Sprintf("https://127.0.0.1:%d%s", p.port, path)
}

// tlsClient is client by TLS.
func (p *proxy) tlsClient(config *tls.Config) *http.Client {
	c := p.client()
	c.Transport.(*http.Transport).TLSClientConfig = config
	return c
}

// tlsGet fetches path by TLS and returns the response with the whole body.
func (p *proxy) tlsGet(c *http.Client, path string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.tlsURL(path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return do(p.t, c, req)
}

// handshakes counts the handshakes of a host.
type handshakes struct{ full, resumed atomic.Int64 }

// count returns config, changed so that handshakes are counted.
func (g *handshakes) count(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if s.DidResume {
			g.resumed.Add(1)
		} else {
			g.full.Add(1)
		}
		return nil
	}
	return config
}

// serveTLS starts a host of net/http that speaks TLS.
func serveTLS(t *testing.T, config *tls.Config, handler http.HandlerFunc) *httpHost {
	t.Helper()
	srv := httptest.NewUnstartedServer(handler)
	s := &httpHost{endpoint: endpoint{"127.0.0.1", srv.Listener.Addr().(*net.TCPAddr).Port}}
	srv.TLS = config
	srv.Config.ErrorLog = serverLog
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.opened.Add(1)
			s.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.open.Add(-1)
		}
	}
	srv.StartTLS()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return s
}

// listenTLS is listen for a host that speaks TLS.
func listenTLS(t *testing.T, config *tls.Config, handler func(*tls.Conn)) *host {
	t.Helper()
	return listen(t, "127.0.0.1", func(c *net.TCPConn) {
		if s := tls.Server(&watched{TCPConn: c}, config); s.Handshake() == nil {
			handler(s)
		}
	})
}

// acceptTLS returns the next connection of a host without a handler, as a TLS server.
func (h *host) acceptTLS(config *tls.Config) *tls.Conn {
	h.t.Helper()
	c := tls.Server(&watched{TCPConn: h.accept()}, config)
	if err := c.Handshake(); err != nil {
		h.t.Fatalf("a handshake with a host: %v", err)
	}
	return c
}

// echoTLS is echo for a host that speaks TLS.
func echoTLS(c *tls.Conn) {
	_, _ = io.Copy(enginetest.OnlyWriter{Writer: c}, c)
	_ = c.CloseWrite()
}

// versions are the versions of TLS that the proxy supports.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// only returns config for one version of TLS.
func only(version uint16, config *tls.Config) *tls.Config {
	config = config.Clone()
	config.MinVersion, config.MaxVersion = version, version
	return config
}

// eachVersion runs a test for each version of TLS.
func eachVersion(t *testing.T, test func(t *testing.T, version uint16)) {
	t.Helper()
	for name, version := range versions {
		t.Run("TLS "+name, func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

// throughTLS returns a client that uses TLS for http URLs.
func (p *proxy) throughTLS(config *tls.Config) *http.Client {
	c := p.client()
	c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return p.tryDialTLS(config) }
	return c
}

// tlsSides says which connections of a proxy use TLS.
type tlsSides struct{ client, host bool }

// ways are the combinations with at least one.
var ways = map[string]tlsSides{"client": {true, false}, "host": {false, true}, "both": {true, true}}

// setup is the setup of a proxy with TLS on these sides. Its certificate is id, and it trusts a.
func (w tlsSides) setup(hosts []endpoint, id *identity, a *authority, more settings) setup {
	s := setup{hosts: hosts, settings: more}
	if w.client {
		s.settings = id.serverSettings(more)
	}
	if w.host {
		s = s.toTLS(settings{"proxy_tls_verify": true, "proxy_tls_ca_path": a.path})
	}
	return s
}

// halfCloser is a connection, with or without TLS, that can be half-closed.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// connect connects a client through the proxy to its host, and returns both ends. Both trust a, and the host's certificate is id.
func (w tlsSides) connect(p *proxy, h *host, id *identity, a *authority) (client, server halfCloser) {
	p.t.Helper()
	if w.client {
		client = p.dialTLS(a.clientConfig("127.0.0.1"))
	} else {
		client = p.dial()
	}
	if w.host {
		server = h.acceptTLS(id.config())
	} else {
		server = h.accept()
	}
	return client, server
}

// watched is a connection below TLS that notices its end.
type watched struct {
	*net.TCPConn
	ended bool // a FIN without close_notify was read; crypto/tls reports it as an ordinary end
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.TCPConn.Read(p)
	w.ended = w.ended || errors.Is(err, io.EOF)
	return n, err
}

// underlyingTCP returns the TCP connection that carries c.
func underlyingTCP(c net.Conn) *net.TCPConn {
	if s, ok := c.(*tls.Conn); ok {
		return s.NetConn().(*watched).TCPConn
	}
	return c.(*net.TCPConn)
}

// expectWhole is expectAll, and demands close_notify if c is a TLS connection.
func expectWhole(t *testing.T, c net.Conn, s string) {
	t.Helper()
	expectAll(t, c, s)
	expectNotified(t, c)
}

// expectNotified demands that the stream, which was read to its end, ended with close_notify if c is a TLS connection.
func expectNotified(t *testing.T, c net.Conn) {
	t.Helper()
	if truncated(c) {
		t.Fatal("the stream ended without close_notify")
	}
}

// truncated reports whether c, which was read to its end, is a TLS connection that ended without close_notify.
func truncated(c net.Conn) bool {
	s, ok := c.(*tls.Conn)
	return ok && s.NetConn().(*watched).ended
}
