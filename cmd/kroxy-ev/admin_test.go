package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

// adminAt is an admin endpoint, as its clients see it.
type adminAt struct {
	t *testing.T
	netAddr
	token string
}

// adminResponse is a response of the admin endpoint.
type adminResponse struct {
	status int
	fields http.Header
	body   string
}

// jsonContent is a field that every request that changes something must have.
const jsonContent = "Content-Type: application/json"

// try makes a request with the given fields over a connection of its own.
func (a adminAt) try(method, path, body string, fields ...string) (got adminResponse, err error) {
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, a.network, a.address)
	}}
	defer tr.CloseIdleConnections()
	host := a.address
	if a.network == "unix" {
		host = "localhost"
	}
	req, err := http.NewRequest(method, "http://"+host+path, strings.NewReader(body))
	if err != nil {
		return adminResponse{}, err
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Do(req)
	if err != nil {
		return adminResponse{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return adminResponse{res.StatusCode, res.Header, string(text)}, err
}

func (a adminAt) ask(method, path, body string, fields ...string) adminResponse {
	a.t.Helper()
	got, err := a.try(method, path, body, fields...)
	if err != nil {
		a.t.Fatal(err)
	}
	return got
}

// expect makes a request and demands this status, and a body that matches the pattern.
func (a adminAt) expect(status int, pattern, method, path, body string, fields ...string) adminResponse {
	a.t.Helper()
	got := a.ask(method, path, body, fields...)
	if got.status != status || !regexp.MustCompile(pattern).MatchString(got.body) {
		a.t.Errorf("%s %s %s %s: status %d: %.500s\nwant %d and %s", method, path, fields, body, got.status, got.body, status, pattern)
	}
	return got
}

// order gives an order about a host and demands that it is carried out.
func (a adminAt) order(group, host, body string) {
	a.t.Helper()
	a.expect(200, "", "POST", "/api/v1/hosts/"+url.PathEscape(group)+"/"+url.PathEscape(host), body, jsonContent)
}

// status returns what /api/v1/status reports.
func (a adminAt) status() (s statusView) {
	a.t.Helper()
	if got := a.expect(200, "", "GET", "/api/v1/status", ""); json.Unmarshal([]byte(got.body), &s) != nil {
		a.t.Fatalf("the status is not JSON: %s", got.body)
	}
	return s
}

// adminConfig is a configuration with an admin endpoint on a port, and servers whose group is web.
func adminConfig(adminPort, port int, hosts ...*httpHost) object {
	return object{
		"workers_num": 2, "reactors_num": 2, "shutdown_timeout": patience.Milliseconds(),
		"admin":   object{"listen": []object{{"port": adminPort}}},
		"servers": object{"web": object{"hosts": endpoints(hosts...)}},
		"http":    object{"port": port, "proxy_to": "web"},
	}
}

func hostAt(s *httpHost) string { return fmt.Sprintf("%s:%d", s.Host, s.Port) }

// askAllWorkers requests the names of the hosts behind a port, each over a connection of its own, so that all workers are asked.
func askAllWorkers(t *testing.T, port int) (who string) {
	t.Helper()
	for range 24 {
		answer, err := local(port).say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Fatalf("the answer is %.200q, error %v; want status 200", answer, err)
		}
		who += answer[len(answer)-1:]
	}
	return who
}

// The admin endpoint takes no port from another program, at the start or at a reload. A reload moves the endpoint; a client of the endpoint that asks for
// such a reload still gets its response.
func TestAdminPorts(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := namedHosts(t, 1)
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		taken, one, other, third, web := ln.Addr().(*net.TCPAddr).Port, reservePort(t), reservePort(t), reservePort(t), reservePort(t)
		problem := fmt.Sprintf(`\.json:\d+:\d+: admin\.listen\[0\]\S*: .*\b%d is in use by another program`, taken)
		bad := launchProxy(t, 0, writeConfig(t, t.TempDir(), fileText(t, adminConfig(taken, reservePort(t), h[0]))), multi, nil)
		if status := bad.wait(); status != 1 {
			t.Errorf("exit status %d, want 1", status)
		}
		expectMatch(t, bad.stderr.String(), problem)

		p := startFile(t, multi, nil, adminConfig(one, web, h[0]))
		a := adminAt{t, local(one), ""}
		a.expect(200, "^ok\n$", "GET", "/healthz", "")
		p.replace(fileText(t, adminConfig(taken, web, h[0])))
		p.refuses("reload", problem)
		a.expect(422, fmt.Sprintf(`"line":\d+,"column":\d+,"path":"admin\.listen.*\b%d is in use`, taken), "POST", "/api/v1/reload", "", jsonContent)
		if s := a.status(); s.PID != p.pid() || s.State != "serving" {
			t.Errorf("%+v", s)
		}

		p.reloadTo(adminConfig(other, web, h[0]))
		local(one).awaitRefusal(t)
		a.netAddr = local(other)
		a.expect(200, "^ready\n$", "GET", "/ready", "")
		p.replace(fileText(t, adminConfig(third, web, h[0])))
		a.expect(200, `"changes":\["changed admin"\]`, "POST", "/api/v1/reload", "", jsonContent)
		local(other).awaitRefusal(t)
		adminAt{t, local(third), ""}.expect(200, "^ok\n$", "GET", "/healthz", "")
	})
}

