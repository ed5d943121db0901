package main_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is a server that receives spans.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*otlp.Span
	services []string
	status   int // of its responses
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{status: http.StatusOK}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var d otlp.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &d)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.status == http.StatusOK {
			for _, res := range d.GetResourceSpans() {
				for _, a := range res.GetResource().GetAttributes() {
					if a.GetKey() == "service.name" {
						c.services = append(c.services, a.GetValue().GetStringValue())
					}
				}
				for _, s := range res.GetScopeSpans() {
					c.spans = append(c.spans, s.GetSpans()...)
				}
			}
		}
		w.WriteHeader(c.status)
	}))
	t.Cleanup(c.Close)
	return c
}

// of waits for the spans of a request with this path: the server's, and those of the tries, ordered by their begin.
func (c *collector) of(t *testing.T, path string) (server *otlp.Span, tries []*otlp.Span) {
	t.Helper()
	eventually(t, "spans of "+path, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.spans {
			if tag(s, "url.path") == path {
				server = s
			}
		}
		return server != nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if string(s.ParentSpanId) == string(server.SpanId) && string(s.TraceId) == string(server.TraceId) {
			tries = append(tries, s)
		}
	}
	return server, tries
}

// tag returns an attribute as text.
func tag(s *otlp.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			if text := a.GetValue().GetStringValue(); text != "" {
				return text
			}
			return fmt.Sprint(a.GetValue().GetIntValue())
		}
	}
	return ""
}

const (
	someTrace   = "0af7651916cd43dd8448eb211c80319c"
	someSpan    = "b7ad6b7169203331"
	someParent  = "00-" + someTrace + "-" + someSpan + "-01"
	unsampledBy = "00-" + someTrace + "-" + someSpan + "-00"
)

