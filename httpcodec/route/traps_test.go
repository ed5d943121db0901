package route

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const refused = "refused"

// traps has targets that hosts interpret differently. The host is sent the original target, so the columns say which path a
// host then serves: nginx (its $uri), Apache httpd 2.4, and Go's net/http with a ServeMux or a FileServer, both of which clean
// the path.
var traps = []struct {
	target string
	path   string // in normal form, or refused
	nginx  string
	apache string
	golang string
	rule   string // the documented rule by which a host may see another path than routes do
}{
	{"/a/../b", "/b", "/b", "/b", "/b", ""},
	{"/a/./b", "/a/b", "/a/b", "/a/b", "/a/b", ""},
	{"/a/..", "/", "/", "/", "/", ""},
	{"/a/%2e%2e/b", "/b", "/b", "/b", "/b", ""},
	{"/a/.%2E/b", "/b", "/b", "/b", "/b", ""},
	{"/a/%2e/b", "/a/b", "/a/b", "/a/b", "/a/b", ""},
	{"/%61dmin", "/admin", "/admin", "/admin", "/admin", ""},
	{"/..", refused, refused, refused, "/", ""},
	{"/a/../../b", refused, refused, refused, "/b", ""},
	{"/%2e%2e/b", refused, refused, refused, "/b", ""},
	{"/a/...", "/a/...", "/a/...", "/a/...", "/a/...", ""},
	{"/%252e%252e/b", "/%252e%252e/b", "/%2e%2e/b", "/%2e%2e/b", "/%2e%2e/b", ""},

	{"//a", "/a", "/a", "/a", "/a", ""},
	{"/a//b", "/a/b", "/a/b", "/a/b", "/a/b", ""},
	{"/a//../b", refused, "/b", "/b", "/b", ""},
	{"/a//b/../c", "/a/c", "/a/c", "/a/c", "/a/c", ""},
	{"//../a", refused, refused, refused, "/a", ""},

	{"/a%2Fb", "/a%2Fb", "/a/b", refused, "/a/b", "%2F stays"},
	{"/a/%2Fb", "/a/%2Fb", "/a/b", refused, "/a/b", "%2F stays"},
	{"/%2Fa", "/%2Fa", "/a", refused, "/a", "%2F stays"},
	{"/a/..%2Fb", refused, "/b", refused, "/b", ""},
	{"/a/%2e%2e%2fb", refused, "/b", refused, "/b", ""},
	{"/a%2F..%2Fb", refused, "/b", refused, "/b", ""},
	{"/a%2F../b", refused, "/b", refused, "/b", ""},
	{"/a/b%2F../c", refused, "/a/c", refused, "/a/c", ""},
	{"/a%2Fb/../c", refused, "/a/c", refused, "/a/c", ""},
	{"/a/b%2Fc/d/../../e", refused, "/a/b/e", refused, "/a/b/e", ""},

	{`/a\b`, "/a%5Cb", `/a\b`, `/a\b`, `/a\b`, ""},
	{`/a/..\b`, refused, `/a/..\b`, `/a/..\b`, `/a/..\b`, ""},
	{`/a/..%5Cb`, refused, `/a/..\b`, `/a/..\b`, `/a/..\b`, ""},

	{"/a;x=1", "/a;x=1", "/a;x=1", "/a;x=1", "/a;x=1", ""},
	{"/a/..;/b", refused, "/a/..;/b", "/a/..;/b", "/a/..;/b", ""},
	{"/.;/a", refused, "/.;/a", "/.;/a", "/.;/a", ""},

	{"/A", "/A", "/A", "/A", "/A", ""},
	{"/a%00", "/a%00", refused, refused, "/a\x00", ""},
	{"/a%00/../b", "/b", refused, refused, "/b", ""},
	{"/%c0%ae%c0%ae/b", "/%C0%AE%C0%AE/b", "/\xc0\xae\xc0\xae/b", "/\xc0\xae\xc0\xae/b", "/\xc0\xae\xc0\xae/b", ""},
	{"/a%c0%afb", "/a%C0%AFb", "/a\xc0\xafb", "/a\xc0\xafb", "/a\xc0\xafb", ""},
	{"/\xc3\xa4", "/%C3%A4", "/\xc3\xa4", "/\xc3\xa4", "/\xc3\xa4", ""},
	{"/%c3%a4", "/%C3%A4", "/\xc3\xa4", "/\xc3\xa4", "/\xc3\xa4", ""},
	{"/a%3Fb", "/a%3Fb", "/a?b", "/a?b", "/a?b", ""},
	{"/a%23b", "/a%23b", "/a#b", "/a#b", "/a#b", ""},
	{"/a%20b", "/a%20b", "/a b", "/a b", "/a b", ""},
	{"/a+b", "/a+b", "/a+b", "/a+b", "/a+b", ""},
	{"/a%21", "/a%21", "/a!", "/a!", "/a!", ""},
	{"/%zz", refused, refused, refused, refused, ""},
	{"/a%", refused, refused, refused, refused, ""},
	{"/%u002e%u002e/b", refused, refused, refused, refused, ""},
	{"/a?/../b", "/a", "/a", "/a", "/a", ""},
	{"/?a", "/", "/", "/", "/", ""},
	{"http://site.test", "/", "/", "/", "/", ""},
	{"http://site.test?a", "/", "/", "/", "/", ""},
	{"http://site.test/a/../b", "/b", "/b", "/b", "/b", ""},
}

