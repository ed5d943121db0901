package main_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// phoenix is a host that may be killed and started anew at its address, which is nobody else's. It answers with its name and what it
// was sent.
type phoenix struct {
	t      *testing.T
	name   string
	at     endpoint
	served atomic.Int64
	status atomic.Int64 // of its answers; zero is 200
	server *http.Server // nil while it is dead
}

// phoenixes starts n of them.
func phoenixes(t *testing.T, n int) []*phoenix {
	t.Helper()
	var all []*phoenix
	for i := range n {
		addr := fmt.Sprintf("127.%d.%d.%d", 64+rand.N(64), rand.N(256), 1+rand.N(254))
		needAddress(t, addr, addr)
		h := &phoenix{t: t, name: string(rune('A' + i)), at: endpoint{addr, 0}}
		h.rise()
		t.Cleanup(h.die)
		all = append(all, h)
	}
	return all
}

// rise starts the host.
func (h *phoenix) rise() {
	h.t.Helper()
	ln, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", h.at.Host, h.at.Port))
	if err != nil {
		h.t.Fatal(err)
	}
	h.at.Port = ln.Addr().(*net.TCPAddr).Port
	h.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.served.Add(1)
		if status := h.status.Load(); status != 0 {
			w.WriteHeader(int(status))
		}
		_, _ = fmt.Fprintf(w, "%s %s %d", h.name, r.Method, len(body))
	})}
	go func(s *http.Server) { _ = s.Serve(ln) }(h.server)
}

// die ends the host and all its connections, as SIGKILL would.
func (h *phoenix) die() {
	if h.server != nil {
		_ = h.server.Close()
		h.server = nil
	}
}

// healing is a group of them with further keys, and keys for each host.
func healing(all []*phoenix, keys settings, host func(i int) settings) settings {
	var hosts []settings
	for i, h := range all {
		s := settings{"host": h.at.Host, "port": h.at.Port}
		if host != nil {
			for k, v := range host(i) {
				s[k] = v
			}
		}
		hosts = append(hosts, s)
	}
	group := settings{"hosts": hosts}
	for k, v := range keys {
		group[k] = v
	}
	return settings{"servers": settings{"backend": group}}
}

// visitors are clients that go on making requests, GET and POST in turn, half of them over connections that they keep.
type visitors struct {
	t       *testing.T
	quit    chan struct{}
	clients sync.WaitGroup
	made    atomic.Int64
	mu      sync.Mutex
	failed  map[string][]string // why, by method
}

func visit(p *proxy, n int) *visitors {
	v := &visitors{t: p.t, quit: make(chan struct{}), failed: make(map[string][]string)}
	body := bytes.Repeat([]byte("x"), 2000)
	for i := range n {
		v.clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: patience}
			defer client.CloseIdleConnections()
			for round := 0; ; round++ {
				select {
				case <-v.quit:
					return
				default:
				}
				method, sent := http.MethodGet, []byte(nil)
				if round%2 == 1 {
					method, sent = http.MethodPost, body
				}
				if err := v.ask(client, method, p.url("/"), sent); err != nil {
					v.mu.Lock()
					v.failed[method] = append(v.failed[method], err.Error())
					v.mu.Unlock()
				}
				v.made.Add(1)
			}
		})
	}
	p.t.Cleanup(func() { v.end() })
	return v
}

// ask makes a request and demands the answer of a host.
func (v *visitors) ask(client *http.Client, method, url string, body []byte) error {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.HasSuffix(string(got), fmt.Sprintf(" %s %d", method, len(body)))) {
		err = fmt.Errorf("%s: %d %.200q", method, res.StatusCode, got)
	}
	return err
}

// pass waits for n further requests.
func (v *visitors) pass(n int64) {
	v.t.Helper()
	goal := v.made.Load() + n
	eventually(v.t, "requests pass", func() bool { return v.made.Load() >= goal })
}

// end ends the visits and returns what failed.
func (v *visitors) end() map[string][]string {
	select {
	case <-v.quit:
	default:
		close(v.quit)
	}
	v.clients.Wait()
	return v.failed
}

