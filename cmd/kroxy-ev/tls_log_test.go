package main_test

import (
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// The access log's variables about a client's TLS.
func TestTLSLogVariables(t *testing.T) {
	t.Parallel()
	const format = "$tls_version $tls_cipher $tls_sni"
	a := newAuthority(t)
	id := a.issue("site.test")
	web, raw := endpoints(serve(t, "127.0.0.1", mirror)), endpoints(listen(t, "127.0.0.1", echo))
	one := func(version uint16, name string, suites ...uint16) *tls.Config {
		config := only(version, askingFor(&tls.Config{}, name))
		config.CipherSuites = suites
		return config
	}
	for mode, hosts := range map[string][]endpoint{"http": web, "stream": raw} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "access.log")
			p := start(t, setup{mode: mode, hosts: hosts, settings: id.serverSettings(settings{"file_log": file, "format_log": format, "reactors_num": 1})})
			var want []string
			for _, test := range []struct {
				config *tls.Config
				want   string
			}{
				{one(tls.VersionTLS13, "site.test"), `TLS 1\.3 TLS_(AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256) site\.test`},
				{one(tls.VersionTLS12, "site.test", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), `TLS 1\.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 site\.test`},
				{one(tls.VersionTLS12, "Other.Test", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), `TLS 1\.2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 Other\.Test`},
				{one(tls.VersionTLS12, "", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), `TLS 1\.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 -`},
				{one(tls.VersionTLS13, ""), `TLS 1\.3 TLS_\w+ -`},
			} {
				want = append(want, test.want)
				c := p.dialTLS(test.config)
				send(t, c, lastRequest)
				if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
			p.stop()
			all := lines(t, file)
			if len(all) != len(want) {
				t.Fatalf("%d lines for %d connections: %q", len(all), len(want), all)
			}
			for i, line := range all {
				expectMatch(t, line, stamp+want[i]+"$")
			}
		})
	}
}

// Hosts and the log get the subject of a client's certificate, also in a resumed session, and no other.
func TestTLSClientSubject(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id, client := a.issue("site.test"), a.issue("alice.test")
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Subject")) })
	keys := settings{"request_headers": settings{"set": settings{"X-Subject": "$tls_client_subject"}}, "format_log": "$tls_client_subject"}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "access.log")
			k := maps.Clone(keys)
			k["file_log"], k["tls_verify_client"], k["tls_client_ca_path"] = file, true, a.path
			p := startHTTP(t, setup{hosts: endpoints(h), settings: id.serverSettings(k)})
			config := client.withClientCert(only(version, a.clientConfig("site.test")))
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for i := range 3 {
				c := p.tlsClient(config)
				res, body := p.tlsGet(c, "/")
				if body != "CN=somebody" || res.TLS.DidResume != (i > 0) {
					t.Errorf("request %d, resumed %v: the host got the subject %q", i, res.TLS.DidResume, body)
				}
				c.CloseIdleConnections()
			}
			eventually(t, "all are in the log", func() bool { return len(lines(t, file)) == 3 })
			for _, line := range lines(t, file) {
				expectMatch(t, line, stamp+"CN=somebody$")
			}
		})
	}
	p := startHTTP(t, setup{hosts: endpoints(h), settings: id.serverSettings(keys)})
	if _, body := p.tlsGet(p.tlsClient(client.withClientCert(a.clientConfig("site.test"))), "/"); body != "" {
		t.Errorf("the host got the subject %q of a client that was not asked for a certificate", body)
	}
}

