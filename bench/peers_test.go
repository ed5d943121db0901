package bench

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	t.Parallel()
	s := settings{Port: 18001, HostA: 18002, HostB: 18003, Log: "/tmp/a b/access.log", Dir: "/tmp/a", Files: 20000, MaxConn: 8765, StreamModule: "/lib/stream.so",
		certificate: certificate{Cert: "/tmp/a/c.pem", Key: "/tmp/a/c.pem.key"}}
	for file, want := range map[string][]string{
		"nginx-stream.conf":    {"load_module /lib/stream.so;", "listen 18001", "127.0.0.1:18002", "127.0.0.1:18003", "access_log /tmp/a b/access.log", "worker_processes 1;"},
		"haproxy-tcp.cfg":      {"bind *:18001", "127.0.0.1:18002", "127.0.0.1:18003", "nbthread 1", "maxconn 8765"},
		"haproxy-splice.cfg":   {"bind *:18001", "127.0.0.1:18002", "127.0.0.1:18003", "nbthread 1", "option splice-auto"},
		"kroxy-ev-stream.json": {`"port": 18001`, `"port": 18002`, `"port": 18003`, `"reactors_num": 1`, `"file_log": "/tmp/a b/access.log"`},
		"nginx-http.conf":      {"listen 18001", "127.0.0.1:18002", "127.0.0.1:18003", "access_log /tmp/a b/access.log", "worker_processes 1;"},
		"haproxy-http.cfg":     {"bind *:18001", "127.0.0.1:18002", "127.0.0.1:18003", "nbthread 1", "maxconn 8765", "log stderr"},
		"kroxy-ev-http.json":   {`"port": 18001`, `"port": 18002`, `"port": 18003`, `"reactors_num": 1`, `"file_log": "/tmp/a b/access.log"`},
		"nginx-https.conf":     {"listen 18001 ssl", "127.0.0.1:18002", "127.0.0.1:18003", "access_log /tmp/a b/access.log", "worker_processes 1;", "ssl_certificate /tmp/a/c.pem;", "ssl_certificate_key /tmp/a/c.pem.key;"},
		"haproxy-https.cfg":    {"bind *:18001", "ssl crt /tmp/a/c.pem ", "127.0.0.1:18002", "127.0.0.1:18003", "nbthread 1", "maxconn 8765", "log stderr"},
		"kroxy-ev-https.json":  {`"port": 18001`, `"port": 18002`, `"port": 18003`, `"reactors_num": 1`, `"file_log": "/tmp/a b/access.log"`, `"tls_cert_path": "/tmp/a/c.pem"`, `"tls_key_path": "/tmp/a/c.pem.key"`},
		"nginx-host.conf":      {"listen 18002 ", "listen 18003 ", "worker_processes 1;"},
	} {
		b, err := peer{name: file, file: file}.render(s)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s lacks %q:\n%s", file, w, b)
			}
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(b) {
			t.Errorf("%s is no JSON:\n%s", file, b)
		}
	}
	s.Log = ""
	for file, lacks := range map[string]string{
		"nginx-stream.conf": "access_log", "haproxy-tcp.cfg": "log", "haproxy-splice.cfg": "log", "kroxy-ev-stream.json": `"f`,
		"nginx-http.conf": "log_format", "haproxy-http.cfg": "log", "kroxy-ev-http.json": `"f`,
		"nginx-https.conf": "log_format", "haproxy-https.cfg": "log", "kroxy-ev-https.json": `"f`,
	} {
		b, err := peer{name: file, file: file}.render(s)
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(strings.TrimSpace(line), lacks) {
				t.Errorf("%s without a log has the line %q", file, line)
			}
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(b) {
			t.Errorf("%s without a log is no JSON:\n%s", file, b)
		}
	}
	s.Bulk = true
	for file, want := range map[string]string{"nginx-http.conf": "proxy_buffers 8 64k;", "haproxy-http.cfg": "option splice-auto",
		"nginx-https.conf": "proxy_buffers 8 64k;", "haproxy-https.cfg": "tune.bufsize 65536"} {
		if b, err := (peer{file: file}).render(s); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s for bulk: %v\n%s", file, err, b)
		}
	}
	s.StreamModule = ""
	if b, err := (peer{file: "nginx-stream.conf"}).render(s); err != nil || strings.Contains(string(b), "load_module") {
		t.Errorf("built-in module: %v\n%s", err, b)
	}
	if _, err := (peer{name: "x", file: "missing.conf"}).render(s); err == nil {
		t.Error("no error for a missing file")
	}
}
