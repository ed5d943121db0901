package main_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// certFiles are the files of a proxy's certificate, which a test may replace.
type certFiles struct {
	t         *testing.T
	cert, key string
}

func newCertFiles(t *testing.T) *certFiles {
	dir := t.TempDir()
	return &certFiles{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// replace replaces both files, each atomically.
func (w *certFiles) replace(id *identity) {
	w.t.Helper()
	replaceFile(w.t, id.cert, w.cert)
	replaceFile(w.t, id.key, w.key)
}

// replaceFile copies a file to a path atomically.
func replaceFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err := errors.Join(err, os.WriteFile(to+".new", text, 0o600), os.Rename(to+".new", to)); err != nil {
		t.Fatal(err)
	}
}

// serverSettings is identity.serverSettings.
func (w *certFiles) serverSettings(more settings) settings {
	return (&identity{cert: w.cert, key: w.key}).serverSettings(more)
}

// shownCert returns the certificate that the proxy sends to a client that asks for name.
func (p *proxy) shownCert(name string) *x509.Certificate {
	p.t.Helper()
	c := p.dialTLS(askingFor(&tls.Config{}, name))
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// showsCert reports whether every worker, as far as eight connections tell, has the certificate id.
func (p *proxy) showsCert(id *identity) bool {
	p.t.Helper()
	for range 8 {
		if !p.shownCert("site.test").Equal(id.Leaf) {
			return false
		}
	}
	return true
}

// expectCert demands showsCert.
func (p *proxy) expectCert(id *identity) {
	p.t.Helper()
	if !p.showsCert(id) {
		p.t.Fatal("the proxy shows another certificate")
	}
}

// keptAlive is a connection that survives reloads, with a request whose response is under way.
type keptAlive struct {
	t  *testing.T
	c  *tls.Conn
	in *bufio.Reader
}

func (p *proxy) keepAlive(a *authority) *keptAlive {
	p.t.Helper()
	c := lasting(p.dialTLS(a.clientConfig("site.test")))
	k := &keptAlive{p.t, c, bufio.NewReader(c)}
	k.mustWork()
	return k
}

func (k *keptAlive) mustWork() {
	k.t.Helper()
	send(k.t, k.c, getRequest)
	if res, body := reply(k.t, k.in, http.MethodGet); res.StatusCode != 200 || body != "hello" {
		k.t.Fatalf("a connection from before got status %d, body %q", res.StatusCode, body)
	}
}

// A changed certificate is adopted, with or without a reload, and existing connections are not affected.
func TestTLSReload(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		first, second, third := a.issue("site.test"), a.issueRSA("site.test"), a.issue("site.test")
		place := newCertFiles(t)
		place.replace(first)
		resume := make(chan struct{})
		h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/slow" {
				_, _ = io.WriteString(w, "hello")
				return
			}
			_, _ = io.WriteString(w, bulk[:1<<20])
			_ = http.NewResponseController(w).Flush()
			<-resume
			_, _ = io.WriteString(w, bulk[1<<20:2<<20])
		})
		p := startHTTP(t, setup{hosts: endpoints(h), multi: multi, settings: place.serverSettings(settings{"workers_num": 2})})
		p.expectCert(first)
		k := p.keepAlive(a)
		amid := lasting(p.dialTLS(a.clientConfig("site.test")))
		send(t, amid, "GET /slow HTTP/1.1\r\nHost: p\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(amid), nil)
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 1<<20)
		if _, err := io.ReadFull(res.Body, part); err != nil {
			t.Fatal(err)
		}

		begin := time.Now()
		place.replace(second)
		replacing := time.Since(begin)
		p.mustOrder("reload")
		p.expectCert(second)
		k.mustWork()

		begin = time.Now()
		place.replace(third)
		replacing = max(replacing, time.Since(begin))
		eventually(t, "the new certificate is shown", func() bool { return p.shownCert("site.test").Equal(third.Leaf) })
		p.awaitLog(`level=INFO msg="kroxy-ev: new certificates are in service"`)
		p.expectCert(third)
		k.mustWork()
		close(resume)
		if rest, err := io.ReadAll(res.Body); err != nil || string(part)+string(rest) != bulk[:2<<20] {
			t.Errorf("the rest of a response from before: %d bytes, error %v", len(rest), err)
		}
		n := p.stderr.count("level=(WARN|ERROR)")
		if replacing > time.Second/2 { // the proxy may have looked at a new certificate beside an old key
			n -= p.stderr.count("level=ERROR .*new certificates cannot be used")
		}
		if n > 0 {
			t.Errorf("%d warnings or errors", n)
		}
	})
}