// There are spans for a request and for each try at a host, and the host gets the span that is its parent.
func TestTracing(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		c := startCollector(t)
		seen := make(chan http.Header, 100)
		good := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Header
			switch r.URL.Path {
			case "/missing":
				w.WriteHeader(http.StatusNotFound)
			case "/cut":
				w.Header().Set("Content-Length", "2")
				_, _ = w.Write([]byte("1"))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		})
		bad := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		port := reservePort(t)
		config := func(tracing object) object {
			o := object{
				"workers_num": 2,
				"servers": object{
					"web":   object{"hosts": []endpoint{good.endpoint}},
					"dead":  object{"balancing_algo": "first", "hosts": []endpoint{refusing(t), good.endpoint}},
					"retry": object{"balancing_algo": "first", "hosts": []endpoint{bad.endpoint, good.endpoint}, "retry": object{"on": []string{"503"}}},
				},
				"http": object{"listen": []object{{"port": port, "protocols": []string{"http/1.1", "h2c"}}}, "name": "edge", "routes": []object{
					{"match": object{"path": "/respond"}, "respond": object{"status": 500}},
					{"match": object{"path": "/dead"}, "proxy_to": "dead"},
					{"match": object{"path": "/retry"}, "proxy_to": "retry"},
					{"match": object{"path": "/own"}, "proxy_to": "web", "request_headers": object{"set": object{"traceparent": "own"}}},
					{"name": "all", "proxy_to": "web"},
				}},
			}
			if tracing != nil {
				o["tracing"] = tracing
			}
			return o
		}
		p := startFile(t, multi, nil, config(object{"otlp_http": c.URL, "service": "kroxy-test"}))
		p.port = port
		client := p.client()
		client.Transport.(*http.Transport).DisableKeepAlives = true // so that a reload takes effect with the next request
		ask := func(path, parent string, state ...string) http.Header {
			t.Helper()
			req, err := http.NewRequest(http.MethodGet, p.url(path), nil)
			if err != nil {
				t.Fatal(err)
			}
			if parent != "" {
				req.Header.Set("Traceparent", parent)
			}
			req.Header["Tracestate"] = state
			if path == "/cut" {
				if res, err := client.Do(req); err == nil {
					_, _ = io.ReadAll(res.Body)
					_ = res.Body.Close()
				}
			} else {
				do(t, client, req)
			}
			if path == "/respond" {
				return nil
			}
			return <-seen
		}
		// parentOf returns the traceparent that names a span.
		parentOf := func(s *otlp.Span) string {
			return "00-" + hex.EncodeToString(s.TraceId) + "-" + hex.EncodeToString(s.SpanId) + "-01"
		}
		check := func(what string, ok bool, v ...any) {
			t.Helper()
			if !ok {
				t.Errorf("%s is wrong: %v", what, v)
			}
		}

		h := ask("/a", "", "a=b")
		server, tries := c.of(t, "/a")
		check("a new trace", len(server.ParentSpanId) == 0 && len(tries) == 1 && h.Get("Traceparent") == parentOf(tries[0]) && h.Get("Tracestate") == "", h, tries)
		check("times", server.StartTimeUnixNano <= tries[0].StartTimeUnixNano && tries[0].StartTimeUnixNano <= tries[0].EndTimeUnixNano &&
			tries[0].EndTimeUnixNano <= server.EndTimeUnixNano && time.Since(time.Unix(0, int64(server.StartTimeUnixNano))).Abs() < time.Hour, server, tries)
		for key, want := range map[string]string{
			"kroxy.route": "all", "kroxy.group": "web", "kroxy.host": fmt.Sprintf("127.0.0.1:%d", good.Port), "kroxy.tries": "1", "kroxy.server": "edge",
			"http.response.status_code": "200", "http.request.method": "GET", "kroxy.end_reason": "complete", "network.protocol.version": "1.1",
		} {
			if got := tag(server, key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}

		h1 := client
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		client = &http.Client{Transport: transport}
		h = ask("/two", someParent)
		server, tries = c.of(t, "/two")
		check("HTTP/2", tag(server, "network.protocol.version") == "2" && len(tries) == 1 && h.Get("Traceparent") == parentOf(tries[0]), h, server)
		client.CloseIdleConnections()
		client = h1

		h = ask("/missing", someParent, "a=b", "c=d")
		server, tries = c.of(t, "/missing")
		check("a trace that goes on", hex.EncodeToString(server.TraceId) == someTrace && hex.EncodeToString(server.ParentSpanId) == someSpan && len(tries) == 1 &&
			h.Get("Traceparent") == parentOf(tries[0]) && slices.Equal(h["Tracestate"], []string{"a=b", "c=d"}), h, server)
		check("statuses", server.Status == nil && tries[0].GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR, server, tries)

		h = ask("/bad", "00-"+strings.ToUpper(someTrace)+"-"+someSpan+"-01", "a=b")
		server, _ = c.of(t, "/bad")
		check("a parent that is malformed", len(server.ParentSpanId) == 0 && h.Get("Tracestate") == "", h)

		h = ask("/dead", "")
		server, tries = c.of(t, "/dead")
		check("a host that is down", len(tries) == 2 && tag(tries[0], "error.type") == "unreachable" && tries[0].GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR &&
			h.Get("Traceparent") == parentOf(tries[1]) && tag(server, "kroxy.tries") == "2", server, tries)

		h = ask("/retry", "")
		server, tries = c.of(t, "/retry")
		check("a retry", len(tries) == 2 && tag(tries[0], "http.response.status_code") == "503" && tag(tries[1], "http.response.status_code") == "200" &&
			tag(tries[1], "http.request.resend_count") == "1" && h.Get("Traceparent") == parentOf(tries[1]) && tag(server, "http.response.status_code") == "200", server, tries)

		ask("/cut", "")
		server, tries = c.of(t, "/cut")
		check("a response that is cut", len(tries) == 1 && tag(tries[0], "error.type") == "host_cut" && tag(server, "error.type") == "host_cut" &&
			tag(server, "http.response.status_code") == "200" && server.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR, server, tries)

		ask("/respond", someParent)
		server, tries = c.of(t, "/respond")
		check("an answer of our own", len(tries) == 0 && server.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR, server, tries)

		h = ask("/own", someParent)
		check("a field that is configured", slices.Equal(h["Traceparent"], []string{"own"}), h)

		h = ask("/unsampled", unsampledBy, "a=b")
		check("a parent that is not sampled", h.Get("Traceparent") == unsampledBy && h.Get("Tracestate") == "a=b", h)

		p.reloadTo(config(object{"otlp_http": c.URL, "sampling": 0, "service": "two"}))
		h = ask("/none", "")
		check("nothing is sampled", len(h.Get("Traceparent")) == 55 && strings.HasSuffix(h.Get("Traceparent"), "-00"), h)
		ask("/by-parent", someParent)
		c.of(t, "/by-parent")

		p.reloadTo(config(nil))
		h = ask("/off", someParent, "bad state")
		check("no tracing", h.Get("Traceparent") == someParent && h.Get("Tracestate") == "bad state", h)
		h = ask("/off", "")
		check("no tracing, no parent", h.Get("Traceparent") == "", h)

		p.reloadTo(config(object{"otlp_http": c.URL}))
		ask("/last", "")
		p.stop() // remaining spans are sent first
		c.of(t, "/last")
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.spans {
			if path := tag(s, "url.path"); path == "/unsampled" || path == "/none" || path == "/off" {
				t.Errorf("there is a span for %s, want none", path)
			}
		}
		for _, want := range []string{"kroxy-test", "two", "kroxy-ev"} {
			if !slices.Contains(c.services, want) {
				t.Errorf("no span has the service %s: %q", want, c.services)
			}
		}
	})
}

// A collector that hangs, or refuses everything, does not affect clients, and the loss of spans is logged.
func TestTracingWithoutCollector(t *testing.T) {
	t.Parallel()
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // it accepts nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hangs.Close() })
	refuses := startCollector(t)
	refuses.status = http.StatusInternalServerError
	for name, test := range map[string]struct{ url, said string }{
		"hangs":   {"http://" + hangs.Addr().String(), ""},
		"refuses": {refuses.URL, `msg="tracing: spans cannot be sent" error="trace: \d+ spans are lost: the collector \S+ has answered 500`},
		"is down": {fmt.Sprintf("http://127.0.0.1:%d", refusing(t).Port), `msg="tracing: spans cannot be sent" error="trace: while sending to .*connection refused`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := reservePort(t)
			p := startFile(t, false, nil, object{
				"servers": object{"b": object{"hosts": []endpoint{namedHosts(t, 1)[0].endpoint}}},
				"http":    object{"port": port, "proxy_to": "b"}, "tracing": object{"otlp_http": test.url},
			})
			p.port = port
			c := p.client()
			for range 20 {
				p.get(c, "/")
			}
			if test.said != "" {
				p.awaitLog(test.said)
			}
			p.get(c, "/")
			c.CloseIdleConnections()
			p.stop()
		})
	}
}
