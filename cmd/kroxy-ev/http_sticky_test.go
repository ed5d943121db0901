package main_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
)

// askWith makes a request with the cookie over a connection of its own, and returns the letter of the host and the cookie that was set, or "".
func (p *proxy) askWith(cookie string) (letter, set string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Close = true
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	res, letter := do(p.t, p.client(), req)
	if res.StatusCode != 200 {
		p.t.Fatalf("status %d", res.StatusCode)
	}
	set, _, _ = strings.Cut(res.Header.Get("Set-Cookie"), ";")
	return letter, set
}

// A cookie selects the same host in all workers, also after a reload and an upgrade. A drained host keeps clients that have its cookie, and gets no others.
func TestStickyClients(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts := namedHosts(t, 3)
		s := setup{hosts: endpoints(hosts...), mode: "http", multi: multi, settings: settings{"workers_num": 2, "sticky": map[string]any{"cookie": "kroxy"}}}
		var p *proxy
		if multi {
			p, _ = startUpgradable(t, s)
		} else {
			p = start(t, s)
		}
		letter, cookie := p.askWith("")
		if !strings.HasPrefix(cookie, "kroxy=") {
			t.Fatalf("cookie %q", cookie)
		}
		stays := func(when string) {
			t.Helper()
			for range 6 {
				if again, set := p.askWith(cookie); again != letter || set != "" {
					t.Errorf("%s: the client moved from host %s to %s, cookie %q", when, letter, again, set)
				}
			}
		}
		stays("at first")
		p.mustOrder("reload")
		stays("after a reload")
		if multi {
			p.mustOrder("upgrade")
			defer p.stopSuccessor(p.awaitSuccessor(1))
			stays("after an upgrade")
			if status := p.wait(); status != 0 { // until its workers have left, they accept clients by the old configuration
				t.Errorf("exit status %d of the old master", status)
			}
		}

		var drained []map[string]any
		for i, h := range s.hosts {
			host := map[string]any{"host": h.Host, "port": h.Port}
			if string(rune('A'+i)) == letter {
				host["drain"] = true
			}
			drained = append(drained, host)
		}
		s.settings = maps.Clone(s.settings)
		s.settings["servers"] = map[string]any{"backend": map[string]any{"hosts": drained}}
		p.rewrite(s)
		p.mustOrder("reload")
		stays("while its host is drained")
		for range 6 {
			if other, set := p.askWith(""); other == letter || set == "" {
				t.Errorf("a new client got the drained host %s and the cookie %q", other, set)
			}
		}
	})
}
