package main_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Each listener offers the protocols of its "protocols" by ALPN, in that order, also after a reload that changes them.
func TestALPNOfListeners(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	h := serve(t, "127.0.0.1", mirror)
	modes(t, func(t *testing.T, multi bool) {
		ports := []int{reservePort(t), reservePort(t), reservePort(t), reservePort(t)}
		listening := func(offers ...[]string) setup {
			var list []listenEntry
			for i, offer := range offers {
				list = append(list, listenEntry{"address": "127.0.0.1", "port": ports[i], "protocols": offer})
			}
			return setup{mode: "http", hosts: endpoints(h), multi: multi, settings: a.issue("site.test").serverSettings(settings{"listen": list, "reactors_num": 2, "workers_num": 2})}
		}
		expect := func(port int, client []string, want string) {
			t.Helper()
			config := a.clientConfig("site.test")
			config.NextProtos = client
			c := tls.Client(local(port).dial(t), config)
			if err := c.Handshake(); err != nil {
				t.Errorf("port %d: %v", port, err)
			} else if got := c.ConnectionState().NegotiatedProtocol; got != want {
				t.Errorf("port %d: negotiated %q with a client that offers %q, want %q", port, got, client, want)
			}
			_ = c.Close()
		}
		both := []string{"h2", "http/1.1"}
		s := listening(both, []string{"http/1.1", "h2"}, []string{"h2"}, []string{"http/1.1"})
		p := start(t, s)
		for range 3 { // reactors or workers take turns
			expect(ports[0], both, "h2")
			expect(ports[0], []string{"http/1.1"}, "http/1.1")
			expect(ports[0], nil, "")
			expect(ports[1], both, "http/1.1")
			expect(ports[1], []string{"h2"}, "h2")
			expect(ports[2], both, "h2")
			expect(ports[3], both, "http/1.1")
			expect(ports[3], []string{"http/1.0"}, "http/1.0")
		}
		config := a.clientConfig("site.test")
		config.NextProtos = []string{"h2"}
		if err := tls.Client(local(ports[3]).dial(t), config).Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("a client that speaks only HTTP/2 got the error %v", err)
		}

		p.rewrite(listening([]string{"http/1.1"}, both, both, both))
		p.mustOrder("reload")
		for range 3 {
			expect(ports[0], both, "http/1.1")
			for _, port := range ports[1:] {
				expect(port, both, "h2")
			}
		}
	})
}

// Hosts are offered by ALPN what "protocol" of their group says.
func TestALPNWithHosts(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for protocol, want := range map[string][]string{"": {"http/1.1"}, "http/1.1": {"http/1.1"}, "h2": {"h2"}, "auto": {"h2", "http/1.1"}} {
		t.Run("protocol "+protocol, func(t *testing.T) {
			t.Parallel()
			var once sync.Once
			offered := make(chan []string, 1)
			config := a.issue("127.0.0.1").config()
			config.NextProtos = []string{"http/1.1"} // the host knows no other
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				once.Do(func() { offered <- slices.Clone(hello.SupportedProtos) })
				return nil, nil
			}
			h := serveTLS(t, config, mirror)
			p := startHTTP(t, setup{hosts: endpoints(h)}.toTLS(settings{"protocol": protocol}))
			res, _ := p.get(p.client(), "/")
			if got := <-offered; !slices.Equal(got, want) {
				t.Errorf("the host got the offer %q, want %q", got, want)
			}
			if spoken := slices.Contains(want, "http/1.1"); spoken && res.StatusCode != 200 {
				t.Errorf("status %d", res.StatusCode)
			} else if !spoken {
				if res.StatusCode != 502 {
					t.Errorf("status %d for a host that does not speak the required protocol, want 502", res.StatusCode)
				}
				p.await(p.stderr, `msg="upstream: a host is down and is tried last".* error="while making a TLS handshake: .*no application protocol`)
			}
		})
	}
}
