package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-json"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// backend is a program that can be observed and controlled.
type backend struct {
	mu        sync.Mutex
	orders    []string
	outcome   admin.Outcome
	reload    error
	ready     error
	gathered  atomic.Int32
	gathering atomic.Int32
	metrics   string        // additional ones
	hold      chan struct{} // Gather blocks until it is closed; nil means that it does not block
}

func (b *backend) Status() (*admin.Status, error) {
	host := admin.Host{Host: "unix:/run/a.sock", Name: "a", State: admin.StateUp, Weight: 1, Traffic: admin.Traffic{Codes: map[string]uint64{"2xx": 7}}}
	reload := admin.Reload{OK: true, By: "admin", Warnings: []string{}, Changes: []string{"x"}}
	return &admin.Status{
		Version: "1", Mode: "master", State: "serving", LastReload: &reload, Reloads: []admin.Reload{reload}, Workers: []admin.Worker{{PID: 5, State: "serving"}},
		Servers:      []admin.Server{{Name: "s", Mode: "http", Listen: []string{"0.0.0.0:80"}, Routes: []admin.Route{{Name: "r", To: "we b", Traffic: admin.Traffic{Codes: map[string]uint64{}}}}, Traffic: admin.Traffic{Codes: map[string]uint64{}}}},
		Groups:       []admin.Group{{Name: "we b", Algorithm: "first", Hosts: []admin.Host{host}, Traffic: admin.Traffic{Codes: map[string]uint64{}}}},
		Certificates: []admin.Certificate{{Path: "p", Names: []string{"n"}}},
	}, nil
}

func (b *backend) Config() ([]byte, error) { return []byte(`{"http":[]}`), nil }

func (b *backend) Reload(context.Context) (*admin.Outcome, error) { return &b.outcome, b.reload }

func (b *backend) SetHost(group, host string, o admin.HostOrder, by string) error {
	switch {
	case group == "panic":
		panic("a fault of ours")
	case group != "we b":
		return fmt.Errorf("%w %q", admin.ErrNoGroup, group)
	case host != "unix:/run/a.sock" && host != "a":
		return fmt.Errorf("%w %q", admin.ErrNoHost, host)
	case o.Weight != nil && *o.Weight > 1000:
		return admin.ErrWeight
	}
	text, err := json.Marshal(o)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders = append(b.orders, string(text))
	return err
}

func (b *backend) Gather(w io.Writer, accept string) (string, error) {
	b.gathered.Add(1)
	if b.gathering.Add(1) > 1 {
		return "", errors.New("metrics are gathered twice at a time")
	}
	defer b.gathering.Add(-1)
	if b.hold != nil {
		<-b.hold
	}
	_, err := io.WriteString(w, "kroxy 1\n"+b.metrics)
	return "text/plain; version=0.0.4", err
}

func (b *backend) Ready() error { return b.ready }

// listen serves b with the given rules, and returns the listener and its address.
func listen(t *testing.T, b *backend, connections int, r admin.Rules) (l *admin.Listener, address string) {
	t.Helper()
	// An answer fills a small buffer soon: then it waits for its client.
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 16<<10) })
		return err
	}}
	socket, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = admin.NewListener(socket, netip.MustParseAddr("127.0.0.1"), connections, b, slog.New(slog.DiscardHandler))
	l.SetRules(r)
	l.Start()
	t.Cleanup(l.Close)
	return l, socket.Addr().String()
}

