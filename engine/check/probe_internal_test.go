package check

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/config"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
)

// brief is the timeout for checks of a host that does not answer as it should, with enough time to connect on a machine that stands still; long
// is for one that does.
const (
	brief = 3 * time.Second
	long  = 30 * time.Second
)

func newResolver(t *testing.T, o resolve.Options) *resolve.Resolver {
	t.Helper()
	r := resolve.New(o)
	t.Cleanup(r.Close)
	return r
}

// at returns a target at an address, with the long timeout.
func at(t *testing.T, addr netip.AddrPort, spec config.HealthCheck) *Target {
	t.Helper()
	spec.Timeout = long
	return &Target{Group: "web", Host: upstream.NewHost(newResolver(t, resolve.Options{}), addr.Addr().String(), addr.Port()), Check: spec, Authority: "host.test"}
}

// get returns an HTTP check with the configuration's defaults.
func get(change func(*config.HealthCheck)) config.HealthCheck {
	s := config.HealthCheck{Type: "http", Method: "GET", Path: "/", Status: config.Statuses{{Low: 200, High: 399}}}
	if change != nil {
		change(&s)
	}
	return s
}

// check makes one check of a target.
func check(t *testing.T, one *Target, self *upstream.Self) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), one.Check.Timeout)
	defer cancel()
	target := *one
	target.Self = self
	return newProber().check(ctx, &target)
}

// expectError checks that the error contains want, or that there is none if want is "".
func expectError(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: error %v, want one with %q", what, err, want)
	}
}

// says returns a host that reads a request, sends text, and keeps the connection open until the client closes it.
func says(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		enginetest.Hold(c)
	}
}

// endless returns a host that sends text and then more, again and again, until the client closes.
func endless(text, more string, left *atomic.Int64) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		defer left.Add(1)
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		for _, err := io.WriteString(c, text); err == nil; _, err = io.WriteString(c, more) {
		}
	}
}

func TestResponses(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	body := func(text string) func(*config.HealthCheck) { return func(s *config.HealthCheck) { s.Body = text } }
	filler := strings.Repeat("x", config.MaxCheckBody-2)
	for what, c := range map[string]struct {
		answer string
		spec   func(*config.HealthCheck)
		want   string
	}{
		"good":                   {ok + "Content-Length: 2\r\n\r\nok", nil, ""},
		"without its body":       {ok + "Content-Length: 2\r\n\r\n", nil, ""}, // the head decides
		"503":                    {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", nil, "status 503, expected 200-399"},
		"redirect":               {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", nil, ""},
		"redirect, not wanted":   {"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", func(s *config.HealthCheck) { s.Status = config.Statuses{{Low: 200, High: 299}, {Low: 404, High: 404}} }, "status 302, expected 200-299, 404"},
		"one status":             {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", func(s *config.HealthCheck) { s.Status = config.Statuses{{Low: 200, High: 299}, {Low: 404, High: 404}} }, ""},
		"204":                    {"HTTP/1.1 204 No Content\r\n\r\n", nil, ""},
		"204 and a body":         {"HTTP/1.1 204 No Content\r\n\r\n", body("ok"), `the body does not contain "ok"`},
		"HEAD":                   {ok + "Content-Length: 5000\r\n\r\n", func(s *config.HealthCheck) { s.Method = "HEAD" }, ""},
		"after 100 and 103":      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", nil, ""},
		"100 for ever":           {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000), nil, "while waiting for a response"},
		"HTTP/1.0":               {"HTTP/1.0 200 OK\r\n\r\n", nil, ""},
		"body":                   {ok + "Content-Length: 9\r\n\r\nall is ok", body("is ok"), ""},
		"body, before its end":   {ok + "Content-Length: 9000\r\n\r\nall is ok", body("is ok"), ""},
		"body, chunked":          {ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nall \r\n5\r\nis ok\r\n", body("l is o"), ""},
		"body, another":          {ok + "Content-Length: 9\r\n\r\nall is ko", body("ok"), `the body does not contain "ok"`},
		"body, at 64 KiB":        {ok + "Content-Length: 70000\r\n\r\n" + filler + "ok", body("ok"), ""},
		"body, beyond 64 KiB":    {ok + "Content-Length: 70000\r\n\r\n" + filler + "xok", body("ok"), `the first 65536 bytes of the body do not contain "ok"`},
		"body, bad chunks":       {ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", body("ok"), "while reading the body"},
		"not HTTP":               {"220 mail.test ESMTP\r\n", nil, "while waiting for a response"},
		"head of 40 KiB":         {ok + "X: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", nil, "while waiting for a response"},
		"head of 30 KiB":         {ok + "X: " + strings.Repeat("x", 30<<10) + "\r\nContent-Length: 0\r\n\r\n", nil, ""},
		"status out of range":    {"HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n", nil, "status 999"},
		"a body that is too big": {ok + "Content-Length: 99999999999999999999\r\n\r\n", nil, "while waiting for a response"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			host := enginetest.Accepting(t, enginetest.Loopback, says(c.answer))
			expectError(t, what, check(t, at(t, host, get(c.spec)), nil), c.want)
		})
	}
}

// A host that closes early has not answered.
func TestClosedEarly(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall is"} {
		host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, answer)
		})
		expectError(t, answer, check(t, at(t, host, get(func(s *config.HealthCheck) { s.Body = "ok" })), nil), "while")
	}
}

