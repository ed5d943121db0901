package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// withNames returns a prepare function that gives the program an /etc/hosts with these names for this machine.
func withNames(t *testing.T, names ...string) func(*exec.Cmd) {
	t.Helper()
	return withFile(t, "/etc/hosts", "127.0.0.1 localhost "+strings.Join(names, " ")+"\n")
}

// withFile returns a prepare function that replaces a file by this text for the program.
func withFile(t *testing.T, path, text string) func(*exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a program its own " + path)
	}
	file := writeConfig(t, t.TempDir(), []byte(text))
	script := `mount --bind "$0" ` + path + ` && exec "$@"`
	prepare := func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", script, file, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		cmd.Env = append(os.Environ(), "GODEBUG=netdns=go")
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{}
	if prepare(probe); probe.Run() != nil {
		t.Skip(path + " cannot be replaced here")
	}
	return prepare
}

// withName returns e with another name.
func withName(e endpoint, name string) endpoint { return endpoint{name, e.Port} }

// askingFor returns config for a client that sends name by SNI and accepts any certificate.
func askingFor(config *tls.Config, name string) *tls.Config {
	config = config.Clone()
	config.ServerName, config.InsecureSkipVerify = name, true
	return config
}

// In http mode the SNI name chooses the host, and the Host field does not.
func TestTLSNamesChooseInHTTP(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	letter := func(l string) *httpHost {
		return serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, l) })
	}
	p := startHTTP(t, setup{
		prepare: withNames(t, "alpha.test", "beta.test"),
		hosts: []endpoint{
			withName(letter("A").endpoint, "alpha.test"), withName(refusing(t), "Beta.Test"), withName(letter("B").endpoint, "Beta.Test"),
			letter("D").endpoint, withName(letter("L").endpoint, "localhost"),
		},
		algorithm: "sni", settings: a.issue("alpha.test").serverSettings(nil),
	})
	for name, want := range map[string]string{
		"alpha.test": "A", "ALPHA.test": "A", "beta.test": "B", "BETA.TEST": "B", "localhost": "L",
		"gamma.test": "421", "sub.alpha.test": "421", "alpha": "421", "": "421", strings.Repeat("long.", 50) + "test": "421",
	} {
		t.Run(fmt.Sprintf("%.30s", name), func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, version uint16) {
				c := p.dialTLS(only(version, askingFor(a.clientConfig(""), name)))
				in := bufio.NewReader(c)
				for range 3 {
					send(t, c, "GET / HTTP/1.1\r\nHost: beta.test\r\n\r\n")
					res, body := reply(t, in, http.MethodGet)
					if got := body; res.StatusCode == 200 && got != want || res.StatusCode != 200 && fmt.Sprint(res.StatusCode) != want {
						t.Errorf("asked for %q: status %d, body %.100q; want %s", name, res.StatusCode, body, want)
					}
				}
			})
		})
	}
	// Only OpenSSL can send an address as SNI, which the standard forbids.
	t.Run("an address", func(t *testing.T) {
		t.Parallel()
		need(t, "openssl")
		if out := p.sClient(lastRequest, "-servername", "127.0.0.1"); !strings.Contains(out, "\r\n\r\nD") {
			t.Errorf("openssl wrote:\n%s", out)
		}
	})
}

// The same in stream mode; a client whose name no host has is not served.
func TestTLSNamesChooseInStream(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	prepare := withNames(t, "alpha.test", "beta.test")
	x, y := listen(t, "127.0.0.1", answer("A")), listen(t, "127.0.0.1", answer("B"))
	p := start(t, setup{
		prepare: prepare, algorithm: "sni", settings: a.issue("alpha.test").serverSettings(nil),
		hosts: []endpoint{withName(x.endpoint, "alpha.test"), withName(refusing(t), "beta.test"), withName(y.endpoint, "BETA.test")},
	})
	for name, want := range map[string]string{"alpha.test": "A", "beta.test": "B", "AlPHA.TeSt": "A", "gamma.test": "", "": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, version uint16) {
				c, err := p.tryDialTLS(only(version, askingFor(a.clientConfig(""), name)))
				switch {
				case want != "" && err != nil:
					t.Fatal(err)
				case want != "":
					expectWhole(t, c, want)
				case err == nil:
					if got, _ := io.ReadAll(c); len(got) > 0 {
						t.Errorf("a client that asked for %q got %q", name, got)
					}
				}
			})
		})
	}
	cleanup(t, func() {
		line := p.await(p.stderr, `.*session closed" reason="no host has the requested name.*`)[0]
		expectMatch(t, line, `level=INFO.* client=127\.0\.0\.1 `)
	})
}

// SNI also chooses the certificate: by its names, where a wildcard matches one label, and ignoring case; otherwise the first one is used.
func TestTLSCertificatesByName(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	first, exact, wild := a.issue("first.test"), a.issue("Exact.Test", "also.test"), a.issue("*.wild.test")
	inside, hard := a.issue("inside.wild.test"), a.issueRSA("exact.test", "also.test")
	entry := func(id *identity) settings { return settings{"cert_path": id.cert, "key_path": id.key} }
	both := first.serverSettings(settings{"certificates": []settings{entry(exact), entry(hard), entry(wild), entry(inside)}})
	list := settings{"tls_enabled": true, "certificates": []settings{entry(first), entry(exact), entry(hard), entry(wild), entry(inside)}}
	h := serve(t, "127.0.0.1", mirror)
	e := listen(t, "127.0.0.1", echo)
	for way, p := range map[string]*proxy{
		"http, beside tls_cert_path": startHTTP(t, setup{hosts: endpoints(h), settings: both}),
		"stream, without it":         start(t, setup{hosts: endpoints(e), settings: list}),
	} {
		for name, want := range map[string]*identity{
			"first.test": first, "exact.test": exact, "EXACT.test": exact, "also.test": exact, "a.wild.test": wild, "B.WILD.TEST": wild,
			"a.b.wild.test": first, "wild.test": first, "inside.wild.test": inside, "unknown.test": first, "": first, "xexact.test": first,
		} {
			t.Run(way+", "+name, func(t *testing.T) {
				t.Parallel()
				eachVersion(t, func(t *testing.T, version uint16) {
					c := p.dialTLS(only(version, askingFor(a.clientConfig(""), name)))
					if got := c.ConnectionState().PeerCertificates[0]; !got.Equal(want.Leaf) {
						t.Errorf("asked for %q: got a certificate for %q, want %q", name, got.DNSNames, want.Leaf.DNSNames)
					}
					_ = c.Close()
				})
			})
		}
		t.Run(way+", RSA only", func(t *testing.T) {
			t.Parallel()
			config := only(tls.VersionTLS12, askingFor(a.clientConfig(""), "exact.test"))
			config.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
			if got := p.dialTLS(config).ConnectionState().PeerCertificates[0]; !got.Equal(hard.Leaf) {
				t.Errorf("got a certificate with a key of type %v", got.PublicKeyAlgorithm)
			}
		})
	}
}