// Every request that shows or changes something needs the token. Each reload reads the token anew.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h, port := namedHosts(t, 1), reservePort(t)
		file := filepath.Join(t.TempDir(), "token")
		write := func(token string) {
			if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("first")
		o := adminConfig(port, reservePort(t), h[0])
		o["admin"].(object)["token_file"] = file
		p := startFile(t, multi, nil, o)
		with := func(token string) adminAt { return adminAt{t, local(port), token} }
		refused := func(token string) {
			t.Helper()
			for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/config"} {
				if got := with(token).expect(401, `"code":"unauthorized"`, "GET", path, ""); !strings.HasPrefix(got.fields.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s: header fields %v, want WWW-Authenticate: Bearer", path, got.fields)
				}
			}
			with(token).expect(401, "", "POST", "/api/v1/reload", "", jsonContent)
			with(token).expect(401, "", "POST", "/api/v1/hosts/web/"+hostAt(h[0]), `{"drain":true}`, jsonContent)
		}
		refused("")
		refused("second")
		for _, path := range []string{"/healthz", "/ready"} {
			with("").expect(200, "", "GET", path, "")
		}
		with("first").expect(200, "kroxy_build_info", "GET", "/metrics", "")
		with("first").status()
		if got := with("first").expect(200, regexp.QuoteMeta(file), "GET", "/api/v1/config", ""); strings.Contains(got.body, "first") {
			t.Error("the configuration shows the token")
		}

		write("second")
		with("first").status()
		if status, out := p.order("reload"); status != 0 {
			t.Fatal(out)
		}
		refused("first")
		with("second").status()
		write("")
		p.refuses("reload", `\.json:\d+:\d+: admin\.token_file: .* is empty`)
		with("second").status()
	})
}

// The endpoint answers, and is ready, all the time while a new program takes over. Orders hold until the next reload.
func TestAdminOverAnUpgrade(t *testing.T) {
	t.Parallel()
	h, port, web := namedHosts(t, 2), reservePort(t), reservePort(t)
	p := launchOn(t, 0, writeConfig(t, t.TempDir(), fileText(t, adminConfig(port, web, h...))), true, inProcessGroup(t))
	a := adminAt{t, local(port), ""}
	a.order("web", hostAt(h[0]), `{"drain":true}`)

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for _, path := range []string{"/healthz", "/ready", "/metrics"} {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := a.try("GET", path, ""); err != nil || got.status != 200 {
					t.Errorf("%s, request %d: status %d, body %.200s, error %v", path, n, got.status, got.body, err)
					return
				}
			}
		})
	}
	p.mustOrder("upgrade")
	pid := p.awaitSuccessor(1)
	eventually(t, "the predecessor has left", func() bool { return !alive(p.pid()) })
	close(stop)
	clients.Wait()

	s := a.status()
	if s.PID != pid || s.State != "serving" || s.Groups[0].Hosts[0] != (hostView{hostAt(h[0]), "drain", 1, true, true}) {
		t.Errorf("the status is %+v, want process %d with its first host drained", s, pid)
	}
	if who := askAllWorkers(t, web); strings.Trim(who, "B") != "" {
		t.Errorf("hosts %s answered while A was drained", who)
	}
	a.expect(200, `"problems":\[\]`, "POST", "/api/v1/reload", "{}", jsonContent)
	if s := a.status(); s.Groups[0].Hosts[0] != (hostView{hostAt(h[0]), "up", 1, false, false}) {
		t.Errorf("%+v", s)
	}
	if who := askAllWorkers(t, web); !strings.Contains(who, "A") {
		t.Errorf("hosts %s answered, want A among them", who)
	}
	p.stopSuccessor(pid)
	local(port).awaitRefusal(t)
}

