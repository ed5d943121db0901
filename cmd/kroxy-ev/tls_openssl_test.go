package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// openssl runs an openssl command until it ends, and returns its output, even if it failed.
func openssl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, need(t, "openssl"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || !exit.Exited()) {
		t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// sClient connects with "openssl s_client", sends stdin, and ends when the proxy does.
func (p *proxy) sClient(stdin string, args ...string) string {
	p.t.Helper()
	return openssl(p.t, stdin, append([]string{"s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", p.port), "-ign_eof"}, args...)...)
}

const lastRequest = getHead + "Connection: close\r\n\r\n"

func TestTLSOpenSSLClient(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	a, other := newAuthority(t), newAuthority(t)
	id, client := a.issue("site.test"), a.issue("client.test")
	h := serve(t, "127.0.0.1", mirror)
	for name, test := range map[string]struct {
		settings settings
		args     []string
		want     []string // patterns; one that begins with "!" must not match
	}{
		"1.2": {nil, []string{"-tls1_2"}, []string{"New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256", "Verify return code: 0", "Secure Renegotiation IS supported", "(?s)200 OK.*hello"}},
		"1.3": {nil, []string{"-tls1_3"}, []string{"New, TLSv1.3, Cipher is TLS_AES_", "Verify return code: 0", "(?s)200 OK.*hello"}},
		"names and protocols": {nil, []string{"-alpn", "http/1.1", "-servername", "site.test", "-verify_hostname", "site.test"},
			[]string{"ALPN protocol: http/1.1", "Verification: OK", "200 OK"}},
		"HTTP/2 is preferred":  {nil, []string{"-alpn", "http/1.1,h2"}, []string{"ALPN protocol: h2", "Verification: OK", "!200 OK"}},
		"no name":              {nil, []string{"-noservername"}, []string{"Verification: OK", "200 OK"}},
		"X25519":               {nil, []string{"-groups", "X25519"}, []string{"Server Temp Key: X25519", "200 OK"}},
		"a second hello":       {nil, []string{"-tls1_3", "-groups", "X448:P-256"}, []string{"Server Temp Key: ECDH, (prime256v1|P-256)", "200 OK"}},
		"small records":        {nil, []string{"-max_send_frag", "512"}, []string{"200 OK"}},
		"one byte in a record": {nil, []string{"-split_send_frag", "1", "-max_pipelines", "1"}, []string{"200 OK"}},
		"static keys":          {nil, []string{"-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256"}, []string{"handshake failure", "!200 OK"}},
		"without AEAD":         {nil, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"}, []string{"handshake failure", "!200 OK"}},
		"renegotiation":        {nil, []string{"-tls1_2", "-no_ign_eof"}, []string{"RENEGOTIATING", "(?i)unexpected message|no renegotiation", "!200 OK"}},

		"certificate, 1.2":       {settings{"tls_verify_client": true, "tls_client_ca_path": a.path}, []string{"-tls1_2", "-cert", client.cert, "-key", client.key}, []string{"200 OK", regexp.QuoteMeta(a.cert.Subject.CommonName)}},
		"certificate, 1.3":       {settings{"tls_verify_client": true, "tls_client_ca_path": a.path}, []string{"-tls1_3", "-cert", client.cert, "-key", client.key}, []string{"200 OK"}},
		"no certificate, 1.2":    {settings{"tls_verify_client": true, "tls_client_ca_path": a.path}, []string{"-tls1_2"}, []string{"alert (bad certificate|handshake failure)", "!200 OK"}},
		"no certificate, 1.3":    {settings{"tls_verify_client": true, "tls_client_ca_path": a.path}, []string{"-tls1_3"}, []string{"alert certificate required", "!200 OK"}},
		"wrong certificate, 1.2": {settings{"tls_verify_client": true, "tls_client_ca_path": other.path}, []string{"-tls1_2", "-cert", client.cert, "-key", client.key}, []string{"alert (unknown ca|bad certificate)", "!200 OK"}},
		"wrong certificate, 1.3": {settings{"tls_verify_client": true, "tls_client_ca_path": other.path}, []string{"-tls1_3", "-cert", client.cert, "-key", client.key}, []string{"alert (unknown ca|bad certificate)", "!200 OK"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, "openssl")
			p := startHTTP(t, setup{hosts: endpoints(h), settings: id.serverSettings(test.settings)})
			stdin := lastRequest
			if name == "renegotiation" {
				stdin = "R\n"
			}
			out := p.sClient(stdin, append([]string{"-CAfile", a.path}, test.args...)...)
			for _, w := range test.want {
				pattern, not := strings.CutPrefix(w, "!")
				if regexp.MustCompile(pattern).MatchString(out) == not {
					t.Errorf("openssl wrote, against %s:\n%.4000s", w, out)
				}
			}
			if test.settings == nil {
				if _, body := p.tlsGet(p.tlsClient(a.clientConfig("site.test")), "/"); body != "hello" {
					t.Errorf("the next client got %q", body)
				}
			}
		})
	}
}

