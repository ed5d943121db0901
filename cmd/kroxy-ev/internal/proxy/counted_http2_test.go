package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
)

// Counters of HTTP/2 clients agree with the access log: a stream is a request, and a connection is one client.
func TestCountedAsLoggedInHTTP2(t *testing.T) {
	t.Parallel()
	main, second, broken := startHost(t, false), startHost(t, false), startHost(t, true)
	refusing, silent := enginetest.Refusing(t, enginetest.Loopback), enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold)
	c := serveCounted(t, 1, func(dir string, ports []uint16) string {
		return fmt.Sprintf(`{
			"format_log": "json",
			"servers": {
				"main":    {"hosts": [{"host": "127.0.0.1", "port": %d}], "retry": {"attempts": 0, "on": ["connect"]}},
				"twice":   {"balancing_algo": "first", "hosts": [{"host": "127.0.0.1", "port": %d}, {"host": "127.0.0.1", "port": %d}],
				            "retry": {"attempts": 1, "on": ["reset"], "budget": 100}},
				"silent":  {"hosts": [{"host": "127.0.0.1", "port": %d}]},
				"refused": {"hosts": [{"host": "127.0.0.1", "port": %d}]}
			},
			"http": [{
				"name": "web", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d, "protocols": ["h2c", "http/1.1"]}], "routes": [
					{"name": "main", "match": {"path_prefix": "/main"}, "proxy_to": "main"},
					{"name": "small", "match": {"path_prefix": "/small"}, "max_body_size": 10, "proxy_to": "main"},
					{"name": "retried", "match": {"path_prefix": "/retried"}, "proxy_to": "twice"},
					{"name": "refused", "match": {"path_prefix": "/refused"}, "proxy_to": "refused"},
					{"name": "slow", "match": {"path_prefix": "/slow"}, "proxy_read_timeout": "0.1s", "proxy_to": "silent"},
					{"name": "redirect", "match": {"path_prefix": "/redirect"}, "redirect": {"to": "https://$host/"}},
					{"match": {"path_prefix": "/respond"}, "respond": {"status": 200, "body": "hi"}}
				]}
			]}`,
			main.at.Port(), broken.at.Port(), second.at.Port(), silent.Port(), refusing.Port(), dir+"/web.log", ports[0])
	})
	transport := &http.Transport{
		MaxConnsPerHost: 1, Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return c.dial(0), nil },
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	// ask returns the status of the answer, or 0 if the answer is incomplete.
	ask := func(ctx context.Context, method, path, body string) int {
		req, err := http.NewRequestWithContext(ctx, method, "http://a"+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			return 0
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return 0
		}
		return res.StatusCode
	}
	asks := func(want int, method, path, body string) func() {
		return func() {
			if got := ask(t.Context(), method, path, body); got != want {
				t.Errorf("%s %s was answered %d, want %d", method, path, got, want)
			}
		}
	}
	const times = 4
	var leaving sync.Mutex // one client at a time leaves, when its own request is being held
	cases := []func(){
		asks(200, "GET", "/main/200", ""), asks(404, "GET", "/main/404", ""), asks(500, "GET", "/main/500", ""), asks(302, "GET", "/main/302", ""),
		asks(200, "GET", "/main/chunked", ""), asks(200, "POST", "/main", "abcde"), asks(200, "GET", "/main/late", ""),
		asks(404, "GET", "/nowhere", ""), asks(308, "GET", "/redirect", ""), asks(200, "GET", "/respond", ""), asks(501, "CONNECT", "/", ""),
		asks(413, "POST", "/small", "abcdeabcdea"), asks(502, "POST", "/main/drop", "abcde"), asks(502, "GET", "/main/bad", ""), asks(502, "GET", "/refused", ""),
		asks(200, "GET", "/retried", ""), asks(504, "GET", "/slow", ""), asks(0, "GET", "/main/cut", ""),
		func() { // a client that leaves
			leaving.Lock()
			defer leaving.Unlock()
			ctx, leave := context.WithCancel(t.Context())
			done := make(chan int)
			go func() { done <- ask(ctx, "GET", "/main/hold", "") }()
			<-main.held
			leave()
			if got := <-done; got != 0 {
				t.Errorf("a request that was given up was answered %d", got)
			}
		},
	}
	var running sync.WaitGroup
	for range times {
		for _, do := range cases {
			running.Go(do)
		}
	}
	running.Wait()
	transport.CloseIdleConnections()
	all := c.agree()
	if want := times * len(cases); len(all) != want {
		t.Errorf("%d lines, want %d", len(all), want)
	}
	if i := slices.IndexFunc(all, func(l line) bool { return l.Protocol != "HTTP/2.0" && l.Status != 501 }); i >= 0 {
		t.Errorf("a line of %q", all[i].Protocol)
	}
	c.expect("twice", second, map[string]uint64{})
	if n := c.table.Server(c.places[metrics.Series{Kind: metrics.KindServer, Server: "web"}]).Accepted.Value(); n > times {
		t.Errorf("%d connections were accepted", n)
	}
}
