package main_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// A host that answers every request with 503 gets three requests, and then no more. Where requests may be repeated, no client sees a 503.
func TestFailingHostIsEjected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		retry any
		told  bool
	}{
		"repeated": {map[string]any{"on": []string{"503"}, "attempts": 1}, false},
		"told":     {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			modes(t, func(t *testing.T, multi bool) {
				bad, good := startKillable(t, statusHandler(503)), startKillable(t, statusHandler(200))
				p := startHTTP(t, setup{hosts: endpoints(bad, good), multi: multi, settings: settings{
					"workers_num": 2, "retry": c.retry, "passive_check": map[string]any{"failures": 3, "window": "1m", "eject": "10m", "status": []string{"503"}},
				}})
				client, told := p.client(), int64(0)
				ask := func() {
					for range 50 {
						res, _ := p.get(client, "/")
						for ; res.StatusCode == 503; res, _ = p.get(client, "/") { // the next request on a connection is read when the failure counts
							told++
						}
						if res.StatusCode != 200 {
							t.Errorf("status %d, want 200 or 503", res.StatusCode)
						}
						client.CloseIdleConnections() // so that all workers get requests
					}
				}
				ask()
				p.await(p.stderr, `fails its clients.* host=`+regexp.QuoteMeta(bad.address())+`.*reason="status 503"`)
				before := bad.seen.Load()
				ask()
				if n := bad.seen.Load(); before != 3 || n != before {
					t.Errorf("the failing host got %d requests, and %d after it was ejected; want 3 and 0", before, n-before)
				}
				if c.told && told != before || !c.told && told > 0 {
					t.Errorf("clients saw %d of %d failures", told, before)
				}
			})
		})
	}
}

// No POST reaches hosts twice, whatever the hosts do with it; a PUT with a small body is sent to the next host.
func TestWhatMayBeRepeated(t *testing.T) {
	t.Parallel()
	hosts := []*killableHost{startKillable(t, resetting), startKillable(t, resetting)}
	p := startHTTP(t, setup{hosts: endpoints(hosts...), settings: settings{
		"retry": map[string]any{"attempts": 5, "budget": 100, "on": []string{"connect", "reset", "timeout", "5xx"}},
	}})
	c := p.client()
	for _, tc := range []struct {
		method string
		size   int
		seen   int64
	}{{"POST", 0, 1}, {"POST", 10, 1}, {"PATCH", 10, 1}, {"PUT", 16 << 10, 2}, {"PUT", 16<<10 + 1, 1}, {"DELETE", 0, 2}} {
		before := hosts[0].seen.Load() + hosts[1].seen.Load()
		req, err := http.NewRequest(tc.method, p.url("/"), strings.NewReader(strings.Repeat("x", tc.size)))
		if err != nil {
			t.Fatal(err)
		}
		if res, _ := do(t, c, req); res.StatusCode != 502 {
			t.Errorf("%s of %d bytes: status %d", tc.method, tc.size, res.StatusCode)
		}
		if n := hosts[0].seen.Load() + hosts[1].seen.Load() - before; n != tc.seen {
			t.Errorf("%s of %d bytes reached hosts %d times, want %d", tc.method, tc.size, n, tc.seen)
		}
	}
}

// If no host and no place in the queue is free, clients get an error at once, with Retry-After.
func TestRetryAfterWhenFull(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 10), make(chan struct{})
	m := startKillable(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	p := startHTTP(t, setup{hosts: endpoints(m), settings: settings{
		"max_conns": 1, "queue": map[string]any{"size": 1, "timeout": 20 * patience.Milliseconds()},
	}})
	c := p.client()
	outcomes := make(chan string, 5)
	get := func() {
		res, err := c.Get(p.url("/"))
		if err != nil {
			outcomes <- err.Error()
			return
		}
		_ = res.Body.Close()
		outcomes <- strings.TrimSpace(res.Status[:3] + " " + res.Header.Get("Retry-After"))
	}
	go get()
	<-asked
	for range 4 { // one of them waits in the queue
		go get()
	}
	expect := func(n int, want string) {
		t.Helper()
		for range n {
			if got := <-outcomes; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	expect(3, "503 1")
	close(release)
	expect(2, "200")
}