// A host sees the path by which a route was chosen, or refuses it, unless a documented rule says otherwise.
func TestTraps(t *testing.T) {
	t.Parallel()
	for _, trap := range traps {
		r := new(Request)
		target := trap.target
		if rest, ok := strings.CutPrefix(target, "http://site.test"); ok {
			target = rest // httpcodec has removed the authority
		}
		got := refused
		if err := r.SetTarget(nil, []byte(target)); err == nil {
			got = string(r.Path)
		}
		if got != trap.path {
			t.Errorf("%s: the path is %q, want %q", trap.target, got, trap.path)
		}
		if got == refused || trap.rule != "" {
			continue
		}
		decoded, err := url.PathUnescape(got)
		if err != nil {
			t.Errorf("%s: %q: %v", trap.target, got, err)
		}
		for _, seen := range []string{trap.nginx, trap.apache, trap.golang} {
			if seen != refused && seen != decoded {
				t.Errorf("%s: routes see %q, a host %q", trap.target, decoded, seen)
			}
		}
	}
}

func TestTrapsByGo(t *testing.T) {
	t.Parallel()
	for _, trap := range traps {
		got := refused
		if req, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + trap.target + " HTTP/1.1\r\nHost: site.test\r\n\r\n"))); err == nil {
			p := req.URL.Path
			if got = path.Clean("/" + p); got != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
				got += "/"
			}
		}
		if got != trap.golang {
			t.Errorf("%s: Go's net/http sees %q, the table says %q", trap.target, got, trap.golang)
		}
	}
}

func TestTrapsByNginx(t *testing.T) {
	t.Parallel()
	address := startNginx(t)
	for _, trap := range traps {
		got, err := askNginx(address, trap.target)
		if err != nil {
			t.Fatal(err)
		}
		if got != trap.nginx {
			t.Errorf("%s: nginx sees %q, the table says %q", trap.target, got, trap.nginx)
		}
	}
}

// startNginx runs an nginx that responds with the path as it understands it, and returns its address.
func startNginx(t *testing.T) string {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	config := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr; events {}
		http { access_log off; client_body_temp_path %[1]s/t; proxy_temp_path %[1]s/t; fastcgi_temp_path %[1]s/t; uwsgi_temp_path %[1]s/t; scgi_temp_path %[1]s/t;
		server { listen unix:%[2]s; default_type text/plain; return 200 "$uri"; } }`, dir, socket)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-c", file, "-e", "stderr", "-p", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-exited })
	for {
		select {
		case <-exited:
			t.Fatalf("nginx does not start: %s", &stderr)
		case <-time.After(10 * time.Millisecond):
		}
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			return socket
		}
	}
}

func askNginx(socket, target string) (string, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n", target); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refused, nil
	}
	var b strings.Builder
	_, err = bufio.NewReader(res.Body).WriteTo(&b)
	return b.String(), err
}