// ask sends a request: "METHOD TARGET", fields, an empty line, content. It returns the response and its content.
func ask(t *testing.T, address, request string) (*http.Response, string) {
	t.Helper()
	head, content, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	req, err := http.NewRequest(method, "http://"+address+target, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		if req.Header.Add(name, value); name == "Host" {
			req.Host = value
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return res, string(body)
}

const asJSON = "\nContent-Type: application/json"

// Tests each endpoint, and each reason to refuse a request: who may have sent it, and what it contains.
func TestAnswers(t *testing.T) {
	t.Parallel()
	b := &backend{outcome: admin.Outcome{Problems: []admin.Problem{}, Warnings: []string{"w"}, Changes: []string{"c"}}}
	_, open := listen(t, b, 64, admin.Rules{})
	_, guarded := listen(t, b, 64, admin.Rules{Token: []byte("s3same")})
	_, metrics := listen(t, b, 64, admin.Rules{MetricsOnly: true})
	_, port, _ := net.SplitHostPort(open)
	name, _ := os.Hostname()
	const host = "POST /api/v1/hosts/we%20b/unix:%2Frun%2Fa.sock"
	for _, c := range []struct {
		at, request string
		status      int
		want        string // part of the content
	}{
		{open, "GET /healthz", 200, "ok\n"},
		{open, "GET /ready", 200, "ready\n"},
		{open, "GET /metrics", 200, "kroxy 1\n"},
		{open, "HEAD /metrics", 200, ""},
		{open, "GET /api/v1/status", 200, `"version":"1"`},
		{open, "GET /api/v1/status?x=1", 200, `"version":"1"`},
		{open, "GET /api/v1/config", 200, `{"http":[]}`},
		{open, "GET /api/v1/openapi.json", 200, `"openapi": "3.1.0"`},
		{open, "GET /", 200, "<html"},
		{open, "GET /assets/app.js", 200, ""},
		{open, "GET /assets/browser_test.go", 404, "not_found"},
		{open, "GET /assets/..%2F..%2Flistener.go", 404, "not_found"},
		{open, "GET /api/v1/nothing", 404, "not_found"},
		{open, "GET //metrics", 404, "not_found"},
		{open, host + asJSON + "\n\n{\"drain\":true}", 200, `"host":"unix:/run/a.sock"`},
		{open, "POST /api/v1/hosts/we%20b/a" + asJSON + "; charset=utf-8\n\n{\"weight\":5,\"drain\":null}", 200, `"host":"unix:/run/a.sock"`},
		{open, "POST /api/v1/hosts/web/a" + asJSON + "\n\n{\"drain\":true}", 404, `no such group \"web\"`},
		{open, "POST /api/v1/hosts/we%20b/b" + asJSON + "\n\n{\"drain\":true}", 404, `no such host \"b\"`},
		{open, "POST /api/v1/hosts/panic/b" + asJSON + "\n\n{\"drain\":true}", 500, `internal`},
		{open, host + "\nContent-Type: text/plain\n\n{\"drain\":true}", 415, "unsupported_media_type"},
		{open, host + "\n\n{\"drain\":true}", 415, "unsupported_media_type"},
		{open, host + asJSON + "\n\n", 400, "bad_json"},
		{open, host + asJSON + "\n\n{\"drain\":", 400, "bad_json"},
		{open, host + asJSON + "\n\n{\"drain\":true} {}", 400, "bad_json"},
		{open, host + asJSON + "\n\n[]", 422, "bad_content"},
		{open, host + asJSON + "\n\n{}", 422, "no_order"},
		{open, host + asJSON + "\n\n{\"drain\":\"yes\"}", 422, "bad_content"},
		{open, host + asJSON + "\n\n{\"weight\":1.5}", 422, "bad_content"},
		{open, host + asJSON + "\n\n{\"weight\":-1e99}", 422, "bad_content"},
		{open, host + asJSON + "\n\n{\"weight\":1001}", 422, "bad_weight"},
		{open, host + asJSON + "\n\n{\"drian\":true}", 422, "bad_content"},
		{open, host + asJSON + "\n\n{\"x\":\"" + strings.Repeat("x", 70000) + "\"}", 413, "body_too_large"},
		{open, "GET /healthz\nX: " + strings.Repeat("x", 9000), 431, "head_too_large"},
		{open, "GET /api/v1/reload", 405, "method_not_allowed"},
		{open, "DELETE /api/v1/hosts/we%20b/a", 405, "method_not_allowed"},
		{open, "OPTIONS /api/v1/reload", 405, "method_not_allowed"},
		{open, "POST /api/v1/reload" + asJSON, 200, `"warnings":["w"]`},
		{open, "POST /api/v1/reload" + asJSON + "\n\n{}", 200, `"changes":["c"]`},
		{open, "POST /api/v1/reload" + asJSON + "\n\n{\"x\":1}", 422, "bad_content"},
		{open, "POST /api/v1/reload", 415, "unsupported_media_type"},

		// Pages of other origins.
		{open, "GET /api/v1/status\nOrigin: http://evil.example", 403, "foreign_origin"},
		{open, "GET /api/v1/status\nOrigin: null", 403, "foreign_origin"},
		{open, "GET /\nOrigin: ", 403, "foreign_origin"},
		{open, "POST /api/v1/reload" + asJSON + "\nOrigin: http://127.0.0.1:1", 403, "foreign_origin"},
		{open, "POST /api/v1/reload" + asJSON + "\nOrigin: http://" + open, 200, ""},
		{open, "GET /\nSec-Fetch-Site: cross-site", 403, "cross_site"},
		{open, "GET /\nSec-Fetch-Site: same-site", 200, ""},
		{open, "GET /\nSec-Fetch-Site: none", 200, ""},
		{open, "POST /api/v1/reload" + asJSON + "\nSec-Fetch-Site: same-site", 403, "cross_site"},
		{open, "POST /api/v1/reload" + asJSON + "\nSec-Fetch-Site: same-origin", 200, ""},
		{open, "GET /healthz\nHost: evil.example", 421, "unknown_host"},
		{open, "GET /healthz\nHost: evil.example:" + port, 421, "unknown_host"},
		{open, "GET /healthz\nHost: 127.0.0.1.evil.example", 421, "unknown_host"},
		{open, "GET /healthz\nHost: 192.0.2.1", 421, "unknown_host"},
		{open, "GET /healthz\nHost: 127.0.0.2:1", 200, ""},
		{open, "GET /healthz\nHost: LocalHost:" + port, 200, ""},
		{open, "GET /healthz\nHost: [::1]:" + port, 200, ""},
		{open, "GET /healthz\nHost: " + name, 200, ""},

		// Tokens.
		{guarded, "GET /healthz", 200, "ok\n"},
		{guarded, "GET /ready", 200, "ready\n"},
		{guarded, "GET /", 200, "<html"},
		{guarded, "GET /metrics", 401, "unauthorized"},
		{guarded, "GET /api/v1/status", 401, "unauthorized"},
		{guarded, "GET /api/v1/status\nAuthorization: Bearer s3sam", 401, "unauthorized"},
		{guarded, "GET /api/v1/status\nAuthorization: Bearer ", 401, "unauthorized"},
		{guarded, "GET /api/v1/status\nAuthorization: Basic s3same", 401, "unauthorized"},
		{guarded, "GET /api/v1/status\nAuthorization: bearer s3same", 200, ""},
		{guarded, "POST /api/v1/reload" + asJSON, 401, "unauthorized"},
		{guarded, "POST /api/v1/reload" + asJSON + "\nAuthorization: Bearer s3same", 200, ""},

		{metrics, "GET /metrics", 200, "kroxy 1\n"},
		{metrics, "GET /healthz", 200, ""},
		{metrics, "GET /ready", 200, ""},
		{metrics, "GET /api/v1/status", 404, "not_found"},
		{metrics, "GET /", 404, "not_found"},
		{metrics, "POST /api/v1/reload" + asJSON, 404, "not_found"},
	} {
		res, body := ask(t, c.at, c.request)
		short := c.request[:min(len(c.request), 120)]
		if res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %.300s, want %d %s", short, res.StatusCode, body, c.status, c.want)
		}
		for field, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if !strings.Contains(res.Header.Get(field), want) {
				t.Errorf("%s: %s is %q", short, field, res.Header.Get(field))
			}
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: others may read it", short)
		}
		if (res.StatusCode == 405) != (res.Header.Get("Allow") != "") || (res.StatusCode == 401) != (res.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d with %v", short, res.StatusCode, res.Header)
		}
		if e := new(struct {
			Error struct{ Code, Message, Remedy string }
		}); c.status >= 400 && (json.Unmarshal([]byte(body), e) != nil || e.Error.Code == "" || e.Error.Message == "" || e.Error.Remedy == "") {
			t.Errorf("%s: %s", short, body)
		}
	}
	if got := strings.Join(b.orders, " "); got != `{"drain":true,"weight":null} {"drain":null,"weight":5}` {
		t.Errorf("the orders were %s", got)
	}
}