// A body that never ends is not read longer than necessary: the client closes.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\n"
	for what, c := range map[string]struct {
		begin, more, body string
		want              string
	}{
		"nothing wanted of it": {head + "\r\n", "xxxx", "", ""},
		"chunked":              {head + "Transfer-Encoding: chunked\r\n\r\n", "4\r\nxxxx\r\n", "ok", "the first 65536 bytes"},
		"until the end":        {head + "\r\n", "xxxx", "ok", "the first 65536 bytes"},
		"one long chunk":       {head + "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n", "xxxx", "ok", "the first 65536 bytes"},
		"a head that is one":   {head, "X: y\r\n", "", "while waiting for a response"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			left := new(atomic.Int64)
			host := enginetest.Accepting(t, enginetest.Loopback, endless(c.begin, c.more, left))
			expectError(t, what, check(t, at(t, host, get(func(s *config.HealthCheck) { s.Body = c.body })), nil), c.want)
			for end := time.Now().Add(enginetest.Patience); left.Load() == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the host still sends")
				}
			}
		})
	}
}

// A host that trickles gets no more time than one that sends nothing.
func TestLate(t *testing.T) {
	t.Parallel()
	trickle := func(first, more string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			for _, err := io.WriteString(c, first); err == nil; _, err = io.WriteString(c, more) {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	body := get(func(s *config.HealthCheck) { s.Body = "ok" })
	for what, c := range map[string]struct {
		serve func(*net.TCPConn)
		spec  config.HealthCheck
		want  string
	}{
		"nothing":     {enginetest.Hold, get(nil), "no complete response within 3s"},
		"a head":      {trickle("HTTP/1.1 200 OK\r\n", "X: y\r\n"), get(nil), "no complete response within 3s"},
		"half a body": {trickle("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", "x"), body, "no complete response within 3s"},
		"1xx":         {trickle("", "HTTP/1.1 100 Continue\r\n\r\n"), get(nil), "while waiting for a response"}, // or too many of them
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			one := at(t, enginetest.Accepting(t, enginetest.Loopback, c.serve), c.spec)
			one.Check.Timeout = brief
			err := check(t, one, nil)
			if what == "1xx" {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			expectError(t, what, err, c.want)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is not that the time was over", err)
			}
		})
	}
}