// Some keep certificates behind a symbolic link, and change the link.
func TestTLSReloadBySymbolicLink(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	first, second := a.issue("site.test"), a.issue("site.test")
	link := filepath.Join(t.TempDir(), "live")
	point := func(to *identity) {
		if err := errors.Join(os.Symlink(filepath.Dir(to.cert), link+".new"), os.Rename(link+".new", link)); err != nil {
			t.Fatal(err)
		}
	}
	point(first)
	p := start(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), settings: settings{
		"tls_enabled": true, "certificates": []settings{{"cert_path": filepath.Join(link, "cert.pem"), "key_path": filepath.Join(link, "key.pem")}},
	}})
	p.expectCert(first)
	c := p.dialTLS(a.clientConfig("site.test"))
	expectEcho(t, c, "before")
	point(second)
	eventually(t, "the new certificate is shown", func() bool { return p.shownCert("site.test").Equal(second.Leaf) })
	expectEcho(t, c, "after")
}

// The CAs of clients and of hosts are watched like certificates.
func TestTLSReloadOfCAs(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a, b := newAuthority(t), newAuthority(t)
		dir := t.TempDir()
		clients, hosts := filepath.Join(dir, "clients.pem"), filepath.Join(dir, "hosts.pem")
		replaceFile(t, a.path, clients)
		replaceFile(t, a.path, hosts)
		h := serveTLS(t, b.issue("127.0.0.1").config(), mirror)
		p := startHTTP(t, setup{
			hosts: endpoints(h), multi: multi,
			settings: a.issue("site.test").serverSettings(settings{"tls_verify_client": true, "tls_client_ca_path": clients, "workers_num": 2}),
		}.toTLS(settings{"proxy_tls_verify": true, "proxy_tls_ca_path": hosts}))
		status := func(of *authority) string {
			c, err := p.tryDialTLS(of.issue("client.test").withClientCert(a.clientConfig("site.test")))
			if err != nil {
				return err.Error()
			}
			defer c.Close()
			_, _ = io.WriteString(c, lastRequest)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return err.Error() // a client of TLS 1.3 learns by reading whether its certificate was accepted
			}
			return strconv.Itoa(res.StatusCode)
		}
		if got := status(a); got != "502" {
			t.Fatalf("with an untrusted host: %s", got)
		}
		expectMatch(t, status(b), "unknown certificate authority|bad certificate")
		replaceFile(t, b.path, hosts)
		eventually(t, "the host is trusted", func() bool { return status(a) == "200" })
		replaceFile(t, b.path, clients)
		eventually(t, "clients of the other CA are accepted", func() bool { return status(b) == "200" })
		eventually(t, "clients of the first CA are refused", func() bool { return status(a) != "200" })
		replaceFile(t, a.path, hosts) // a connection to the host exists from when the host was trusted
		eventually(t, "the host is no longer trusted", func() bool { return status(b) == "502" })
	})
}

// badCertFiles are the ways in which files of a certificate may be wrong, and patterns of the errors.
func badCertFiles(t *testing.T, a *authority) map[string]struct {
	spoil   func(w *certFiles)
	pattern string
} {
	t.Helper()
	other := a.issue("site.test")
	write := func(path, text string) {
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]struct {
		spoil   func(w *certFiles)
		pattern string
	}{
		"mismatched":         {func(w *certFiles) { replaceFile(t, other.key, w.key) }, `tls_key_path: .*is not the key of the first certificate in .*; give the key`},
		"empty":              {func(w *certFiles) { write(w.cert, "") }, `tls_cert_path: .*is empty; give a PEM file`},
		"empty key":          {func(w *certFiles) { write(w.key, "") }, `tls_key_path: .*is empty; give a PEM file`},
		"no PEM":             {func(w *certFiles) { write(w.cert, "hello") }, `tls_cert_path: .*has no PEM certificate in it; give`},
		"truncated":          {func(w *certFiles) { write(w.cert, "-----BEGIN CERTIFICATE-----\nMIIB") }, `tls_cert_path: .*; give`},
		"missing":            {func(w *certFiles) { _ = os.Remove(w.cert) }, `tls_cert_path: .*no such file or directory; give a readable PEM file`},
		"a key in its place": {func(w *certFiles) { replaceFile(t, w.key, w.cert) }, `tls_cert_path: .*has no certificate, but .*PRIVATE KEY.*; give`},
		"a directory":        {func(w *certFiles) { _ = errors.Join(os.Remove(w.cert), os.Mkdir(w.cert, 0o755)) }, `tls_cert_path: .*is not a regular file; give`},
		"a pipe":             {func(w *certFiles) { _ = errors.Join(os.Remove(w.key), unix.Mkfifo(w.key, 0o600)) }, `tls_key_path: .*is not a regular file; give`},
		"a huge file":        {func(w *certFiles) { write(w.key, string(noise[:2<<20])) }, `tls_key_path: .*larger than 1 MiB; give`},
	}
}