// A reload may fail in several ways, and so may the readiness check.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b      *backend
		ask    string
		status int
		want   string
	}{
		{&backend{reload: admin.ErrBusy}, "POST /api/v1/reload" + asJSON, 409, "busy"},
		{&backend{reload: admin.ErrStopping}, "POST /api/v1/reload" + asJSON, 503, "stopping"},
		{&backend{reload: context.DeadlineExceeded}, "POST /api/v1/reload" + asJSON, 504, "timeout"},
		{&backend{reload: errors.New("boom")}, "POST /api/v1/reload" + asJSON, 500, "boom"},
		{&backend{outcome: admin.Outcome{Problems: []admin.Problem{{File: "f", Line: 3, Column: 4, Path: "http.port", What: "bad", Remedy: "mend"}}}},
			"POST /api/v1/reload" + asJSON, 422, `"problems":[{"file":"f","line":3,"column":4,"path":"http.port","message":"bad","remedy":"mend"}]`},
		{&backend{ready: errors.New("no host")}, "GET /ready", 503, "no host"},
	} {
		_, at := listen(t, c.b, 64, admin.Rules{})
		if res, body := ask(t, at, c.ask); res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.ask, res.StatusCode, body, c.status, c.want)
		}
	}
}

// All answers conform to the OpenAPI document.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b := &backend{outcome: admin.Outcome{Problems: []admin.Problem{}, Warnings: []string{}, Changes: []string{}}}
	_, at := listen(t, b, 64, admin.Rules{})
	_, text := ask(t, at, "GET /api/v1/openapi.json")
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for _, request := range []struct{ path, pattern, send string }{
		{"/api/v1/status", "~1api~1v1~1status", "GET /api/v1/status"},
		{"/api/v1/config", "~1api~1v1~1config", "GET /api/v1/config"},
		{"/api/v1/openapi.json", "~1api~1v1~1openapi.json", "GET /api/v1/openapi.json"},
		{"/api/v1/reload", "~1api~1v1~1reload", "POST /api/v1/reload" + asJSON},
		{"/api/v1/reload", "~1api~1v1~1reload", "POST /api/v1/reload"},
		{"/api/v1/hosts", "~1api~1v1~1hosts~1%7Bgroup%7D~1%7Bhost%7D", "POST /api/v1/hosts/we%20b/a" + asJSON + "\n\n{\"drain\":true}"},
		{"/api/v1/hosts", "~1api~1v1~1hosts~1%7Bgroup%7D~1%7Bhost%7D", "POST /api/v1/hosts/no/a" + asJSON + "\n\n{\"drain\":true}"},
	} {
		res, body := ask(t, at, request.send)
		method := strings.ToLower(request.send[:strings.Index(request.send, " ")])
		s, err := c.Compile(fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%d/content/application~1json/schema", request.pattern, method, res.StatusCode))
		if err != nil {
			t.Errorf("%s: %v", request.send, err)
			continue
		}
		answer, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err == nil {
			err = s.Validate(answer)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", request.send, err, body)
		}
	}
}

