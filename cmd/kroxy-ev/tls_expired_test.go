package main_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"
)

// ignoringValidity is the configuration of a client that accepts certificates of a whose time of validity has passed or not begun.
func (a *authority) ignoringValidity(name string) *tls.Config {
	config := a.clientConfig(name)
	config.InsecureSkipVerify = true // verified below instead
	config.VerifyConnection = func(s tls.ConnectionState) error {
		leaf := s.PeerCertificates[0]
		return errors.Join(leaf.CheckSignatureFrom(a.cert), leaf.VerifyHostname(name))
	}
	return config
}

// expiredWarning returns a pattern of the warning about an expired certificate.
func expiredWarning(path, name string) string {
	return `\.json:\d+:\d+: ` + path + `: \\?".*\\?" has a certificate for \\?"` + regexp.QuoteMeta(name) + `\\?" that expired on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: peers that verify it refuse it; renew it`
}

// A certificate that has expired, or is not valid yet, is served all the same: at the start, and after a reload or an upgrade. Each time there is one
// warning, not one per worker.
func TestTLSExpiredCertificate(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		good, old, other := a.issue("good.test"), a.expired("old.test"), a.issue("other.test")
		early := a.notYetValid("early.test")
		h := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "A") })
		with := func(list ...*identity) settings {
			var pairs []settings
			for _, id := range list {
				pairs = append(pairs, settings{"cert_path": id.cert, "key_path": id.key})
			}
			return settings{"tls_enabled": true, "certificates": pairs, "workers_num": 3}
		}
		s := setup{mode: "http", hosts: endpoints(h), multi: multi, settings: with(old, good, early)}
		if multi {
			s.prepare = inProcessGroup(t)
		}
		p := launchSetup(t, reservePort(t), s)
		p.awaitLog(`msg="kroxy-ev: serving"`)
		served := func(names ...string) {
			t.Helper()
			for _, name := range names {
				c := p.dialTLS(a.ignoringValidity(name))
				send(t, c, lastRequest)
				if res, body := reply(t, bufio.NewReader(c), http.MethodGet); res.StatusCode != 200 || body != "A" {
					t.Errorf("%s: %d, %q", name, res.StatusCode, body)
				}
				_ = c.Close()
			}
		}
		said := func(times int) {
			t.Helper()
			for name, pattern := range map[string]string{
				"old":   expiredWarning(`http\.certificates\[\d\]\.cert_path`, "old.test"),
				"early": `http\.certificates\[\d\]\.cert_path: .* has a certificate for .*early\.test.* that is not valid before .* UTC: .*; give one that is valid now, or check the clock`,
			} {
				eventually(t, "the warnings are logged", func() bool { return p.stderr.count(pattern) >= times })
				if n := p.stderr.count(pattern); n > times {
					t.Errorf("%s: %d lines, want %d", name, n, times)
				}
			}
		}
		served("good.test", "old.test", "early.test")
		said(1)
		if _, err := p.tryDialTLS(a.clientConfig("old.test")); err == nil || !regexp.MustCompile("expired|certificate name").MatchString(err.Error()) {
			t.Errorf("a client that checks the validity got %v, want an error about it", err)
		}

		s.settings = with(other, early, old)
		p.rewrite(s)
		p.warns("reload", expiredWarning(`http\.certificates\[2\]\.cert_path`, "old.test"))
		served("other.test", "old.test", "early.test")
		said(2)
		if !multi {
			p.stop()
			return
		}
		p.warns("upgrade", expiredWarning(`http\.certificates\[2\]\.cert_path`, "old.test"))
		successor := p.awaitSuccessor(1)
		served("other.test", "old.test", "early.test")
		said(3)
		p.stopSuccessor(successor)
	})
}

// A renewed certificate is adopted if it can be used, even if it has expired, and the log says so.
func TestTLSRenewalThatIsExpired(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		first, old, next := a.issue("site.test"), a.expired("site.test"), a.issue("site.test")
		place := newCertFiles(t)
		place.replace(first)
		p := start(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), multi: multi, settings: place.serverSettings(settings{"workers_num": 2})})
		p.expectCert(first)
		place.replace(old)
		eventually(t, "the expired certificate is shown", func() bool { return p.shownCert("site.test").Equal(old.Leaf) })
		p.awaitLog(`level=WARN msg="kroxy-ev: ` + `.*` + expiredWarning(`stream\.tls_cert_path`, "site.test"))
		if err := errors.Join(os.WriteFile(place.cert+".new", []byte("hello"), 0o600), os.Rename(place.cert+".new", place.cert)); err != nil {
			t.Fatal(err)
		}
		p.awaitLog(`cannot be used, the old ones stay in service`)
		p.expectCert(old)
		place.replace(next)
		eventually(t, "the next certificate is shown", func() bool { return p.shownCert("site.test").Equal(next.Leaf) })
		if n := p.stderr.count("expired on"); n != 1 {
			t.Errorf("%d lines about the expired certificate, want 1", n)
		}
	})
}

// The same for certificates that the proxy sends to hosts, and for the CAs of both sides.
func TestTLSExpiredElsewhere(t *testing.T) {
	t.Parallel()
	a, past := newAuthority(t), newAuthorityUntil(t, time.Now().Add(-time.Minute))
	h := serveTLS(t, a.issue("127.0.0.1").config(), mirror)
	shown := a.expired("proxy.test")
	p := start(t, setup{
		mode: "http", hosts: endpoints(h), settings: a.issue("site.test").serverSettings(settings{"tls_verify_client": true, "tls_client_ca_path": past.path}),
	}.toTLS(settings{"proxy_tls_cert_path": shown.cert, "proxy_tls_key_path": shown.key}))
	p.awaitLog(expiredWarning(`http\.servers\.backend\.proxy_tls_cert_path`, "proxy.test"))
	p.awaitLog(`http\.tls_client_ca_path: .* has no CA certificate that is valid: that of .*CA .* expired on .* UTC, so nobody passes verification; give the file`)
	if got := p.verdict(past.issue("client.test").withClientCert(a.clientConfig("site.test"))); got == "served" {
		t.Error("a client whose CA has expired was served")
	}
}

// --test gives the same warning, and fails with --strict.
func TestTLSExpiredCertificateChecked(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	hosts := []endpoint{{"127.0.0.1", 9}}
	file := writeConfig(t, t.TempDir(), configText(reservePort(t), setup{hosts: hosts, settings: a.expired("site.test").serverSettings(nil)}))
	warning := expiredWarning(`stream\.tls_cert_path`, "site.test")
	expectOutcome(t, outcome{0, `is good\n$`, `^kroxy-ev: warning: .*` + warning + `\n$`}, "--test", "-c", file)
	expectOutcome(t, outcome{1, "", `^/.*` + warning + `\n$`}, "--test", "--strict", "-c", file)
}
