package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// agree has each key ask several times, of several processes, and demands that it comes to the same host each time, and that all hosts
// have some.
func agree(t *testing.T, keys, hosts int, ask func(key, time int) string) {
	t.Helper()
	had := map[string]int{}
	for k := range keys {
		first := ask(k, 0)
		had[first]++
		for time := 1; time < 4; time++ {
			if letter := ask(k, time); letter != first {
				t.Fatalf("key %d: host %s, and before it %s", k, letter, first)
			}
		}
	}
	if len(had) != hosts {
		t.Errorf("%d keys were shared out like this: %v", keys, had)
	}
}

// Workers, a process that was started by itself, and those that have reloaded send each tenant to the same host.
func TestHash(t *testing.T) {
	t.Parallel()
	const hosts = 3
	s := setup{hosts: sites(named(t, hosts)...), algorithm: "hash", settings: settings{"hash_key": "$http_x_tenant", "workers_num": 2, "reactors_num": 2}}
	workers, single := s, s
	workers.multi = true
	proxies := []*proxy{startHTTP(t, workers), startHTTP(t, single)}
	ask := func(key, time int) string {
		p := proxies[time%2]
		req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Tenant", fmt.Sprint("tenant ", key))
		req.Close = true // so that any worker may get the next
		_, letter := do(t, p.client(), req)
		return letter
	}
	agree(t, 40, hosts, ask)
	before := ask(7, 0)
	for _, p := range proxies {
		p.mustOrder("reload")
	}
	for time := range 2 {
		if letter := ask(7, time); letter != before {
			t.Errorf("after a reload: host %s, and before it %s", letter, before)
		}
	}
}

// Clients come to the host that their address belongs to.
func TestIPHash(t *testing.T) {
	t.Parallel()
	const hosts = 3
	s := setup{hosts: endpoints(lettered(t, hosts)...), algorithm: "ip_hash"}
	workers := s
	workers.multi = true
	proxies := []*proxy{start(t, workers), start(t, s)}
	agree(t, 40, hosts, func(key, time int) string {
		from := net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(key+1))}
		d := net.Dialer{LocalAddr: &from, Timeout: patience}
		c, err := d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", proxies[time%2].port))
		if err != nil {
			t.Fatal(err)
		}
		return letterFor(t, guard(t, c))
	})
}

// letterFor is the letter of the host that a client got.
func letterFor(t *testing.T, c *net.TCPConn) string {
	t.Helper()
	letter := make([]byte, 1)
	if _, err := io.ReadFull(c, letter); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	return string(letter)
}

// The name in a hello is read for a key that has it, and passed on; who gives none is served too.
func TestHashByServerName(t *testing.T) {
	t.Parallel()
	const hosts = 3
	p := start(t, setup{hosts: endpoints(lettered(t, hosts)...), algorithm: "hash", settings: settings{"hash_key": "$tls_sni"}})
	agree(t, 40, hosts, func(key, _ int) string {
		c := p.dial()
		if _, err := io.WriteString(c, clientHello(&tls.Config{ServerName: fmt.Sprintf("n%d.example", key)})); err != nil {
			t.Fatal(err)
		}
		return letterFor(t, c)
	})
	c := p.dial()
	if _, err := io.WriteString(c, "no hello"); err != nil {
		t.Fatal(err)
	}
	letterFor(t, c)
}