// fewBadCertFiles are the most different ones of badCertFiles.
var fewBadCertFiles = []string{"mismatched", "missing", "a pipe"}

// Bad files are not adopted: the old certificate stays in use until there is a good one.
func TestTLSReloadOfBadFiles(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "nothing changes but what is said")
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		good := a.issue("site.test")
		h := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
		for name, bad := range badCertFiles(t, a) {
			if multi && !slices.Contains(fewBadCertFiles, name) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				place := newCertFiles(t)
				place.replace(good)
				p := startHTTP(t, setup{hosts: endpoints(h), multi: multi, settings: place.serverSettings(settings{"workers_num": 2})})
				k := p.keepAlive(a)
				bad.spoil(place)
				p.refuses("reload", `stream-\d+\.json:\d+:\d+: http\.`+bad.pattern)
				p.expectCert(good)
				p.awaitLog(`level=ERROR msg="kroxy-ev: new certificates cannot be used, the old ones stay in service: .*stream-\d+\.json:\d+:\d+: http\.` + bad.pattern)
				p.expectCert(good)
				k.mustWork()
				_ = os.Remove(place.cert)
				next := a.issue("site.test")
				place.replace(next)
				eventually(t, "the next good one is shown", func() bool { return p.shownCert("site.test").Equal(next.Leaf) })
				k.mustWork()
				if n := p.stderr.count("cannot be used"); n > 2 {
					t.Errorf("%d lines about one change", n)
				}
			})
		}
	})
}

// At the start, bad files are an error.
func TestTLSStartWithBadFiles(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "no loop begins")
	a := newAuthority(t)
	hosts := []endpoint{{"127.0.0.1", 9}}
	for name, bad := range badCertFiles(t, a) {
		for _, mode := range []string{"stream", "http"} {
			t.Run(fmt.Sprint(name, ", ", mode), func(t *testing.T) {
				t.Parallel()
				place := newCertFiles(t)
				place.replace(a.issue("site.test"))
				bad.spoil(place)
				s := setup{hosts: hosts, mode: mode, settings: place.serverSettings(nil)}
				startFails(t, reservePort(t), s, `stream-\d+\.json:\d+:\d+: `+mode+`\.`+bad.pattern)
				s.multi = true
				startFails(t, reservePort(t), s, `stream-\d+\.json:\d+:\d+: `+mode+`\.`+bad.pattern)
			})
		}
	}
}

// Missing files do not delay anything else that is due: here, new keys for session tickets.
func TestTLSRotationBesideBadFiles(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		good := a.issue("site.test")
		for name, bad := range badCertFiles(t, a) {
			if !slices.Contains(fewBadCertFiles, name) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				place := newCertFiles(t)
				place.replace(good)
				p := start(t, setup{
					hosts: endpoints(listen(t, "127.0.0.1", echo)), multi: multi,
					settings: place.serverSettings(settings{"workers_num": 2, "tls_ticket_rotation": 1500}),
				})
				bad.spoil(place)
				p.awaitLog(`the old ones stay in service`)
				rotated := p.stderr.count("new keys of session tickets are in service")
				eventually(t, "the keys are renewed twice", func() bool {
					return p.stderr.count("new keys of session tickets are in service") >= rotated+2
				})
				p.expectCert(good)
				_ = os.Remove(place.cert)
				next := a.issue("site.test")
				place.replace(next)
				eventually(t, "the next good one is shown", func() bool { return p.shownCert("site.test").Equal(next.Leaf) })
				p.mustOrder("reload")
			})
		}
	})
}