// The request is sent exactly as configured, once, whatever the answer.
func TestRequest(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ method, path, authority, line string }{
		"plain":      {"GET", "/", "host.test", "GET / HTTP/1.1"},
		"path":       {"HEAD", "/a/../b//c?x=%2F&y", "[::1]:8080", "HEAD /a/../b//c?x=%2F&y HTTP/1.1"},
		"two slash":  {"OPTIONS", "//evil.test/x", "host.test:81", "OPTIONS //evil.test/x HTTP/1.1"},
		"post":       {"POST", "/check", "host.test", "POST /check HTTP/1.1"},
		"its own":    {"GET", "/", "", "GET / HTTP/1.1"}, // as in the group's own requests
		"own method": {"PROPFIND", "/%zz", "host.test", "PROPFIND /%zz HTTP/1.1"},
	} {
		var seen, connections atomic.Int64
		heads := make(chan string, 8)
		host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			connections.Add(1)
			in := bufio.NewReader(c)
			var head bytes.Buffer
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if head.WriteString(line); line == "\r\n" {
					break
				}
			}
			seen.Add(1)
			heads <- head.String()
			_, _ = io.WriteString(c, "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
			enginetest.Hold(c)
		})
		one := at(t, host, get(func(s *config.HealthCheck) { s.Method, s.Path, s.Host = c.method, c.path, c.authority }))
		expectError(t, what, check(t, one, nil), "")
		head := <-heads
		lines := strings.Split(head, "\r\n")
		if lines[0] != c.line {
			t.Errorf("%s: %q, want %q", what, lines[0], c.line)
		}
		for _, want := range []string{"Host: " + cmp.Or(c.authority, one.Authority), "Connection: close", "User-Agent: " + agent} {
			if !slices.Contains(lines, want) {
				t.Errorf("%s: there is no %q in %q", what, want, head)
			}
		}
		if seen.Load() != 1 || connections.Load() != 1 {
			t.Errorf("%s: %d requests by %d connections, want one", what, seen.Load(), connections.Load())
		}
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	expectError(t, "silent", check(t, at(t, enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold), config.HealthCheck{}), nil), "")
	expectError(t, "refusing", check(t, at(t, enginetest.Refusing(t, enginetest.Loopback), config.HealthCheck{}), nil), "connection refused")
	expectError(t, "refusing, http", check(t, at(t, enginetest.Refusing(t, enginetest.Loopback), get(nil)), nil), "connection refused")
}

// A check may have its own port.
func TestPort(t *testing.T) {
	t.Parallel()
	one := at(t, enginetest.Refusing(t, enginetest.Loopback), config.HealthCheck{})
	one.Check.Port = enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold).Port()
	expectError(t, "another port", check(t, one, nil), "")
}

func TestBlackHole(t *testing.T) {
	t.Parallel()
	one := at(t, enginetest.BlackHole(t, enginetest.Loopback), config.HealthCheck{})
	one.Check.Timeout = brief
	expectError(t, "black hole", check(t, one, nil), "no connection within 3s")
}

func TestUnixHost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "host.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "%s %s", r.Host, r.URL) })}
	t.Cleanup(func() { _ = s.Close() })
	go func() { _ = s.Serve(l) }()
	spec := get(func(s *config.HealthCheck) {
		s.Path, s.Host, s.Body, s.Timeout = "/x", "localhost", "localhost /x", long
	})
	one := &Target{Host: upstream.NewUnixHost(path), Check: spec, Authority: "host.test"}
	expectError(t, "http", check(t, one, nil), "")
	self := upstream.NewSelf()
	self.ListenUnix([]string{path})
	if err := check(t, one, self); !errors.Is(err, upstream.ErrLoop) {
		t.Errorf("the proxy's own socket: %v", err)
	}
	one.Host = upstream.NewUnixHost(path + ".gone")
	expectError(t, "no socket", check(t, one, nil), "no such file")
}