// /ready tells a load balancer when to send no more clients: while no host is usable, and once the program is stopping. /healthz is 200 until the program has
// stopped.
func TestAdminReady(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		e, goes := listen(t, "127.0.0.1", echo), refusing(t)
		port, raw := reservePort(t), reservePort(t)
		config := func(host endpoint) object {
			return object{
				"workers_num": 2, "shutdown_timeout": 20 * patience.Milliseconds(), "admin": object{"listen": []object{{"port": port}}},
				"servers": object{"raw": object{"hosts": []endpoint{host}, "health_check": object{"interval": 50, "timeout": patience.Milliseconds(), "fall": 1, "rise": 1}}},
				"stream":  object{"port": raw, "proxy_to": "raw"},
			}
		}
		p := startFile(t, multi, nil, config(goes))
		a := adminAt{t, local(port), ""}
		ready := func(status int, pattern string) {
			t.Helper()
			eventually(t, fmt.Sprintf("/ready says %d, %s", status, pattern), func() bool {
				got := a.ask("GET", "/ready", "")
				return got.status == status && regexp.MustCompile(pattern).MatchString(got.body)
			})
			a.expect(200, "^ok\n$", "GET", "/healthz", "")
		}
		ready(503, "no host of any group is usable")
		p.reloadTo(config(e.endpoint))
		ready(200, "^ready\n$")
		host := fmt.Sprintf("127.0.0.1:%d", e.Port)
		a.order("raw", host, `{"drain":true}`)
		a.expect(503, "no host of any group is usable", "GET", "/ready", "")
		a.order("raw", host, `{"drain":false}`)
		ready(200, "^ready\n$")

		held := local(raw).dial(t)
		expectEcho(t, held, "before")
		p.signal(unix.SIGTERM)
		ready(503, "the program is stopping")
		if s := a.status(); s.State != "stopping" {
			t.Errorf("%+v", s)
		}
		a.expect(503, `"code":"stopping"`, "POST", "/api/v1/reload", "", jsonContent)
		expectEcho(t, held, "behind")
		_ = held.Close()
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		local(port).awaitRefusal(t)
	})
}

// All workers know of an order by the time it is answered. Malformed orders are refused.
func TestAdminOrders(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h, port, web := namedHosts(t, 2), reservePort(t), reservePort(t)
		startFile(t, multi, nil, adminConfig(port, web, h...))
		a := adminAt{t, local(port), ""}
		first, second := hostAt(h[0]), hostAt(h[1])
		only := func(letters string) {
			t.Helper()
			who := askAllWorkers(t, web)
			for _, l := range "AB" {
				if strings.ContainsRune(who, l) != strings.ContainsRune(letters, l) {
					t.Errorf("hosts %s answered, want %s", who, letters)
				}
			}
		}
		only("AB")
		a.order("web", first, `{"drain": true}`)
		only("B")
		a.order("web", first, `{"drain": false}`)
		only("AB")
		a.order("web", second, `{"weight": 0}`)
		only("A")
		a.order("web", second, `{"weight": 3, "drain": false}`)
		only("AB")

		target := "/api/v1/hosts/web/" + first
		for _, c := range []struct {
			status                      int
			pattern, method, path, body string
			fields                      []string
		}{
			{404, "not_found.*no such host", "POST", "/api/v1/hosts/web/127.0.0.9:1", `{"drain":true}`, []string{jsonContent}},
			{404, "not_found.*no such group", "POST", "/api/v1/hosts/wed/" + first, `{"drain":true}`, []string{jsonContent}},
			{404, "not_found", "GET", "/api/v2/status", "", nil},
			{400, "bad_json", "POST", target, "", []string{jsonContent}},
			{400, "bad_json", "POST", target, "drain", []string{jsonContent}},
			{422, "bad_content", "POST", target, `{"drian":true}`, []string{jsonContent}},
			{422, "bad_content", "POST", target, `{"drain":"yes"}`, []string{jsonContent}},
			{422, "no_order", "POST", target, `{}`, []string{jsonContent}},
			{422, "bad_weight", "POST", target, `{"weight":1001}`, []string{jsonContent}},
			{415, "unsupported_media_type", "POST", target, `{"drain":true}`, nil},
			{415, "unsupported_media_type", "POST", target, `{"drain":true}`, []string{"Content-Type: text/plain"}},
		} {
			a.expect(c.status, c.pattern, c.method, c.path, c.body, c.fields...)
		}
		for path, allow := range map[string]string{target: "POST", "/api/v1/reload": "POST", "/api/v1/status": "GET, HEAD", "/metrics": "GET, HEAD"} {
			if got := a.expect(405, "method_not_allowed", "PUT", path, "{}", jsonContent); got.fields.Get("Allow") != allow {
				t.Errorf("%s: Allow: %q, want %q", path, got.fields.Get("Allow"), allow)
			}
		}
		only("AB")
	})
}