// Variables are "-" if there was no TLS, if the handshake failed, or if TLS was passed through and the proxy does not know them.
func TestTLSLogVariablesWithout(t *testing.T) {
	t.Parallel()
	const format = "$tls_version $tls_cipher $tls_sni."
	a := newAuthority(t)
	web, raw := endpoints(serve(t, "127.0.0.1", mirror)), endpoints(listen(t, "127.0.0.1", echo))
	file := func(t *testing.T) string { return filepath.Join(t.TempDir(), "access.log") }
	expectLines := func(t *testing.T, file string, n int, want string) {
		t.Helper()
		eventually(t, "the log has all lines", func() bool { return len(lines(t, file)) >= n })
		for _, line := range lines(t, file) {
			expectMatch(t, line, stamp+want+"$")
		}
	}
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		f := file(t)
		p := startHTTP(t, setup{hosts: web, settings: settings{"file_log": f, "format_log": format}})
		p.get(p.client(), "/")
		expectLines(t, f, 1, `- - -\.`)
	})
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		f := file(t)
		p := start(t, setup{hosts: raw, settings: settings{"file_log": f, "format_log": format}})
		c := p.dial()
		expectEcho(t, c, "hello")
		_ = c.Close()
		expectLines(t, f, 1, `- - -\.`)
	})
	t.Run("a plain request", func(t *testing.T) {
		t.Parallel()
		f := file(t)
		p := startHTTP(t, setup{hosts: web, settings: a.issue("site.test").serverSettings(settings{"file_log": f, "format_log": "$status " + format})})
		if res, _ := p.get(p.client(), "/"); res.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d", res.StatusCode)
		}
		expectLines(t, f, 1, `400 - - -\.`)
	})
	t.Run("a handshake that failed", func(t *testing.T) {
		t.Parallel()
		f := file(t)
		p := start(t, setup{hosts: raw, settings: a.issue("site.test").serverSettings(settings{"file_log": f, "format_log": format})})
		if _, err := p.tryDialTLS(only(tls.VersionTLS11, a.clientConfig("site.test"))); err == nil {
			t.Error("a client of TLS 1.1 was accepted")
		}
		expectLines(t, f, 1, `- - -\.`)
	})
	t.Run("passed through", func(t *testing.T) {
		t.Parallel()
		f := file(t)
		k := startPassThrough(t, settings{"file_log": f, "format_log": format})
		client, server := k.connect(t, k.a.clientConfig("alpha.test"), nil)
		_, _ = client.Close(), server.Close()
		expectLines(t, f, 1, `- - alpha\.test\.`)
	})
	t.Run("passed through to nobody", func(t *testing.T) {
		t.Parallel()
		f := file(t)
		k := startPassThrough(t, settings{"file_log": f, "format_log": format})
		c := k.p.dial()
		send(t, c, clientHello(askingFor(&tls.Config{}, "gamma.test")))
		expectClosed(t, c)
		expectLines(t, f, 1, `- - gamma\.test\.`)
	})
}

// A server name may be any bytes, and cannot forge a log line.
func TestTLSLogOfStrangeNames(t *testing.T) {
	t.Parallel()
	const format = "<$tls_sni> end"
	a := newAuthority(t)
	id := a.issue("site.test")
	names := []string{"x\n[2026-01-01 00:00:00]: <y> end", "a\tb\r\x00\x1b[31m\xff", `quo"te\`, strings.Repeat("n", 5000)}
	check := func(t *testing.T, file string, dropped int) {
		t.Helper()
		eventually(t, "the log has all lines", func() bool { return len(lines(t, file)) >= len(names)-dropped })
		for _, line := range lines(t, file) {
			expectMatch(t, line, stamp+`<[ -~]*> end$`)
			if strings.Count(line, " end") > 1 && !strings.Contains(line, `x\`) {
				t.Errorf("a name has forged a line: %.200q", line)
			}
		}
	}
	for mode, hosts := range map[string][]endpoint{
		"http": endpoints(serve(t, "127.0.0.1", mirror)), "stream": endpoints(listen(t, "127.0.0.1", echo)),
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "access.log")
			p := start(t, setup{mode: mode, hosts: hosts, settings: id.serverSettings(settings{"file_log": file, "format_log": format})})
			for _, name := range names {
				if got := p.verdict(askingFor(&tls.Config{}, name)); got != "served" {
					t.Logf("a client that asks for %.40q: %s", name, got)
				}
			}
			check(t, file, 0)
		})
	}
	t.Run("passed through", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "access.log")
		k := startPassThrough(t, settings{"file_log": file, "format_log": format})
		for _, name := range names {
			c := k.p.dial()
			send(t, c, clientHello(askingFor(&tls.Config{}, name)))
			expectClosed(t, c)
		}
		check(t, file, 0)
		k.p.await(k.p.stderr, "session closed.*\n")
		for line := range strings.Lines(k.p.stderr.String()) {
			expectMatch(t, line, `^time=.*level=INFO`) // a name forges no line
		}
	})
}

// Each request of a connection has a line, with the same TLS variables.
func TestTLSLogOfEveryRequest(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	file := filepath.Join(t.TempDir(), "access.log")
	p := startHTTP(t, setup{
		hosts:    endpoints(serve(t, "127.0.0.1", mirror)),
		settings: a.issue("site.test").serverSettings(settings{"file_log": file, "format_log": "$request_method $request_uri $status $tls_version $tls_sni"}),
	})
	c := p.tlsClient(a.clientConfig("site.test"))
	for _, path := range []string{"/", "/missing", "/pieces"} {
		p.tlsGet(c, path)
	}
	p.stop()
	want := []string{`GET / 200 TLS 1\.3 site\.test`, `GET /missing 404 TLS 1\.3 site\.test`, `GET /pieces 200 TLS 1\.3 site\.test`}
	all := lines(t, file)
	if len(all) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(all), len(want), all)
	}
	for i, line := range all {
		expectMatch(t, line, stamp+want[i]+"$")
	}
}