// A unix socket with a full backlog means that its host does not accept, not that this machine has run out of something.
func TestUnixHostThatDoesNotAccept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "host.sock")
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(l) })
	if err := errors.Join(unix.Bind(l, &unix.SockaddrUnix{Name: path}), unix.Listen(l, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	one := &Target{Host: upstream.NewUnixHost(path), Check: config.HealthCheck{Timeout: long}}
	err = check(t, one, nil)
	if err == nil || ours(one, err) {
		t.Errorf("error %v, which is this machine's: %v", err, err != nil)
	}
}

// The proxy is not a valid host of itself, at any of its addresses.
func TestOwnAddress(t *testing.T) {
	t.Parallel()
	host := enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold)
	self := upstream.NewSelf()
	self.Listen([]netip.AddrPort{host})
	if err := check(t, at(t, host, config.HealthCheck{}), self); !errors.Is(err, upstream.ErrLoop) {
		t.Errorf("error %v", err)
	}
}

// The addresses of a name are tried in turn, as they are at the time.
func TestNames(t *testing.T) {
	t.Parallel()
	refusing := netip.MustParseAddr("127.0.0.2") // nothing listens there on the host's port
	host := enginetest.Accepting(t, fmt.Sprint("127.0.0.1:", enginetest.Port(t, "127.0.0.1", refusing.String())), enginetest.Hold)
	list := new(atomic.Pointer[[]netip.Addr])
	answer := func(addrs ...netip.Addr) { list.Store(&addrs) }
	answer(refusing, host.Addr())
	r := newResolver(t, resolve.Options{Lookup: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
		if addrs := *list.Load(); len(addrs) > 0 {
			return addrs, time.Second, nil
		}
		return nil, 0, errors.New("no such host")
	}, Retry: 10 * time.Millisecond})
	one := &Target{Host: upstream.NewHost(r, "host.test", host.Port()), Check: config.HealthCheck{Timeout: long}}
	for range 4 {
		expectError(t, "two addresses", check(t, one, nil), "")
	}
	answer(refusing)
	awaitCheck(t, one, "connection refused")
	answer(host.Addr())
	awaitCheck(t, one, "")

	answer()
	unknown := &Target{Host: upstream.NewHost(r, "unknown.test", host.Port()), Check: config.HealthCheck{Timeout: long}}
	expectError(t, "unknown name", check(t, unknown, nil), "no such host")
	silent := newResolver(t, resolve.Options{Lookup: func(ctx context.Context, _ string) ([]netip.Addr, time.Duration, error) {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}})
	unanswered := &Target{Host: upstream.NewHost(silent, "silent.test", 1), Check: config.HealthCheck{Timeout: brief}}
	expectError(t, "no answer", check(t, unanswered, nil), "no connection within 3s")
}

// awaitCheck repeats a check until it has the wanted outcome.
func awaitCheck(t *testing.T, one *Target, want string) {
	t.Helper()
	for end := time.Now().Add(enginetest.Patience); ; time.Sleep(20 * time.Millisecond) {
		err := check(t, one, nil)
		if want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("error %v, want %q", err, want)
		}
	}
}

// A host that requires a PROXY header gets one that says that there is no client.
func TestProxyHeader(t *testing.T) {
	t.Parallel()
	for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
		want := proxyproto.Append(nil, version, netip.AddrPort{}, netip.AddrPort{})
		got := make(chan []byte, 1)
		host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			header := make([]byte, len(want))
			_, _ = io.ReadFull(c, header)
			got <- header
			says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c)
		})
		one := at(t, host, get(nil))
		one.ProxyProtocol = version
		expectError(t, version.String(), check(t, one, nil), "")
		if header := <-got; !bytes.Equal(header, want) {
			t.Errorf("%v: %q, want %q", version, header, want)
		}
	}
}

