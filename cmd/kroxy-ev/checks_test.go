package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// checkedHost is a host that answers its health checks with a status that the test sets, and counts checks and client requests.
type checkedHost struct {
	*httpHost
	status           atomic.Int64
	checks, requests atomic.Int64
}

func newCheckedHost(t *testing.T) *checkedHost {
	t.Helper()
	h := new(checkedHost)
	h.status.Store(200)
	h.httpHost = serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			h.checks.Add(1)
			w.WriteHeader(int(h.status.Load()))
			return
		}
		h.requests.Add(1)
		_, _ = io.WriteString(w, "served")
	})
	return h
}

// down and up return patterns of the log lines about the host's state.
func (h *checkedHost) down() string {
	return fmt.Sprintf(`level=WARN msg="check: a host is down" group=backend host=%s:%d type=http error="status 503, expected 200-399" failed=\d`, h.Host, h.Port)
}

func (h *checkedHost) up() string {
	return fmt.Sprintf(`level=INFO msg="check: a host serves again" group=backend host=%s:%d type=http passed=\d down_for=`, h.Host, h.Port)
}

// checkedSetup is a setup with these hosts, which are checked often.
func checkedSetup(more settings, all ...*checkedHost) setup {
	var hosts []settings
	for _, h := range all {
		hosts = append(hosts, settings{"host": h.Host, "port": h.Port})
	}
	check := settings{"path": "/healthz", "interval": 50, "timeout": patience.Milliseconds(), "rise": 1, "fall": 2}
	for k, v := range more {
		check[k] = v
	}
	s := groupOf("round_robin", settings{"health_check": check}, hosts...)
	s["workers_num"], s["reactors_num"] = 2, 2
	return setup{mode: "http", settings: s}
}

// getServed makes n requests, each over a connection of its own, all of which must succeed.
func (p *proxy) getServed(n int) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * patience}
	for range n {
		if res, body := p.get(client, "/"); res.StatusCode != 200 || body != "served" {
			p.t.Fatalf("status %d, body %q, want 200", res.StatusCode, body)
		}
	}
}

// awaitUnused waits until requests that chose these hosts before they were known to be down are over, and returns how many requests the hosts got.
func (p *proxy) awaitUnused(down ...*checkedHost) (requests int64) {
	p.t.Helper()
	count := func() (n int64) {
		for _, one := range down {
			n += one.requests.Load()
		}
		return n
	}
	eventually(p.t, "hosts that are down get no more requests", func() bool {
		requests = count()
		p.getServed(8)
		return count() == requests
	})
	return requests
}

// A host that fails its checks gets no requests from then on in any worker, a new one included. It gets requests again once it passes.
func TestHostThatFailsItsChecks(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		bad, good := newCheckedHost(t), newCheckedHost(t)
		s := checkedSetup(nil, bad, good)
		s.multi = multi
		p := start(t, s)
		eventually(t, "both hosts serve", func() bool {
			p.getServed(4)
			return bad.requests.Load() > 0 && good.requests.Load() > 0
		})
		bad.status.Store(503)
		p.awaitLog(bad.down())
		before := p.awaitUnused(bad)
		p.getServed(40)
		if multi {
			worker := p.workers()[0]
			if err := unix.Kill(worker, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "there is another worker", func() bool { return !alive(worker) && len(p.workers()) == 2 })
			client := p.client()
			for range 40 { // some connections may go to the worker that was killed
				if res, err := client.Get(p.url("/")); err == nil {
					_ = res.Body.Close()
				}
				client.CloseIdleConnections()
			}
		}
		if n := bad.requests.Load() - before; n > 0 {
			t.Errorf("a host that was known to be down got %d requests", n)
		}
		bad.status.Store(204)
		p.awaitLog(bad.up())
		eventually(t, "the host serves again", func() bool {
			p.getServed(2)
			return bad.requests.Load() > before
		})
	})
}

// A reload keeps the results of checks, and ends the checks of a group that no longer has any.
func TestChecksOverReloads(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		bad, good := newCheckedHost(t), newCheckedHost(t)
		bad.status.Store(503)
		s := checkedSetup(nil, bad, good)
		s.multi = multi
		p := start(t, s)
		p.awaitLog(bad.down())
		before := p.awaitUnused(bad)
		other := newCheckedHost(t)
		s.settings = checkedSetup(nil, bad, good, other).settings
		p.rewrite(s)
		p.mustOrder("reload")
		p.getServed(40)
		if n := bad.requests.Load() - before; n > 0 {
			t.Errorf("after a reload a host that was known to be down got %d requests", n)
		}
		if n := p.stderr.count(`check: a host is down`); n != 1 {
			t.Errorf("%d log lines say that the host is down, want one", n)
		}
		eventually(t, "the new host is checked", func() bool { return other.checks.Load() > 1 })

		s.settings = groupOf("round_robin", nil, settings{"host": bad.Host, "port": bad.Port}, settings{"host": good.Host, "port": good.Port})
		s.settings["workers_num"], s.settings["reactors_num"] = 2, 2
		p.rewrite(s)
		p.mustOrder("reload")
		eventually(t, "a host that is not checked serves", func() bool {
			p.getServed(2)
			return bad.requests.Load() > before
		})
		// A check may have been under way. A further one would have come within 50 ms.
		eventually(t, "checks have stopped", func() bool {
			n := bad.checks.Load() + good.checks.Load() + other.checks.Load()
			time.Sleep(300 * time.Millisecond)
			return bad.checks.Load()+good.checks.Load()+other.checks.Load() == n
		})
		if n := p.stderr.count(`level=ERROR`); n > 0 {
			t.Errorf("the log has %d errors, want none", n)
		}
	})
}