// A reload by request answers with the place of a mistake in the file, or else with what changed.
func TestAdminReload(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h, port, web := namedHosts(t, 1), reservePort(t), reservePort(t)
		o := adminConfig(port, web, h[0])
		p := startFile(t, multi, nil, o)
		a := adminAt{t, local(port), ""}
		for text, want := range map[string]string{
			"{\n  \"http\": { \"port\": 70000 }\n}\n": `"file":".*\.json","line":2,"column":\d+,"path":"http\.port","message":".+","remedy":".+"`,
			"{\n\n  nonsense":                         `"file":".*\.json","line":3,"column":3,`,
		} {
			p.replace([]byte(text))
			a.expect(422, `"code":"reload_failed".*`+want, "POST", "/api/v1/reload", "", jsonContent)
			askAllWorkers(t, web)
			a.expect(200, `"last_reload":\{"time":"[^"]+","ok":false,"by":"admin"`, "GET", "/api/v1/status", "")
		}
		o["http"].(object)["client_body_timeout"] = 54321
		p.replace(fileText(t, o))
		a.expect(200, `"changes":\["[^"]*client_body_timeout`, "POST", "/api/v1/reload", "", jsonContent)
		askAllWorkers(t, web)
		a.expect(200, `"client_body_timeout": ?54321`, "GET", "/api/v1/config", "")
		a.expect(200, `"last_reload":\{"time":"[^"]+","ok":true,"by":"admin"`, "GET", "/api/v1/status", "")
	})
}

// Requests that a page of another origin can have a browser send are refused. No browser can connect to a Unix-domain socket.
func TestAdminCrossOrigin(t *testing.T) {
	t.Parallel()
	h, port, web, path := namedHosts(t, 1), reservePort(t), reservePort(t), socketPath(t)
	o := adminConfig(port, web, h[0])
	o["admin"] = object{"listen": []object{{"port": port}, {"unix": path}}}
	startFile(t, false, nil, o)
	a := adminAt{t, local(port), ""}
	target, own := "/api/v1/hosts/web/"+hostAt(h[0]), fmt.Sprintf("http://127.0.0.1:%d", port)
	for _, c := range []struct {
		status int
		field  string
	}{
		{403, "Origin: https://evil.example"}, {403, "Origin: null"}, {403, fmt.Sprintf("Origin: http://127.0.0.1:%d", web)}, {403, "Sec-Fetch-Site: cross-site"},
		{421, "Host: evil.example"}, {421, fmt.Sprintf("Host: evil.example:%d", port)}, {421, "Host: 10.1.2.3"},
		{200, "Origin: " + own}, {200, "Sec-Fetch-Site: same-origin"}, {200, fmt.Sprintf("Host: localhost:%d", port)},
	} {
		a.expect(c.status, "", "GET", "/api/v1/status", "", c.field)
		a.expect(c.status, "", "GET", "/metrics", "", c.field)
		a.expect(c.status, "", "POST", target, `{"weight":2}`, jsonContent, c.field)
	}
	a.expect(403, "cross_site", "POST", target, `{"weight":7}`, jsonContent, "Sec-Fetch-Site: same-site")
	if w := a.status().Groups[0].Hosts[0].Weight; w != 2 {
		t.Errorf("the weight is %d, want 2", w)
	}
	u := adminAt{t, netAddr{"unix", path}, ""}
	u.expect(200, "", "POST", target, `{"weight":5}`, jsonContent, "Host: anything.example")
	u.expect(200, `"weight":5`, "GET", "/api/v1/status", "", "Host: anything.example")
	u.expect(403, "", "GET", "/api/v1/status", "", "Host: anything.example", "Origin: https://evil.example")
}

