package main_test

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// scrape reads the metrics from an admin endpoint on a unix socket: values by name and labels, buckets and sums of histograms included.
func scrape(t *testing.T, socket string) map[string]float64 {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	res, err := c.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s, %v: %s", res.Status, err, text)
	}
	values := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if end := strings.LastIndexByte(line, ' '); strings.HasPrefix(line, "kroxy_") {
			if values[line[:end]], err = strconv.ParseFloat(line[end+1:], 64); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	}
	return values
}

// No counter ever falls, those of the service itself included, whichever processes start and end.
func TestNoCounterFalls(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	port, host := reservePort(t), serve(t, "127.0.0.1", versatileHost)
	config := func(n int) []byte {
		return fileText(t, object{
			"workers_num": 2, "shutdown_timeout": 20 * patience.Milliseconds(), "client_body_timeout": 20000 + n,
			"admin":   object{"listen": []object{{"unix": socket}}},
			"servers": object{"app": object{"hosts": endpoints(host)}},
			"http":    object{"name": "web", "port": port, "proxy_to": "app"},
		})
	}
	p, binary := startUpgradableWith(t, port, config(0))
	serving := 2
	p.awaitServing(serving)

	counter := func(name string) bool {
		name, _, _ = strings.Cut(name, "{")
		return slices.ContainsFunc([]string{"_total", "_count", "_sum", "_bucket"}, func(end string) bool { return strings.HasSuffix(name, end) })
	}
	before, requests := make(map[string]float64), 0.0
	risen := func(after string) {
		t.Helper()
		for range 10 {
			req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Close = true
			do(t, http.DefaultClient, req)
			requests++
		}
		var now map[string]float64
		eventually(t, "all requests are counted after "+after, func() bool {
			now = scrape(t, socket)
			return now[`kroxy_server_requests_total{server="web",code="2xx"}`] == requests
		})
		for _, name := range slices.Sorted(maps.Keys(before)) {
			if counter(name) && now[name] < before[name] {
				t.Errorf("after %s: %s has fallen from %v to %v", after, name, before[name], now[name])
			}
		}
		before = now
	}
	risen("the start")
	p.replace(config(1))
	p.mustOrder("reload")
	risen("a reload")
	p.replace([]byte("{"))
	if status, out := p.order("reload"); status != 1 {
		t.Fatalf("exit status %d: %s", status, out)
	}
	p.replace(config(2))
	if err := unix.Kill(p.workers()[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	serving++
	p.awaitServing(serving)
	risen("a worker was killed")
	install(t, program, binary)
	p.mustOrder("upgrade")
	pid := p.awaitSuccessor(1)
	started := before["kroxy_start_time_seconds"]
	risen("an upgrade")
	if now := before["kroxy_start_time_seconds"]; now != started {
		t.Errorf("an upgrade changed the start time to %v, want %v", now, started)
	}
	for name, want := range map[string]float64{`kroxy_reloads_total{outcome="ok"}`: 1, `kroxy_reloads_total{outcome="failed"}`: 1, "kroxy_worker_restarts_total": 1} {
		if got := before[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	p.stopSuccessor(pid)
}
