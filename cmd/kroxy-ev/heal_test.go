package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// healingGroup is a group of these hosts with further keys, and keys for each host.
func healingGroup(all []*killableHost, keys settings, host func(i int) settings) settings {
	var hosts []settings
	for i, h := range all {
		s := settings{"host": h.Host, "port": h.Port}
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

// clientLoad are clients that make requests until end is called, GET and POST in turn, half of them over kept-alive connections.
type clientLoad struct {
	t       *testing.T
	quit    chan struct{}
	clients sync.WaitGroup
	made    atomic.Int64
	mu      sync.Mutex
	failed  map[string][]string // errors by method
}

func startClients(p *proxy, n int) *clientLoad {
	v := &clientLoad{t: p.t, quit: make(chan struct{}), failed: make(map[string][]string)}
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
func (v *clientLoad) ask(client *http.Client, method, url string, body []byte) error {
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
		err = fmt.Errorf("%s: status %d, body %.200q", method, res.StatusCode, got)
	}
	return err
}

// awaitRequests waits for n further requests.
func (v *clientLoad) awaitRequests(n int64) {
	v.t.Helper()
	goal := v.made.Load() + n
	eventually(v.t, "further requests were made", func() bool { return v.made.Load() >= goal })
}

// end stops the clients and returns what failed.
func (v *clientLoad) end() map[string][]string {
	select {
	case <-v.quit:
	default:
		close(v.quit)
	}
	v.clients.Wait()
	return v.failed
}

// A deployment under load, host by host: drained, stopped, started again, undrained. No request fails.
func TestDeploymentUnderLoad(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		all := killableHosts(t, 4)
		draining := func(drained int) setup {
			return setup{mode: "http", multi: multi, settings: healingGroup(all, nil, func(i int) settings { return settings{"drain": i == drained} })}
		}
		p := start(t, draining(-1))
		v := startClients(p, 8)
		for i, h := range all {
			v.awaitRequests(100)
			p.rewrite(draining(i))
			p.mustOrder("reload")
			p.await(p.stderr, `msg="upstream: a drained host has no clients left".* host=`+regexp.QuoteMeta(h.address()))
			served := h.seen.Load()
			v.awaitRequests(100)
			if now := h.seen.Load(); now != served {
				t.Errorf("a drained host that was empty served %d requests", now-served)
			}
			h.kill()
			v.awaitRequests(50)
			h.start()
			p.rewrite(draining(-1))
			p.mustOrder("reload")
			eventually(t, "the host serves again", func() bool { return h.seen.Load() > served })
		}
		for method, failed := range v.end() {
			t.Errorf("%s: %d of %d requests failed, the first: %s", method, len(failed), v.made.Load(), failed[0])
		}
		p.stop()
	})
}

// A host that dies under load fails no GET, and at most those POSTs that it was processing.
func TestHostKilledUnderLoad(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		all := killableHosts(t, 3)
		p := start(t, setup{mode: "http", multi: multi, settings: healingGroup(all, nil, nil)})
		const clients = 8
		v := startClients(p, clients)
		const kills = 3
		for range kills {
			v.awaitRequests(200)
			all[1].kill()
			v.awaitRequests(200)
			all[1].start()
			served := all[1].seen.Load()
			eventually(t, "the host serves again", func() bool { return all[1].seen.Load() > served })
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

// With all hosts dead, clients get an error at once, with Retry-After. When one host is back, it serves without waiting for its check. A host that comes back
// while another serves gets clients again within the interval of its checks, and of further ones that "rise" requires.
func TestAllHostsDead(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		const interval = 500 * time.Millisecond
		const late = 10 * time.Second // on a very busy machine
		all := killableHosts(t, 2)
		check := settings{"interval": interval.Milliseconds(), "timeout": patience.Milliseconds(), "rise": 1, "fall": 1}
		for range times(1, 20) { // each with a log of its own: repeated lines are summed up
			p := start(t, setup{mode: "http", multi: multi, settings: healingGroup(all, settings{"health_check": check}, nil)})
			client := p.client()
			if res, _ := p.get(client, "/"); res.StatusCode != http.StatusOK {
				t.Fatalf("status %d, want 200", res.StatusCode)
			}
			for _, h := range all {
				h.kill()
			}
			eventually(t, "the checks fail", func() bool { return p.stderr.count("check: a host is down") >= 2 })
			for range 20 {
				begun := time.Now()
				res, _ := p.get(client, "/")
				if s := res.StatusCode; s != http.StatusBadGateway && s != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
					t.Errorf("status %d, Retry-After %q; want 502 or 503, Retry-After 1", s, res.Header.Get("Retry-After"))
				}
				if took := time.Since(begun); took > patience/2 {
					t.Errorf("the error took %v", took)
				}
			}
			// until starts h, makes requests until h gets one, and returns how long that took.
			until := func(h *killableHost) time.Duration {
				begun, seen := time.Now(), h.seen.Load()
				h.start()
				eventually(t, "clients are served", func() bool {
					res, body := p.get(client, "/")
					return res.StatusCode == http.StatusOK && strings.HasPrefix(body, string(rune('A'+slices.Index(all, h))))
				})
				if h.seen.Load() == seen {
					t.Error("the host got no request")
				}
				return time.Since(begun)
			}
			first := until(all[1])
			p.awaitLog("check: a host serves again")
			second := until(all[0])
			t.Logf("with checks every %v the first host served again after %v, the second after %v", interval, first, second)
			if first > late || second > late {
				t.Errorf("with checks every %v the hosts served again after %v and %v", interval, first, second)
			}
			p.stop()
		}
	})
}
