package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/cmd/kroxy-ev/internal/browsertest"
)

// pairs are the versions of HTTP that a client and a host speak, by TLS.
var pairs = []struct{ client, host string }{{"1.1", "1.1"}, {"1.1", "2.0"}, {"2.0", "1.1"}, {"2.0", "2.0"}}

// startBetweenTLS starts a proxy for site.test, with TLS, in front of a net/http host that speaks one version of HTTP by TLS.
func startBetweenTLS(t *testing.T, a *authority, host string, handler http.HandlerFunc) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config, keys := a.issue("127.0.0.1").config(), settings{"proxy_tls_verify": true, "proxy_tls_ca_path": a.path, "connect_timeout": patience.Milliseconds()}
	srv := &http.Server{ErrorLog: serverLog, TLSConfig: config, Protocols: new(http.Protocols)}
	if host == "2.0" {
		keys["protocol"] = "h2"
		srv.Protocols.SetHTTP2(true)
	} else {
		srv.Protocols.SetHTTP1(true)
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Proto != "HTTP/"+host {
			t.Errorf("the host got a request in %s", req.Proto)
		}
		handler(w, req)
	})
	go func() { _ = srv.ServeTLS(ln, "", "") }()
	t.Cleanup(func() { _ = srv.Close() })
	return startHTTP(t, setup{hosts: []endpoint{{"127.0.0.1", ln.Addr().(*net.TCPAddr).Port}}, settings: a.issue("site.test", "127.0.0.1").serverSettings(nil)}.toTLS(keys))
}

// eachPair runs a test for each pair of versions. A client of version 1.1 offers no other version.
func eachPair(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, p *proxy, a *authority, client string)) {
	t.Helper()
	for _, pair := range pairs {
		t.Run("HTTP/"+pair.client+" to HTTP/"+pair.host, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			test(t, startBetweenTLS(t, a, pair.host, handler), a, pair.client)
		})
	}
}

// The client and host of net/http in all pairs: small and large bodies both ways, trailers, statuses without content, and Expect.
func TestHTTP2Go(t *testing.T) {
	t.Parallel()
	const large = 3 << 20
	handler := func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/trailers":
			body, _ := io.ReadAll(req.Body)
			w.Header().Set("Trailer", "X-Sum")
			_, _ = w.Write(body)
			w.Header().Set("X-Sum", req.Trailer.Get("X-Sum"))
		default:
			bulkHost(w, req)
		}
	}
	eachPair(t, handler, func(t *testing.T, p *proxy, a *authority, client string) {
		tr := &http.Transport{TLSClientConfig: a.clientConfig("site.test"), DisableCompression: true, Protocols: new(http.Protocols)}
		t.Cleanup(tr.CloseIdleConnections)
		if client == "2.0" {
			tr.Protocols.SetHTTP2(true)
		} else {
			tr.Protocols.SetHTTP1(true)
		}
		c := &http.Client{Transport: tr, Timeout: 2 * patience}
		ask := func(method, path string, body io.Reader, change func(*http.Request)) (*http.Response, string) {
			t.Helper()
			req, err := http.NewRequest(method, p.tlsURL(path), body)
			if err != nil {
				t.Fatal(err)
			}
			if change != nil {
				change(req)
			}
			res, got := do(t, c, req)
			if res.Proto != "HTTP/"+client {
				t.Errorf("%s %s got a response in %s", method, path, res.Proto)
			}
			return res, got
		}
		for _, size := range []int64{0, 1, 70_000, large} {
			for _, length := range []string{"", "&length"} {
				_, got := ask("GET", fmt.Sprintf("/?seed=1&size=%d%s", size, length), nil, nil)
				want, _ := io.ReadAll(newStream(1, size))
				if got != string(want) {
					t.Errorf("got %d bytes, want %d (Content-Length %q)", len(got), size, length)
				}
				want = fmt.Appendf(nil, "%d %08x", size, streamSum(1, size))
				_, got = ask("POST", "/", newStream(1, size), func(req *http.Request) {
					if length != "" {
						req.ContentLength = size
					}
				})
				if got != string(want) {
					t.Errorf("the host got %q, want %q", got, want)
				}
			}
		}
		if res, got := ask("HEAD", "/?seed=1&size=5&length", nil, nil); got != "" || res.ContentLength != 5 {
			t.Errorf("HEAD: Content-Length %d, body %q", res.ContentLength, got)
		}
		if res, got := ask("GET", "/none", nil, nil); got != "" || res.StatusCode != 204 {
			t.Errorf("/none: status %d, body %q", res.StatusCode, got)
		}
		res, got := ask("POST", "/trailers", io.MultiReader(strings.NewReader("hello")), func(req *http.Request) {
			req.Trailer = http.Header{"X-Sum": {"1"}}
			req.Header.Set("TE", "trailers")
		})
		if got != "hello" || res.Trailer.Get("X-Sum") != "1" {
			t.Errorf("trailers: body %q, trailers %v", got, res.Trailer)
		}
		if _, got := ask("POST", "/", strings.NewReader("hello"), func(req *http.Request) { req.Header.Set("Expect", "100-continue") }); !strings.HasPrefix(got, "5 ") {
			t.Errorf("Expect: body %q", got)
		}
	})
}