// A deployment under load, host by host: drained, stopped, started anew, put back. No request fails.
func TestDeploymentUnderLoad(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		all := phoenixes(t, 4)
		draining := func(drained int) setup {
			return setup{mode: "http", multi: multi, settings: healing(all, nil, func(i int) settings { return settings{"drain": i == drained} })}
		}
		p := start(t, draining(-1))
		v := visit(p, 8)
		for i, h := range all {
			v.pass(100)
			p.rewrite(draining(i))
			p.mustOrder("reload")
			p.await(p.stderr, `msg="upstream: a drained host has no clients left".* host=`+fmt.Sprint(h.at.Host, ":", h.at.Port))
			served := h.served.Load()
			v.pass(100)
			if now := h.served.Load(); now != served {
				t.Errorf("a drained host that was empty served %d requests", now-served)
			}
			h.die()
			v.pass(50)
			h.rise()
			p.rewrite(draining(-1))
			p.mustOrder("reload")
			eventually(t, "the host serves again", func() bool { return h.served.Load() > served })
		}
		for method, failed := range v.end() {
			t.Errorf("%s: %d of %d requests failed, the first: %s", method, len(failed), v.made.Load(), failed[0])
		}
		p.stop()
	})
}

// A host that dies under load costs nobody a GET, and no more than those POSTs that it had in hand.
func TestHostKilledUnderLoad(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		all := phoenixes(t, 3)
		p := start(t, setup{mode: "http", multi: multi, settings: healing(all, nil, nil)})
		const clients = 8
		v := visit(p, clients)
		const kills = 3
		for range kills {
			v.pass(200)
			all[1].die()
			v.pass(200)
			all[1].rise()
			served := all[1].served.Load()
			eventually(t, "the host serves again", func() bool { return all[1].served.Load() > served })
		}
		failed := v.end()
		if gets := failed[http.MethodGet]; len(gets) > 0 {
			t.Errorf("%d GETs failed, the first: %s", len(gets), gets[0])
		}
		if posts := failed[http.MethodPost]; len(posts) > kills*clients {
			t.Errorf("%d POSTs failed, more than were in flight; the first: %s", len(posts), posts[0])
		}
		p.stop()
	})
}

// A host that answers 503 to everybody is left alone once that is known.
func TestHostThatErrs(t *testing.T) {
	t.Parallel()
	all := phoenixes(t, 2)
	all[0].status.Store(http.StatusServiceUnavailable)
	keys := settings{"passive_check": settings{"failures": 3, "window": 10_000, "eject": patience.Milliseconds(), "status": []string{"500-599"}}}
	p := start(t, setup{mode: "http", settings: healing(all, keys, nil)})
	client := p.client()
	count := map[int]int{}
	for range 100 {
		res, _ := p.get(client, "/")
		count[res.StatusCode]++
	}
	if count[http.StatusServiceUnavailable] != 3 || count[http.StatusOK] != 97 {
		t.Errorf("100 requests were answered %v, want three 503", count)
	}
	p.await(p.stderr, `msg="upstream: a host fails its clients and is tried last .* host=`+fmt.Sprint(all[0].at.Host, ":", all[0].at.Port))
}

// With all hosts dead clients are told at once, and when to come back; with one alive again they are served within an interval.
func TestAllHostsDead(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		all := phoenixes(t, 2)
		keys := settings{"health_check": settings{"interval": 100, "timeout": patience.Milliseconds()}}
		p := start(t, setup{mode: "http", multi: multi, settings: healing(all, keys, nil)})
		client := p.client()
		if res, _ := p.get(client, "/"); res.StatusCode != http.StatusOK {
			t.Fatalf("status %d", res.StatusCode)
		}
		for _, h := range all {
			h.die()
		}
		for range 20 {
			begun := time.Now()
			res, _ := p.get(client, "/")
			if s := res.StatusCode; s != http.StatusBadGateway && s != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
				t.Errorf("status %d, Retry-After %q", s, res.Header.Get("Retry-After"))
			}
			if took := time.Since(begun); took > patience/2 {
				t.Errorf("that took %v", took)
			}
		}
		all[1].rise()
		eventually(t, "clients are served", func() bool {
			res, _ := p.get(client, "/")
			return res.StatusCode == http.StatusOK
		})
	})
}
