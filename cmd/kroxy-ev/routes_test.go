package main_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// routesConfig is a configuration of one server with routes, each of which leads to the group with its own name.
type routesConfig struct {
	mode   string
	listen []map[string]any
	server settings // further keys
	routes []map[string]any
	groups map[string][]endpoint
}

func (r *routesConfig) text() []byte {
	type object = map[string]any
	groups := object{}
	for name, hosts := range r.groups {
		groups[name] = object{"hosts": hosts}
	}
	server := object{"listen": r.listen, "routes": r.routes}
	for k, v := range r.server {
		server[k] = v
	}
	text, err := json.MarshalIndent(object{"servers": groups, r.mode: server, "shutdown_timeout": patience.Milliseconds()}, "", "  ")
	if err != nil {
		panic(err) // a mistake in the test
	}
	return text
}

// start starts a proxy with r. Its port is that of the first listener.
func (r *routesConfig) start(t *testing.T) *proxy {
	t.Helper()
	p := launchOn(t, r.listen[0]["port"].(int), writeConfig(t, t.TempDir(), r.text()), false, nil)
	cleanup(t, p.stop)
	return p
}

// addNamedHosts adds a host for each route's name, which answers with that name and the target that it got, and makes the route lead there.
func (r *routesConfig) addNamedHosts(t *testing.T) {
	r.groups = map[string][]endpoint{}
	for _, route := range r.routes {
		name := route["name"].(string)
		if r.groups[name] == nil {
			r.groups[name] = endpoints(serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.WriteString(w, name+" "+req.RequestURI)
			}))
		}
		route["proxy_to"] = name
	}
}

type match = map[string]any

func TestRoutes(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("site.test", "x.b.test")
	plain, other, secure := reservePort(t), reservePort(t), reservePort(t)
	r := &routesConfig{mode: "http", listen: []map[string]any{{"port": plain}, {"port": other}, {"port": secure, "tls": true}},
		server: settings{"certificates": []any{map[string]any{"cert_path": id.cert, "key_path": id.key}}},
		routes: []map[string]any{
			{"name": "port", "match": match{"listen_port": other, "path_prefix": "/port"}},
			{"name": "sni", "match": match{"sni": []string{"a.test", "*.b.test"}}},
			{"name": "https", "match": match{"scheme": "https"}},
			{"name": "api", "match": match{"host": []string{"www.test", "*.shop.test"}, "path_prefix": "/api/", "method": []string{"GET", "POST"}}},
			{"name": "exact", "match": match{"path": "/exact"}},
			{"name": "regex", "match": match{"path_regex": "/user/[0-9]+"}},
			{"name": "prefix", "match": match{"path_prefix": "/files"}},
			{"name": "canary", "match": match{"header": match{"X-Canary": "1"}}},
			{"name": "kind", "match": match{"header": match{"X-Kind": match{"regex": "b.*"}}}},
			{"name": "fields", "match": match{"path": "/fields", "header": match{"X-There": true, "X-Gone": false}}},
			{"name": "query", "match": match{"path": "/query", "query": match{"q": []string{"1", "2 3"}}}},
			{"name": "cookie", "match": match{"path": "/cookie", "cookie": match{"s": "1"}}},
			{"name": "stranger", "match": match{"client": []string{"192.0.2.0/24"}, "path_prefix": "/client"}},
			{"name": "client", "match": match{"client": "127.0.0.0/8", "path_prefix": "/client"}},
		}}
	r.addNamedHosts(t)
	p := r.start(t)

	const crlf = "\r\n"
	ask := func(c net.Conn, in *bufio.Reader, text string) string {
		if _, err := io.WriteString(c, text+crlf+crlf); err != nil {
			t.Fatal(err)
		}
		method, _, _ := strings.Cut(text, " ")
		res, body := reply(t, in, method)
		if res.StatusCode != http.StatusOK {
			return fmt.Sprint(res.StatusCode)
		}
		return body
	}
	host := func(target string, more ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: " + strings.Join(append([]string{"any.test"}, more...), crlf)
	}
	cases := []struct{ text, want string }{
		{"GET /api/x HTTP/1.1\r\nHost: WWW.test.:80", "api /api/x"},
		{"GET /api/x HTTP/1.1\r\nHost: a.b.shop.test", "api /api/x"},
		{"GET http://www.test/api/x HTTP/1.1\r\nHost: other", "api /api/x"},
		{"POST /api/x HTTP/1.1\r\nHost: www.test\r\nContent-Length: 0", "api /api/x"},
		{"PUT /api/x HTTP/1.1\r\nHost: www.test\r\nContent-Length: 0", "404"},
		{"GET /api HTTP/1.1\r\nHost: www.test", "404"},
		{"GET /api/x HTTP/1.1\r\nHost: shop.test", "404"},
		{host("/exact"), "exact /exact"},
		{host("/x/../%65xact?q"), "exact /x/../%65xact?q"},
		{host("/exact/"), "404"},
		{host("/user/12"), "regex /user/12"},
		{host("/user/12/x"), "404"},
		{host("/files"), "prefix /files"},
		{host("//files/./x"), "prefix //files/./x"},
		{host("/filesystem"), "404"},
		{host("/files%2Fx"), "404"},
		{host("/", "X-Canary: 0", "x-canary: 1"), "canary /"},
		{host("/", "X_Canary: 1"), "404"},
		{host("/", "X-Kind: blue"), "kind /"},
		{host("/", "X-Kind: a blue"), "404"},
		{host("/fields", "X-There:"), "fields /fields"},
		{host("/fields", "X-There: 1", "X-Gone: 1"), "404"},
		{host("/fields"), "404"},
		{host("/query?x&q=2+3"), "query /query?x&q=2+3"},
		{host("/query?q=3"), "404"},
		{host("/cookie", "Cookie: a=b; s=1"), "cookie /cookie"},
		{host("/cookie", "Cookie: a=b; s=2"), "404"},
		{host("/client"), "client /client"},
		{host("/"), "404"},
		{"OPTIONS * HTTP/1.1\r\nHost: any.test", "404"},
		{"GET /exact HTTP/1.0\r\nConnection: keep-alive", "exact /exact"},
		{host("/../exact"), "400"},
		{host("/files/..%2Fexact"), "400"},
		{host("/files/%zz"), "400"},
		{host("/port"), "404"},
	}
	// Over one connection, one after the other: each request is routed by itself.
	c := p.dial()
	in := bufio.NewReader(c)
	for _, tc := range cases {
		if got := ask(c, in, tc.text); got != tc.want {
			t.Errorf("%q got %q, want %q", tc.text, got, tc.want)
			c = p.dial()
			in = bufio.NewReader(c)
		} else if tc.want == "400" {
			c = p.dial()
			in = bufio.NewReader(c)
		}
	}
	at := *p
	at.port = other
	c = at.dial()
	if got := ask(c, bufio.NewReader(c), host("/port")); got != "port /port" {
		t.Errorf("at the other port: got %q", got)
	}
	at.port = secure
	for name, want := range map[string]string{"x.b.test": "sni /exact", "site.test": "https /exact"} {
		c := at.dialTLS(a.clientConfig(name))
		if got := ask(c, bufio.NewReader(c), host("/exact")); got != want {
			t.Errorf("by TLS, asking for %s: %q, want %q", name, got, want)
		}
	}
}

