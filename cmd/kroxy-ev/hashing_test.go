package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// expectConsistent sends requests for each key several times, to several processes, and demands that each key always gets the same host and that every host
// gets some keys. It returns the host of each key.
func expectConsistent(t *testing.T, keys, hosts int, ask func(key, time int) string) []string {
	t.Helper()
	all, had := make([]string, keys), map[string]int{}
	for k := range keys {
		all[k] = ask(k, 0)
		had[all[k]]++
		for time := 1; time < 4; time++ {
			if letter := ask(k, time); letter != all[k] {
				t.Fatalf("key %d got host %s, and before that %s", k, letter, all[k])
			}
		}
	}
	if len(had) != hosts {
		t.Errorf("%d keys were distributed like this: %v", keys, had)
	}
	return all
}

// hostsOfTenants returns, for n tenants, the letter of the host to which the process pid sends each.
func (p *proxy) hostsOfTenants(pid int, serving []int, n int) []string {
	p.t.Helper()
	var c *net.TCPConn
	eventually(p.t, "the process has a connection", func() bool {
		c = p.dial()
		return awaitOwner(p.t, c, serving) == pid
	})
	go func() {
		for tenant := range n {
			_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: tenant %d\r\n\r\n", tenant)
		}
	}()
	letters := make([]string, n)
	in := bufio.NewReader(c)
	for i := range letters {
		_, letters[i] = reply(p.t, in, http.MethodGet)
	}
	_ = c.Close()
	return letters
}

// All workers, a single process, a process that has reloaded and the workers of a successor send each tenant to the same host. When one of five hosts is
// removed, hardly any tenants move except those of that host.
func TestHash(t *testing.T) {
	t.Parallel()
	const hosts = 5
	n := times(100, 20_000)
	all := endpoints(namedHosts(t, hosts)...)
	s := setup{mode: "http", hosts: all, algorithm: "hash", settings: settings{"hash_key": "$http_x_tenant", "workers_num": 2, "reactors_num": 2}}
	single := start(t, s)
	s.multi, s.prepare = true, inProcessGroup(t)
	p := start(t, s)
	want := single.hostsOfTenants(single.pid(), []int{single.pid()}, n)
	had := map[string]int{}
	for _, letter := range want {
		had[letter]++
	}
	if len(had) != hosts {
		t.Errorf("%d tenants were distributed like this: %v", n, had)
	}
	same := func(who string, q *proxy, serving ...int) {
		t.Helper()
		for _, pid := range serving {
			if got := q.hostsOfTenants(pid, serving, n); !slices.Equal(got, want) {
				t.Errorf("%s sends tenants to other hosts", who)
			}
		}
	}
	same("a worker", p, p.workers()...)
	single.mustOrder("reload")
	same("a process that has reloaded", single, single.pid())
	p.mustOrder("upgrade")
	successor := p.awaitSuccessor(1)
	p.await(p.stderr, `(?s)(msg="worker left".*){2}`) // until then a predecessor's worker may accept
	same("a worker of the successor", p, children(t, successor)...)

	s.hosts = slices.Delete(slices.Clone(all), 1, 2)
	p.rewrite(s)
	p.mustOrder("reload")
	before := want
	serving := children(t, successor)
	want = p.hostsOfTenants(serving[0], serving, n)
	same("a worker of the successor that has reloaded", p, serving...)
	moved := 0
	for i := range want {
		if want[i] != before[i] {
			moved++
		}
	}
	if others := moved - had["B"]; others < 0 || others > n/10 {
		t.Errorf("of %d tenants %d have moved, and the removed host had %d", n, moved, had["B"])
	}
	t.Logf("of %d tenants %d have moved, and the removed host had %d", n, moved, had["B"])
	p.stopSuccessor(successor)
}

// Clients get the host that their address maps to, whichever process accepts them.
func TestIPHash(t *testing.T) {
	t.Parallel()
	const hosts, clients = 3, 60
	s := setup{hosts: endpoints(letteredHosts(t, hosts)...), algorithm: "ip_hash"}
	workers := s
	workers.multi, workers.prepare = true, inProcessGroup(t)
	proxies := []*proxy{start(t, workers), start(t, s)}
	ask := func(client, time int) string {
		from := net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(client+1))}
		d := net.Dialer{LocalAddr: &from, Timeout: patience}
		c, err := d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", proxies[time%2].port))
		if err != nil {
			t.Fatal(err)
		}
		return letterFor(t, guard(t, c))
	}
	before := expectConsistent(t, clients, hosts, ask)
	proxies[0].signal(unix.SIGUSR2)
	successor := proxies[0].awaitSuccessor(1)
	for client, letter := range before {
		if now := ask(client, 0); now != letter {
			t.Errorf("client %d got host %s after an upgrade, and before that %s", client, now, letter)
		}
	}
	proxies[0].stopSuccessor(successor)
}

// letterFor returns the letter that the client's host sends.
func letterFor(t *testing.T, c *net.TCPConn) string {
	t.Helper()
	letter := make([]byte, 1)
	if _, err := io.ReadFull(c, letter); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	return string(letter)
}

// A hash key may use the server name of a ClientHello, which is read without terminating TLS. A client that sends no ClientHello is served too.
func TestHashByServerName(t *testing.T) {
	t.Parallel()
	const hosts = 3
	p := start(t, setup{hosts: endpoints(letteredHosts(t, hosts)...), algorithm: "hash", settings: settings{"hash_key": "$tls_sni"}})
	expectConsistent(t, 60, hosts, func(key, _ int) string {
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
