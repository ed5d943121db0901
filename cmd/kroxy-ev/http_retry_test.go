package main_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// mortal is a host of net/http that can be killed.
type mortal struct {
	endpoint
	seen atomic.Int64 // requests
	ln   net.Listener
	mu   sync.Mutex
	all  []*net.TCPConn
}

func startMortal(t *testing.T, handler http.HandlerFunc) *mortal {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{endpoint: endpoint{"127.0.0.1", ln.Addr().(*net.TCPAddr).Port}, ln: ln}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.seen.Add(1)
			handler(w, r)
		}),
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				m.mu.Lock()
				m.all = append(m.all, c.(*net.TCPConn))
				m.mu.Unlock()
			}
		},
	}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return m
}

// kill resets all connections, as the kernel does for a process that is killed, and refuses others.
func (m *mortal) kill() {
	_ = m.ln.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.all {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// resetting ends a request by a reset, as a process does that dies of it.
func resetting(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

func saying(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
	}
}

// A host that answers 503 to all is asked until that has happened three times, and then no more; nobody is told of it.
func TestAHostThatErrsIsEjected(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		bad, good := startMortal(t, saying(503)), startMortal(t, saying(200))
		p := startHTTP(t, setup{hosts: []endpoint{bad.endpoint, good.endpoint}, multi: multi, settings: settings{
			"workers_num": 2, "retry": map[string]any{"on": []string{"503"}, "attempts": 1},
			"passive_check": map[string]any{"failures": 3, "window": "1m", "eject": "10m", "status": []string{"503"}},
		}})
		c := p.client()
		ask := func() {
			for range 50 {
				if res, _ := p.get(c, "/"); res.StatusCode != 200 {
					t.Fatalf("status %d", res.StatusCode)
				}
				c.CloseIdleConnections() // so that all workers are asked
			}
		}
		ask()
		p.await(p.stderr, `fails its clients.*reason="status 503"`)
		before := bad.seen.Load()
		ask()
		if n := bad.seen.Load(); before != 3 || n != before {
			t.Errorf("the host that errs was asked %d times, and %d times after it was ejected; want 3 and 0", before, n-before)
		}
	})
}

// Of a host that is killed under load no GET tells.
func TestNoGETFailsWhenAHostIsKilled(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		victim, other := startMortal(t, saying(200)), startMortal(t, saying(200))
		p := startHTTP(t, setup{hosts: []endpoint{victim.endpoint, other.endpoint}, multi: multi, settings: settings{"workers_num": 2}})
		var clients sync.WaitGroup
		var killed atomic.Bool
		for range 4 {
			c := p.client()
			clients.Go(func() {
				for after := 0; after < 50; {
					res, err := c.Get(p.url("/"))
					if err != nil {
						t.Error(err)
						return
					}
					_ = res.Body.Close()
					if res.StatusCode != 200 {
						t.Errorf("status %d", res.StatusCode)
						return
					}
					if killed.Load() {
						after++
					}
				}
			})
		}
		eventually(t, "both hosts serve", func() bool { return victim.seen.Load() > 20 && other.seen.Load() > 20 })
		victim.kill()
		killed.Store(true)
		clients.Wait()
	})
}

// No POST comes to hosts twice, whatever they do with it, and a PUT whose body is small goes to the next host.
func TestWhatMayBeRepeated(t *testing.T) {
	t.Parallel()
	hosts := []*mortal{startMortal(t, resetting), startMortal(t, resetting)}
	p := startHTTP(t, setup{hosts: []endpoint{hosts[0].endpoint, hosts[1].endpoint}, settings: settings{
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
			t.Errorf("%s of %d bytes came to hosts %d times, want %d", tc.method, tc.size, n, tc.seen)
		}
	}
}

// Where no host can serve, clients are told at once, and when to come again.
func TestComeAgain(t *testing.T) {
	t.Parallel()
	t.Run("all down", func(t *testing.T) {
		t.Parallel()
		m := startMortal(t, saying(200))
		m.kill()
		p := startHTTP(t, setup{hosts: []endpoint{m.endpoint}})
		if res, _ := p.get(p.client(), "/"); res.StatusCode != 502 || res.Header.Get("Retry-After") != "1" {
			t.Errorf("status %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
		}
	})
	t.Run("the queue is full", func(t *testing.T) {
		t.Parallel()
		asked, release := make(chan struct{}, 10), make(chan struct{})
		m := startMortal(t, func(http.ResponseWriter, *http.Request) {
			asked <- struct{}{}
			<-release
		})
		p := startHTTP(t, setup{hosts: []endpoint{m.endpoint}, settings: settings{
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
		for range 4 { // one of them waits
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
	})
}