// OpenSSL resumes its sessions, in either version.
func TestTLSOpenSSLResumption(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	need(t, "openssl")
	a := newAuthority(t)
	h := serve(t, "127.0.0.1", mirror)
	p := startHTTP(t, setup{hosts: endpoints(h), settings: a.issue("site.test").serverSettings(nil)})
	for name, option := range map[string]string{"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "session")
			out := p.sClient(lastRequest, option, "-servername", "site.test", "-sess_out", file)
			if !strings.Contains(out, "New, "+name) {
				t.Fatalf("openssl wrote:\n%s", out)
			}
			for range 3 { // each gets a ticket for the next
				out = p.sClient(lastRequest, option, "-servername", "site.test", "-sess_in", file, "-sess_out", file)
				if !strings.Contains(out, "Reused, "+name) || !strings.Contains(out, "200 OK") {
					t.Fatalf("openssl wrote:\n%s", out)
				}
			}
		})
	}
	t.Run("-reconnect", func(t *testing.T) {
		t.Parallel()
		out := openssl(t, "", "s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", p.port), "-tls1_2", "-reconnect")
		if n := strings.Count(out, "Reused, TLSv1.2"); n != 5 {
			t.Errorf("%d sessions were resumed, want 5; openssl wrote:\n%s", n, out)
		}
	})
}

// opensslProcess is an openssl that runs while the test talks to it.
type opensslProcess struct {
	*transcript
	stdin io.WriteCloser
	wait  func() error
}

func startOpenssl(t *testing.T, args ...string) *opensslProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, "openssl"), args...)
	k := &opensslProcess{transcript: newTranscript(), wait: cmd.Wait}
	cmd.Stdout, cmd.Stderr = k.transcript, k.transcript
	var err error
	if k.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return k
}

// await waits for a match in the output.
func (k *opensslProcess) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(t, "openssl writes "+pattern, func() bool {
		found = re.FindStringSubmatch(k.String())
		return found != nil
	})
	return found
}

// In stream mode the host may send first, and the end of OpenSSL ends its stream.
func TestTLSOpenSSLStream(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	need(t, "openssl")
	a := newAuthority(t)
	h := listen(t, "127.0.0.1", nil)
	p := start(t, setup{hosts: endpoints(h), settings: a.issue("site.test").serverSettings(nil)})
	for name, option := range map[string]string{"1.2": "-tls1_2", "1.3": "-tls1_3"} {
		t.Run(name, func(t *testing.T) {
			k := startOpenssl(t, "s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", p.port), "-quiet", "-no_ign_eof", option)
			server := h.accept()
			send(t, server, "220 welcome\r\n")
			k.await(t, "220 welcome\r\n")
			_, _ = io.WriteString(k.stdin, "hello\n")
			expect(t, server, "hello\n")
			send(t, server, "250 well\r\n")
			k.await(t, "250 well\r\n")
			_ = k.stdin.Close()
			expectAll(t, server, "")
			_ = server.Close()
			if err := k.wait(); err != nil {
				t.Errorf("openssl: %v: %s", err, k)
			}
		})
	}
}

// sServer starts "openssl s_server" with the certificate id.
func sServer(t *testing.T, id *identity, args ...string) (endpoint, *opensslProcess) {
	t.Helper()
	k := startOpenssl(t, append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", id.cert, "-key", id.key}, args...)...)
	port, _ := strconv.Atoi(k.await(t, `ACCEPT 127\.0\.0\.1:(\d+)`)[1])
	return endpoint{"127.0.0.1", port}, k
}

// A page of "s_server -www" ends with its connection, and describes the handshake.
func TestTLSOpenSSLServer(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	a := newAuthority(t)
	id, own := a.issue("127.0.0.1"), a.issue("proxy.test")
	for name, test := range map[string]struct {
		args  []string
		group settings
		want  string // in the second page
	}{
		"1.2":          {[]string{"-tls1_2"}, nil, `Reused, TLSv1\.2, Cipher is ECDHE-ECDSA`},
		"1.3":          {[]string{"-tls1_3"}, nil, `Reused, TLSv1\.3, Cipher is TLS_AES_`},
		"no tickets":   {[]string{"-tls1_2", "-no_ticket"}, nil, `New, TLSv1\.2`},
		"certificates": {[]string{"-Verify", "1", "-verify_return_error", "-CAfile", a.path}, settings{"proxy_tls_cert_path": own.cert, "proxy_tls_key_path": own.key}, `Client certificate`},
		"its own name": {[]string{"-servername", "db.test", "-servername_fatal", "-cert2", id.cert, "-key2", id.key}, settings{"proxy_tls_verify": false, "proxy_tls_server_name": "db.test"}, `TLSv1\.3`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, k := sServer(t, id, append([]string{"-www"}, test.args...)...)
			group := settings{"proxy_tls_verify": true, "proxy_tls_ca_path": a.path}
			for key, v := range test.group {
				group[key] = v
			}
			p := startHTTP(t, setup{hosts: []endpoint{e}}.toTLS(group))
			c := p.client()
			_, _ = p.get(c, "/")
			res, body := p.get(c, "/")
			if res.StatusCode != http.StatusOK {
				t.Fatalf("status %d; openssl wrote:\n%s", res.StatusCode, k)
			}
			expectMatch(t, body, test.want)
		})
	}
}

// Both sides are OpenSSL, and a line passes each way.
func TestTLSOpenSSLBothSides(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	e, server := sServer(t, id, "-rev")
	p := start(t, tlsSides{true, true}.setup([]endpoint{e}, id, a, nil))
	k := startOpenssl(t, "s_client", "-connect", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), "-quiet", "-no_ign_eof", "-CAfile", a.path, "-verify_return_error")
	_, _ = io.WriteString(k.stdin, "hello\n")
	k.await(t, "olleh\n")
	_ = k.stdin.Close()
	if err := k.wait(); err != nil {
		t.Errorf("openssl: %v: %s", err, k)
	}
	server.await(t, "CONNECTION CLOSED")
}