// nginx never serves what one route protects through another route, whatever target a client writes, with one exception in the manual: routes do not treat an
// encoded slash as a slash.
func TestRoutesProtectNginx(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "files", "admin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"index.html": "open", "admin/secret": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, "files", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	nginx := startNginx(t, dir)
	r := &routesConfig{mode: "http", listen: []map[string]any{{"port": reservePort(t)}},
		routes: []map[string]any{
			{"match": match{"path_prefix": "/admin", "header": match{"X-Key": false}}, "proxy_to": "guard"},
			{"proxy_to": "nginx"},
		},
		groups: map[string][]endpoint{"nginx": {nginx}, "guard": endpoints(serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		}))}}
	p := r.start(t)
	ask := func(target, more string) (int, string) {
		c := p.dial()
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: site.test\r\n%s\r\n", target, more); err != nil {
			t.Fatal(err)
		}
		res, body := reply(t, bufio.NewReader(c), "GET")
		return res.StatusCode, body
	}
	if status, body := ask("/admin/secret", "X-Key: 1\r\n"); status != 200 || body != "secret" {
		t.Fatalf("with the key: status %d, body %q", status, body)
	}
	if status, body := ask("/", ""); status != 200 || body != "open" {
		t.Fatalf("the root: status %d, body %q", status, body)
	}
	for _, target := range []string{
		"/admin/secret", "//admin/secret", "/admin//secret", "/./admin/secret", "/x/../admin/secret", "/x/%2e%2e/admin/secret", "/%2E/admin/secret",
		"/%61dmin/secret", "/x//../admin/secret", "//x/..//admin/secret", "/x/..%2Fadmin/secret", "/x/..%2fadmin/secret", "/x%2F../admin/secret",
		"/x%2Fy/../../admin/secret", "/%2e%2e%2Fadmin/secret", "/x/.%2e%2Fadmin/secret", "/x/%2F../../admin/secret", "/../admin/secret", "/x/../../admin/secret",
		`/x/..\admin/secret`, "/x/..;/admin/secret", "/admin/secret?x", "/admin/%73ecret", "http://other/admin/secret", "http://other//admin/secret", "/admin/./secret",
		"/admin/x/../secret", "/x/%252e%252e/admin/secret", "/admin/secret%00", "/%c0%ae%c0%ae/admin/secret", "/ADMIN/secret", "/admin;x/secret",
	} {
		if status, body := ask(target, ""); status == 200 || strings.Contains(body, "secret") {
			t.Errorf("%s: status %d, body %q", target, status, body)
		}
	}
}