// curl in all pairs.
func TestHTTP2Curl(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	need(t, "curl")
	file := filepath.Join(t.TempDir(), "upload")
	content, _ := io.ReadAll(newStream(3, bulkSize))
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	eachPair(t, bulkHost, func(t *testing.T, p *proxy, a *authority, client string) {
		version := map[string]string{"1.1": "--http1.1", "2.0": "--http2"}[client]
		told := map[string]string{"1.1": "1.1", "2.0": "2"}[client]
		sum := fmt.Sprintf("%d %08x", bulkSize, streamSum(3, bulkSize))
		for _, test := range []struct {
			args []string
			want string
		}{
			{[]string{"-w", " %{http_version} %{num_connects}\n", "/?size=0", "/?size=0"}, " " + told + " 1\n " + told + " 0\n"},
			{[]string{"--data-binary", "@" + file, "/"}, sum},
			{[]string{"-H", "Transfer-Encoding: chunked", "--data-binary", "@" + file, "/"}, sum},
			{[]string{"-H", "Expect: 100-continue", "--data-binary", "@" + file, "/"}, sum},
			{[]string{fmt.Sprintf("/?seed=3&size=%d&length", bulkSize)}, string(content)},
			{[]string{fmt.Sprintf("/?seed=3&size=%d", bulkSize)}, string(content)},
		} {
			if client == "2.0" && slices.Contains(test.args, "Transfer-Encoding: chunked") {
				continue // curl leaves the field out then
			}
			out, trouble, err := p.curl(append([]string{"--cacert", a.path, version}, test.args...)...)
			if err != nil || out != test.want {
				t.Errorf("curl %q printed %.200q, want %.200q; %v: %s", test.args, out, test.want, err, trouble)
			}
		}
	})
}

// run runs a client program and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, name), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v: %s", name, err, &out)
	}
	return out.String()
}

// Clients with prior knowledge that the proxy speaks HTTP/2, on the port where it also speaks HTTP/1.1.
func TestHTTP2PriorKnowledge(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	h := serve(t, "127.0.0.1", mirror)
	p := startHTTP2(t, "", setup{hosts: endpoints(h)})
	t.Run("curl", func(t *testing.T) {
		t.Parallel()
		for _, test := range []struct{ option, want string }{{"--http2-prior-knowledge", "hello 2"}, {"--http1.1", "hello 1.1"}, {"--http2", "hello 1.1"}} {
			if out := run(t, "curl", "-q", "-sS", "--noproxy", "*", "--max-time", "30", test.option, "-w", " %{http_version}", p.url("/")); out != test.want {
				t.Errorf("curl %s: %q, want %q", test.option, out, test.want)
			}
		}
	})
	t.Run("nghttp", func(t *testing.T) {
		t.Parallel()
		if out := run(t, "nghttp", "-t", "30", p.url("/"), p.url("/pieces")); len(out) != len("hello")+5*len("piece 0\n") {
			t.Errorf("nghttp printed %q", out)
		}
		out := run(t, "nghttp", "-nv", "-t", "30", "-m", "20", "-w", "20", "-W", "25", p.url("/"))
		if n := strings.Count(out, ":status: 200"); n != 20 || strings.Contains(out, "error_code=PROTOCOL_ERROR") {
			t.Errorf("nghttp saw %d responses in\n%s", n, out)
		}
	})
	t.Run("Go", func(t *testing.T) {
		t.Parallel()
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetUnencryptedHTTP2(true)
		t.Cleanup(tr.CloseIdleConnections)
		if res, body := p.get(&http.Client{Transport: tr}, "/"); res.Proto != "HTTP/2.0" || body != "hello" {
			t.Errorf("got %s, body %q", res.Proto, body)
		}
	})
}