// However many clients scrape at once, metrics are gathered one at a time. Clients beyond the limit wait, and none is refused.
func TestManyScrapes(t *testing.T) {
	t.Parallel()
	b := &backend{hold: make(chan struct{})}
	_, at := listen(t, b, 16, admin.Rules{})
	const n = 200
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if res, body := ask(t, at, "GET /metrics"); res.StatusCode != 200 || body != "kroxy 1\n" {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
	for b.gathered.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if got := b.gathered.Load(); got != 1 {
		t.Errorf("metrics are gathered %d times at once", got)
	}
	close(b.hold)
	wg.Wait()
}

// Neither many clients that send nothing, nor many that do not read their answers, keep others out for long.
func TestIdleCrowd(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"silent": "", "half a head": "GET /metr", "half a body": "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
		"deaf": "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "refused": "GET /metrics HTTP/1.1\r\nX: " + strings.Repeat("x", 9000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, at := listen(t, &backend{metrics: strings.Repeat("kroxy 1\n", 1<<17)}, 2, admin.Rules{})
			begin := time.Now()
			for range 40 { // twenty pairs of them would take two seconds each if all had as much time as the first
				c, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, says); err != nil {
					t.Fatal(err)
				}
			}
			if res, body := ask(t, at, "GET /healthz"); res.StatusCode != 200 {
				t.Errorf("%d %s", res.StatusCode, body)
			}
			if took := time.Since(begin); took > 39*time.Second {
				t.Errorf("who comes behind them waits for %v", took)
			}
		})
	}
}

// A client that goes on sending a request that is refused gets the whole answer, then EOF: its unread bytes do not make the kernel reset the
// connection, which may take the answer away from it.
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	_, at := listen(t, &backend{}, 64, admin.Rules{})
	const sends = 1 << 20
	for name, request := range map[string]string{
		"413": fmt.Sprintf("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", sends),
		"431": "GET / HTTP/1.1\r\nX: ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, request+strings.Repeat("x", sends)); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 "+name)) || !bytes.HasSuffix(answer, []byte("}\n")) {
				t.Errorf("%.300q, %v", answer, err)
			}
		})
	}
}

// Clients that send nothing do not occupy their connections forever while others wait; and a listener can close although they are connected.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	b := &backend{}
	l, at := listen(t, b, 4, admin.Rules{})
	var silent []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	answered := make(chan int, 1)
	go func() {
		res, err := http.Get("http://" + at + "/healthz")
		if err != nil {
			answered <- -1
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	_ = silent[0].Close()
	if status := <-answered; status != 200 {
		t.Errorf("whoever came behind them got %d", status)
	}
	closed := make(chan struct{})
	go func() {
		l.Close()
		close(closed)
	}()
	if _, err := io.Copy(new(bytes.Buffer), silent[1]); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a silent client sees %v", err)
	}
	<-closed
}