// The configuration that is shown includes defaults and no secrets.
func TestAdminConfig(t *testing.T) {
	t.Parallel()
	h, port := namedHosts(t, 1), reservePort(t)
	o := adminConfig(port, reservePort(t), h[0])
	o["http"].(object)["request_headers"] = object{"set": object{"Authorization": "Basic aGlkZGVu", "X-Api-Token": "t0ps3cret", "X-Plain": "seen", "X-From": "of http://user:p@ssw0rd@a.example/"}}
	o["http"].(object)["headers"] = object{"Proxy-Authorization": "Basic b3RoZXI"}
	startFile(t, false, nil, o)
	a := adminAt{t, local(port), ""}
	got := a.expect(200, `"client_body_timeout"`, "GET", "/api/v1/config", "")
	for _, secret := range []string{"aGlkZGVu", "t0ps3cret", "b3RoZXI", "ssw0rd"} {
		if strings.Contains(got.body, secret) {
			t.Errorf("the configuration shows the secret %s", secret)
		}
	}
	if !strings.Contains(got.body, `"seen"`) || !json.Valid([]byte(got.body)) {
		t.Errorf("the configuration is not valid JSON with X-Plain: %s", got.body)
	}
	var document struct {
		OpenAPI string
		Paths   map[string]any
	}
	if err := json.Unmarshal([]byte(a.ask("GET", "/api/v1/openapi.json", "").body), &document); err != nil || !strings.HasPrefix(document.OpenAPI, "3.") || document.Paths["/api/v1/status"] == nil {
		t.Errorf("openapi.json: error %v: %+v", err, document)
	}
}

// Clients that send half a request lose their places to others, and the proxy is not affected.
func TestAdminSlowClients(t *testing.T) {
	t.Parallel()
	h, port, web := namedHosts(t, 1), reservePort(t), reservePort(t)
	startFile(t, false, nil, adminConfig(port, web, h[0]))
	for range 100 { // only 64 places exist
		send(t, local(port).dial(t), "GET /metrics HTTP/1.1\r\nHost:")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got, err := (adminAt{t, local(port), ""}).try("GET", "/metrics", ""); err != nil || got.status != 200 {
			t.Errorf("a scrape got status %d, error %v", got.status, err)
		}
	}()
	askAllWorkers(t, web)
	<-done
}

// Every scrape is answered, however many there are, unless its request comes late: then another client may get its place.
func TestAdminManyScrapes(t *testing.T) {
	t.Parallel()
	n := 1000
	if raceEnabled {
		n = 200
	}
	h, port, web := namedHosts(t, 1), reservePort(t), reservePort(t)
	startFile(t, true, nil, adminConfig(port, web, h[0]))
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			begin := time.Now()
			answer, late, err := scrapeOnce(port)
			for late && answer == "" && time.Since(begin) < patience {
				answer, late, err = scrapeOnce(port)
			}
			if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "\nkroxy_build_info") {
				t.Errorf("a scrape got %.100q, error %v", answer, err)
			}
		})
	}
	askAllWorkers(t, web)
	clients.Wait()
}

// scrapeOnce requests the metrics, and reports whether the request was sent so late that the endpoint need not have waited for it.
func scrapeOnce(port int) (answer string, late bool, err error) {
	begin := time.Now()
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		return "", false, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	late = time.Since(begin) > 200*time.Millisecond // the endpoint waits for 250 ms at least
	text, err2 := io.ReadAll(c)
	return string(text), late, errors.Join(err, err2)
}

// Names with quotes and line ends appear in the metrics as they are in the file.
func TestAdminOddNames(t *testing.T) {
	t.Parallel()
	h, port, web := namedHosts(t, 1), reservePort(t), reservePort(t)
	const odd, route = "we\"b\\ \nkroxy_x{} 1", "we\"b\\ {}"
	o := adminConfig(port, web, h[0])
	o["servers"] = object{odd: object{"hosts": endpoints(h...)}}
	o["http"] = object{"port": web, "routes": []object{{"name": route, "proxy_to": odd}}}
	startFile(t, false, nil, o)
	askAllWorkers(t, web)
	a := adminAt{t, local(port), ""}
	a.order(odd, hostAt(h[0]), `{"weight":3}`)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bufio.NewReader(strings.NewReader(a.ask("GET", "/metrics", "").body)))
	if err != nil {
		t.Fatal(err)
	}
	for family, want := range map[string][2]string{"kroxy_route_requests_total": {"route", route}, "kroxy_upstream_requests_total": {"group", odd}, "kroxy_host_weight": {"group", odd}} {
		found := false
		for _, m := range families[family].GetMetric() {
			for _, l := range m.Label {
				found = found || l.GetName() == want[0] && l.GetValue() == want[1]
			}
		}
		if !found {
			t.Errorf("metric %s has no label %s=%q", family, want[0], want[1])
		}
	}
	if families["kroxy_x"] != nil {
		t.Error("a name was rendered as a metric of its own")
	}
}