// h2load, which reports the version that it used, in all pairs: many requests over few connections.
func TestHTTP2Load(t *testing.T) {
	skipUnderRace(t, "it is about what other programs understand")
	need(t, "h2load")
	eachPair(t, mirror, func(t *testing.T, p *proxy, _ *authority, client string) {
		args, want := []string{"-n", "2000", "-c", "4", "-m", "25"}, `2000 done, 2000 succeeded, 0 failed, 0 errored.*2000 2xx`
		if client == "1.1" { // for HTTP/1.1 h2load counts statuses by reason phrase, and HTTP/2 hosts have none
			args, want = []string{"-n", "2000", "-c", "4", "--h1"}, `2000 done, \d+ succeeded, \d+ failed, 0 errored.*\(10000\) data`
		}
		out := run(t, "h2load", append(args, p.tlsURL("/"))...)
		expectMatch(t, strings.ReplaceAll(out, "\n", " "), want)
	})
}

// Chromium speaks HTTP/2 with the proxy: a page requests fifty things at once and sends some.
func TestHTTP2Chromium(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	browser := browsertest.Start(t, "ignore-certificate-errors") // the CA is the test's own
	a := newAuthority(t)
	p := startBetweenTLS(t, a, "2.0", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><title>page</title><body>page</body>`)
			return
		}
		bulkHost(w, req)
	})
	tab := browser.Open(t, fmt.Sprintf("https://127.0.0.1:%d/", p.port), 800, 600)
	got := browsertest.Value[string](tab, `(async () => {
		const sizes = await Promise.all([...Array(50).keys()].map(async (n) => (await (await fetch('/things?size=' + n * 1000)).arrayBuffer()).byteLength));
		const sent = await (await fetch('/sink', { method: 'POST', body: new Uint8Array(200000) })).text();
		const used = performance.getEntriesByType('resource').map((e) => e.nextHopProtocol);
		return [sizes.every((s, n) => s === n * 1000), sent.split(' ')[0], [...new Set(used)].join()].join(' ');
	})()`)
	if got != "true 200000 h2" {
		t.Errorf("the page says %q", got)
	}
}

// A listener that offers only h2 serves no other clients.
func TestHTTP2Alone(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id, port := a.issue("127.0.0.1"), reservePort(t)
	p := startOn(t, port, setup{mode: "http", hosts: endpoints(serve(t, "127.0.0.1", mirror)), settings: id.serverSettings(settings{
		"listen": []any{map[string]any{"port": port, "protocols": []string{"h2"}}},
	})})
	c := p.framed(t, a.clientConfig("127.0.0.1"))
	c.get(1, "/").mustSend()
	c.expectStatus(1, "200")
	config := a.clientConfig("127.0.0.1")
	config.NextProtos = []string{"http/1.1"}
	s, err := p.tryDialTLS(config)
	if err != nil {
		return // the handshake fails: no protocol in common
	}
	_, _ = io.WriteString(s, getRequest)
	if got, _ := io.ReadAll(s); bytes.Contains(got, []byte("HTTP/1.1 200")) {
		t.Errorf("a client of HTTP/1.1 got %q", got)
	}
}