// issuer is a CA that issues certificates.
type issuer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	a := &issuer{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
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

func (a *issuer) issue(t *testing.T, name string) tlsconn.KeyPair {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return tlsconn.KeyPair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a, other := newIssuer(t), newIssuer(t)
	pair := a.issue(t, "host.test")
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	plain := &tls.Config{Certificates: []tls.Certificate{cert}}
	mutual := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: tls.VersionTLS12}
	own := a.issue(t, "proxy.test")
	for what, c := range map[string]struct {
		host *tls.Config
		o    tlsconn.ClientOptions
		want string
	}{
		"verified":        {plain, tlsconn.ClientOptions{ServerName: "host.test", Verify: true, CAs: a.pem}, ""},
		"not verified":    {plain, tlsconn.ClientOptions{ServerName: "other.test"}, ""},
		"another name":    {plain, tlsconn.ClientOptions{ServerName: "other.test", Verify: true, CAs: a.pem}, "certificate is valid for host.test"},
		"another CA":      {plain, tlsconn.ClientOptions{ServerName: "host.test", Verify: true, CAs: other.pem}, "unknown authority"},
		"mutual":          {mutual, tlsconn.ClientOptions{ServerName: "host.test", Verify: true, CAs: a.pem, Certificate: &own}, ""},
		"mutual, without": {mutual, tlsconn.ClientOptions{ServerName: "host.test"}, "while making a TLS handshake"},
	} {
		client, err := tlsconn.NewClient(c.o)
		if err != nil {
			t.Fatal(err)
		}
		host := enginetest.Accepting(t, enginetest.Loopback, func(conn *net.TCPConn) {
			s := tls.Server(conn, c.host)
			in := bufio.NewReader(s)
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_, _ = io.Copy(io.Discard, in)
		})
		for _, spec := range []config.HealthCheck{{}, get(func(s *config.HealthCheck) { s.Body = "ok" })} {
			one := at(t, host, spec)
			one.Host.TLS = client
			expectError(t, what+", "+spec.Type, check(t, one, nil), c.want)
		}
	}
	client, err := tlsconn.NewClient(tlsconn.ClientOptions{ServerName: "host.test"})
	if err != nil {
		t.Fatal(err)
	}
	one := at(t, enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold), config.HealthCheck{})
	one.Host.TLS, one.Check.Timeout = client, brief
	expectError(t, "no handshake", check(t, one, nil), "the TLS handshake was not complete within 3s")
}

// A Checker with real checks detects a failed host, and cancels checks in progress when it is closed.
func TestChecker(t *testing.T) {
	t.Parallel()
	status := new(atomic.Int64)
	status.Store(200)
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		says("HTTP/1.1 " + strconv.FormatInt(status.Load(), 10) + " X\r\nContent-Length: 0\r\n\r\n")(c)
	})
	hung := make(chan struct{}, 1)
	silent := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		hung <- struct{}{}
		enginetest.Hold(c)
	})
	spec := get(func(s *config.HealthCheck) { s.Interval, s.FastInterval, s.Rise, s.Fall = shortest, shortest, 2, 3 })
	good, bad := at(t, host, spec), at(t, silent, spec)
	good.ID, bad.ID = 1, 2
	told := make(chan string, 1<<16) // for ten minutes
	c := Start(Options{Report: func(id int, up bool, _ error) { told <- fmt.Sprint(id, up) }}, []Target{*good, *bad})
	await := func(want string) {
		t.Helper()
		for late := time.After(enginetest.Patience); ; {
			select {
			case got := <-told:
				if got == want {
					return
				}
			case <-late:
				t.Fatalf("not reported: %s", want)
			}
		}
	}
	await("1 true")
	status.Store(503)
	await("1 false")
	status.Store(204)
	await("1 true")
	<-hung
	begin := time.Now()
	c.Close()
	if d := time.Since(begin); d > long/2 { // by then the check of the silent host would have ended by itself
		t.Errorf("Close took %v", d)
	}
}