// A successor knows the state of its predecessor's hosts, and goes on checking.
func TestChecksOverAnUpgrade(t *testing.T) {
	t.Parallel()
	bad, good := newCheckedHost(t), newCheckedHost(t)
	bad.status.Store(503)
	p, binary := startUpgradable(t, checkedSetup(nil, bad, good))
	p.awaitLog(bad.down())
	before := p.awaitUnused(bad)
	stop, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * patience}
		for {
			select {
			case <-stop:
				return
			default:
			}
			res, err := client.Get(p.url("/"))
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
			time.Sleep(time.Millisecond)
		}
	}()
	install(t, program, binary)
	p.mustOrder("upgrade")
	pid := p.awaitSuccessor(1)
	eventually(t, "the first master has left", func() bool { return !alive(p.pid()) })
	checks := bad.checks.Load()
	eventually(t, "the successor checks", func() bool { return bad.checks.Load() > checks+3 })
	close(stop)
	<-asked
	if n := bad.requests.Load() - before; n > 0 {
		t.Errorf("during an upgrade a host that was known to be down got %d requests", n)
	}
	if n := p.stderr.count(`check: a host is down`); n != 1 {
		t.Errorf("%d log lines say that the host is down, want one", n)
	}
	bad.status.Store(200)
	p.awaitLog(bad.up())
	eventually(t, "the host serves again", func() bool {
		p.getServed(2)
		return bad.requests.Load() > before
	})
	p.stopSuccessor(pid)
}

// When most hosts fail their checks, all hosts are used; the log says when that begins and ends.
func TestChecksPanic(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		var all []*checkedHost
		for range 4 {
			all = append(all, newCheckedHost(t))
		}
		s := checkedSetup(nil, all...)
		s.multi = multi
		p := start(t, s)
		for _, bad := range all[:3] {
			bad.status.Store(503)
			p.awaitLog(bad.down())
		}
		p.awaitLog(`level=WARN msg="upstream: fewer than half of a group's hosts are usable.*" group=backend`)
		for _, one := range all {
			before := one.requests.Load()
			eventually(t, "each host serves", func() bool {
				p.getServed(2)
				return one.requests.Load() > before
			})
		}
		all[0].status.Store(200)
		p.awaitLog(all[0].up())
		p.awaitLog(`level=INFO msg="upstream: half of a group's hosts or more are usable again.*" group=backend`)
		p.awaitUnused(all[1], all[2])
	})
}

// In stream mode a check is a connection. A check that would lead back to the proxy is not made.
func TestChecksOfStreams(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		port := reservePort(t)
		well := listen(t, "127.0.0.1", answer("A"))
		check := settings{"health_check": settings{"interval": 50, "timeout": patience.Milliseconds()}}
		s := groupOf("first", check, settings{"host": "127.0.0.1", "port": port}, settings{"host": well.Host, "port": well.Port})
		s["workers_num"] = 2
		p := startOn(t, port, setup{settings: s, multi: multi})
		p.awaitLog(fmt.Sprintf(`level=WARN msg="check: a host is down" group=backend host=127.0.0.1:%d type=tcp error=".*leads back to this proxy.*" failed=1`, port))
		expectAll(t, p.dial(), "A")
	})
}

// Where a group speaks TLS, a host that accepts connections but does not speak TLS fails its checks, before any client notices.
func TestChecksByTLS(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		broken := listen(t, "127.0.0.1", func(*net.TCPConn) {})
		var checks atomic.Int64
		good := serveTLS(t, newAuthority(t).issue("127.0.0.1").config(), func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.UserAgent(), "health check") {
				checks.Add(1)
			}
			_, _ = io.WriteString(w, "served")
		})
		group := settings{"health_check": settings{"interval": 50, "timeout": patience.Milliseconds()}, "proxy_tls_enabled": true}
		s := groupOf("first", group, settings{"host": broken.Host, "port": broken.Port}, settings{"host": good.Host, "port": good.Port})
		p := start(t, setup{mode: "http", settings: s, multi: multi})
		p.awaitLog(fmt.Sprintf(`msg="check: a host is down" group=backend host=127.0.0.1:%d type=http error="while making a TLS handshake`, broken.Port))
		eventually(t, "the good host passes a check", func() bool { return checks.Load() > 1 })
		p.getServed(10)
		if n := p.stderr.count(`upstream: a host is down`); n > 0 {
			t.Error("a client found the host bad, although the checks should have")
		}
	})
}