// A client that stays connected through a reload is routed by the new routes from its next request on.
func TestRoutesReload(t *testing.T) {
	t.Parallel()
	r := &routesConfig{mode: "http", listen: []map[string]any{{"port": reservePort(t)}}, routes: []map[string]any{
		{"name": "old", "match": match{"path": "/moved"}},
		{"name": "new", "match": match{"path": "/fresh"}},
	}}
	r.addNamedHosts(t)
	p := r.start(t)
	c := p.dial()
	in := bufio.NewReader(c)
	ask := func(target string) string {
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: site.test\r\n\r\n", target); err != nil {
			t.Fatal(err)
		}
		res, body := reply(t, in, "GET")
		return fmt.Sprint(res.StatusCode, " ", body)
	}
	if got := ask("/moved"); got != "200 old /moved" {
		t.Fatal(got)
	}
	r.routes = slices.Insert(r.routes, 0, map[string]any{"match": match{"path_prefix": "/"}, "proxy_to": "new"})
	p.replace(r.text())
	p.warns("reload", `no request reaches this route: http\.routes\[0\]`)
	if got := ask("/moved"); got != "200 new /moved" {
		t.Error(got)
	}
	r.routes = r.routes[2:]
	delete(r.groups, "old")
	p.replace(r.text())
	p.mustOrder("reload")
	if got := ask("/moved"); !strings.HasPrefix(got, "404 ") {
		t.Error(got)
	}
}

func TestRoutesOfStreams(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("a.test", "x.b.test", "other.test")
	named := func(name string) []endpoint {
		return endpoints(listenTLS(t, id.config(), func(c *tls.Conn) { _, _ = io.WriteString(c, name); _ = c.Close() }))
	}
	plain := func(name string) []endpoint { return endpoints(listen(t, "127.0.0.1", answer(name))) }
	one, two := reservePort(t), reservePort(t)
	r := &routesConfig{mode: "stream", listen: []map[string]any{{"port": one}, {"port": two}},
		routes: []map[string]any{
			{"match": match{"sni": "a.test"}, "proxy_to": "a"},
			{"match": match{"sni": "*.b.test"}, "proxy_to": "b"},
			{"match": match{"listen_port": two, "client": "127.0.0.0/8"}, "proxy_to": "two"},
			{"match": match{"client": "192.0.2.0/24"}, "proxy_to": "a"},
		},
		groups: map[string][]endpoint{"a": named("a"), "b": named("b"), "two": plain("two")}}
	p := r.start(t)
	for name, want := range map[string]string{"a.test": "a", "x.b.test": "b"} {
		if got, err := io.ReadAll(p.dialTLS(a.clientConfig(name))); string(got) != want || err != nil {
			t.Errorf("asking for %s: %q, %v", name, got, err)
		}
	}
	// A session that no route matches is closed.
	if c, err := p.tryDialTLS(a.clientConfig("other.test")); err == nil {
		t.Errorf("a client of no route got a handshake: %v", c.ConnectionState())
	}
	at := *p
	at.port = two
	c := at.dial()
	_, _ = io.WriteString(c, "hello")
	if got, err := io.ReadAll(c); string(got) != "two" || err != nil {
		t.Errorf("at the other port: %q, %v", got, err)
	}
}

func TestRoutesAreChecked(t *testing.T) {
	t.Parallel()
	check := func(routes []map[string]any) string {
		r := &routesConfig{mode: "http", listen: []map[string]any{{"port": 80}}, routes: routes, groups: map[string][]endpoint{"g": {{"127.0.0.1", 9}}}}
		for _, route := range routes {
			route["proxy_to"] = "g"
		}
		return writeConfig(t, t.TempDir(), r.text())
	}
	expectOutcome(t, outcome{0, `is good\n$`, `warning: .*:\d+:\d+: http\.routes\[1\]: no request reaches this route: "all" \(http\.routes\[0\]\), which precedes it`},
		"--test", "--config", check([]map[string]any{{"name": "all"}, {"match": match{"path": "/a"}}}))
	expectOutcome(t, outcome{1, ``, `:\d+:\d+: http\.routes\[0\]\.match\.path_prefix\[1\]: "/\.\./b": a request with this path is refused`},
		"--test", "--config", check([]map[string]any{{"match": match{"path_prefix": []string{"/a", "/../b"}}}}))
}

// 5,000 routes cost as little as one, and a reload of them is quick.
func TestManyRoutes(t *testing.T) {
	t.Parallel()
	const n = 5000
	r := &routesConfig{mode: "http", listen: []map[string]any{{"port": reservePort(t)}}, routes: []map[string]any{{"name": "only"}}}
	r.addNamedHosts(t)
	r.routes = nil
	for i := range n {
		r.routes = append(r.routes, map[string]any{"match": match{"host": fmt.Sprintf("www%d.test", i), "path_prefix": "/a"}, "proxy_to": "only"})
	}
	p := r.start(t)
	began := time.Now()
	p.mustOrder("reload")
	t.Logf("a reload of %d routes: %v", n, time.Since(began))
	c := p.client()
	for _, i := range []int{0, n / 2, n - 1} {
		req, err := http.NewRequest("GET", p.url("/a/b"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = fmt.Sprintf("www%d.test", i)
		if res, body := do(t, c, req); res.StatusCode != 200 || body != "only /a/b" {
			t.Errorf("%s: status %d, body %q", req.Host, res.StatusCode, body)
		}
	}
}
