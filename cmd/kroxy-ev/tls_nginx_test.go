package main_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startSecureNginx starts nginx as a TLS host with id. / reports the TLS session; other paths are files of dir/files.
func startSecureNginx(t *testing.T, dir string, id *identity, more string) endpoint {
	t.Helper()
	nginx := need(t, "nginx")
	port := reservePort(t)
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s; ", kind, filepath.Join(dir, "tmp"))
	}
	conf := fmt.Sprintf(`daemon off; master_process off; pid %s/nginx.pid; error_log stderr;
		events {} http { access_log off; %s keepalive_requests 3;
		server { listen 127.0.0.1:%d ssl reuseport; ssl_certificate %s; ssl_certificate_key %s; %s root %s/files;
		location = / { return 200 "$connection_requests $ssl_protocol $ssl_session_reused $ssl_server_name $ssl_client_verify"; } } }`,
		dir, &temp, port, id.cert, id.key, more, dir)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-c", file, "-e", "stderr")
	stderr := newTranscript()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-exited })
	eventually(t, "nginx listens", func() bool {
		select {
		case <-exited:
			t.Fatalf("nginx does not start: %s", stderr)
		default:
		}
		c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return endpoint{"127.0.0.1", port}
}

// nginx keeps connections for a few requests, and sessions for the next connection.
func TestTLSNginx(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	a := newAuthority(t)
	id, own := a.issue("127.0.0.1", "db.test"), a.issue("proxy.test")
	shown := settings{"proxy_tls_cert_path": own.cert, "proxy_tls_key_path": own.key}
	verify := fmt.Sprintf("ssl_verify_client on; ssl_client_certificate %s; ", a.path)
	for name, test := range map[string]struct {
		conf  string
		group settings
		want  string // for the second connection
	}{
		"1.2":                {"ssl_protocols TLSv1.2; ssl_session_cache builtin:100;", nil, "1 TLSv1.2 r  NONE"},
		"1.3":                {"ssl_protocols TLSv1.3;", nil, "1 TLSv1.3 r  NONE"},
		"no tickets":         {"ssl_protocols TLSv1.2; ssl_session_tickets off;", nil, "1 TLSv1.2 .  NONE"},
		"a name":             {"ssl_protocols TLSv1.3;", settings{"proxy_tls_server_name": "db.test"}, "1 TLSv1.3 r db.test NONE"},
		"a certificate, 1.2": {verify + "ssl_protocols TLSv1.2;", shown, "1 TLSv1.2 r  SUCCESS"},
		"a certificate, 1.3": {verify + "ssl_protocols TLSv1.3;", shown, "1 TLSv1.3 r  SUCCESS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "files"), 0o755), os.WriteFile(filepath.Join(dir, "files", "large"), noise, 0o644)); err != nil {
				t.Fatal(err)
			}
			e := startSecureNginx(t, dir, id, test.conf)
			group := settings{"proxy_tls_verify": true, "proxy_tls_ca_path": a.path}
			for k, v := range test.group {
				group[k] = v
			}
			p := startHTTP(t, setup{hosts: []endpoint{e}, settings: settings{"reactors_num": 1}}.toTLS(group))
			c := p.client()
			for i := range 6 {
				_, body := p.get(c, "/")
				switch {
				case !strings.HasPrefix(body, fmt.Sprint(i%3+1, " ")):
					t.Errorf("request %d: %q", i, body)
				case i == 3:
					expectMatch(t, body, "^"+test.want+"$")
				}
			}
			if res, body := p.get(c, "/large"); res.StatusCode != 200 || sha256.Sum256([]byte(body)) != sha256.Sum256(noise) {
				t.Errorf("status %d, %d bytes", res.StatusCode, len(body))
			}
			if n := p.stderr.count("level=(WARN|ERROR)"); n > 0 {
				t.Errorf("%d warnings or errors", n)
			}
		})
	}
}
