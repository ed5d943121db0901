package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startNginx starts nginx as a host that serves the files of dir.
func startNginx(t *testing.T, dir string) endpoint {
	t.Helper()
	port := reservePort(t)
	runNginx(t, dir, port, fmt.Sprintf(`gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; default_type text/x;
		server { listen 127.0.0.1:%d reuseport; root %s/files; if_modified_since before; location /kept { return 200 "kept"; } }`, port, dir))
	return endpoint{"127.0.0.1", port}
}

// runNginx runs nginx with these directives in its http block, and files of its own in dir, until it listens on port.
func runNginx(t *testing.T, dir string, port int, directives string) {
	t.Helper()
	nginx := need(t, "nginx")
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s; ", kind, filepath.Join(dir, "tmp"))
	}
	conf := fmt.Sprintf(`daemon off; master_process off; pid %s/nginx.pid; error_log stderr;
		events { worker_connections 1024; } http { access_log off; %s %s }`, dir, &temp, directives)
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
	eventually(t, "nginx serves", func() bool {
		select {
		case <-exited:
			t.Fatalf("nginx does not start: %s", stderr)
		default:
		}
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// A host of HTTP/2 that ends each connection after a few requests costs none of far more clients than that a request, not even one whose body is too
// long to be kept at hand, once it is known.
func TestHTTP2NginxServesFewEach(t *testing.T) {
	skipUnderRace(t, "it is about what other programs understand")
	const clients, each = 160, 10
	port, inner := reservePort(t), reservePort(t)
	runNginx(t, t.TempDir(), port, fmt.Sprintf(`
		server { listen 127.0.0.1:%d reuseport http2; keepalive_requests 20; location / { return 200; } location /up { proxy_pass http://127.0.0.1:%[2]d; } }
		server { listen 127.0.0.1:%[2]d reuseport; location / { return 200; } }`, port, inner))
	p := startHTTP(t, setup{settings: settings{"reactors_num": 1, "proxy_to": "nginx",
		"servers": settings{"nginx": settings{"protocol": plainHTTP2, "hosts": []endpoint{{"127.0.0.1", port}}}}}})
	for _, path := range []string{"/", "/up"} {
		failed := make(chan string, clients)
		for range clients {
			c := p.client()
			go func() {
				for range each {
					var body io.Reader
					if path == "/up" {
						body = bytes.NewReader(noise[:60<<10])
					}
					res, err := c.Post(p.url(path), "text/x", body)
					if err != nil {
						failed <- err.Error()
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					if res.StatusCode != 200 {
						failed <- res.Status
						return
					}
				}
				failed <- ""
			}()
		}
		for range clients {
			if why := <-failed; why != "" {
				t.Errorf("%s: %s", path, why)
			}
		}
	}
}

// A client behind the proxy gets the same responses that nginx sends.
func TestHTTPNginx(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "files", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"small": "hello", "empty": "", "large": string(noise), "text": strings.Repeat("a line of text\n", 5000)} {
		if err := os.WriteFile(filepath.Join(dir, "files", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h := startNginx(t, dir)
	p := startHTTP(t, setup{hosts: []endpoint{h}, settings: settings{"reactors_num": 1}})
	direct := &proxy{process: p.process, port: h.Port}
	behind := p.client()
	for name, test := range map[string]struct {
		method, path string
		head         http.Header
		status       int
	}{
		"small":            {"GET", "/small", nil, 200},
		"empty":            {"GET", "/empty", nil, 200},
		"large":            {"GET", "/large", nil, 200},
		"head":             {"HEAD", "/large", nil, 200},
		"missing":          {"GET", "/missing", nil, 404},
		"directory":        {"GET", "/sub", http.Header{"Host": {"site.test"}}, 301},
		"post":             {"POST", "/small", nil, 405},
		"range":            {"GET", "/large", http.Header{"Range": {"bytes=1000-1999"}}, 206},
		"range to the end": {"GET", "/large", http.Header{"Range": {"bytes=-5"}}, 206},
		"large range":      {"GET", "/large", http.Header{"Range": {"bytes=7-3000000"}}, 206},
		"bad range":        {"GET", "/small", http.Header{"Range": {"bytes=99-100"}}, 416},
		"head of a range":  {"HEAD", "/large", http.Header{"Range": {"bytes=1-2"}}, 206},
		"not modified":     {"GET", "/large", http.Header{"If-Modified-Since": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}, 304},
		"compressed":       {"GET", "/text", http.Header{"Accept-Encoding": {"gzip"}}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := func(c *http.Client, to *proxy) (*http.Response, string) {
				req, err := http.NewRequest(test.method, to.url(test.path), nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = test.head.Get("Host")
				maps.Copy(req.Header, test.head)
				return do(t, c, req)
			}
			want, wantBody := ask(direct.client(), direct)
			for range 3 {
				got, gotBody := ask(behind, p)
				for _, own := range []string{"Date", "Connection"} { // nginx says keep-alive
					got.Header.Del(own)
					want.Header.Del(own)
				}
				if got.StatusCode != test.status || got.Status != want.Status || fmt.Sprint(got.Header) != fmt.Sprint(want.Header) {
					t.Fatalf("got %s %v\nwant %s %v (%d)", got.Status, got.Header, want.Status, want.Header, test.status)
				}
				if sha256.Sum256([]byte(gotBody)) != sha256.Sum256([]byte(wantBody)) {
					t.Fatalf("the body differs: %d bytes, want %d", len(gotBody), len(wantBody))
				}
			}
		})
	}
	t.Run("multiple ranges", func(t *testing.T) {
		t.Parallel()
		req, err := http.NewRequest("GET", p.url("/small"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", "bytes=0-1,3-4")
		res, body := do(t, behind, req)
		if res.StatusCode != 206 || strings.Count(body, "Content-Range: bytes ") != 2 || res.ContentLength != int64(len(body)) {
			t.Errorf("got status %d, Content-Length %d: %q", res.StatusCode, res.ContentLength, body)
		}
	})
}
