package httpcodec

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"kroxy-ev/balance"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// hashed returns g with hosts chosen by a hash of the key, if the algorithm uses one.
func hashed(t testing.TB, g *upstream.Group, algorithm, key string) *upstream.Group {
	t.Helper()
	var err error
	if key != "" {
		if g.HashKey, err = logformat.CompileTemplate(key, logformat.OnRequest); err != nil {
			t.Fatal(err)
		}
	}
	ids, hosts := make([]int, len(g.Hosts)), make([]balance.Spec, len(g.Hosts))
	for i := range hosts {
		ids[i], hosts[i] = i, balance.Spec{ID: fmt.Sprint(i), Weight: 1}
	}
	if g.Balance, err = balance.NewGroupOf(ids, balance.Options{Algorithm: algorithm, Hosts: hosts}, balance.NewCounters(1, len(hosts))); err != nil {
		t.Fatal(err)
	}
	return g
}

// A request goes to the host to which its key belongs, whatever the key consists of.
func TestHashKey(t *testing.T) {
	t.Parallel()
	const hosts = 5
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		algorithm, key string
		request        string           // %d stands for what distinguishes requests
		same           string           // another request with the same key
		text           func(int) string // the key
	}{
		{"hash", "$http_x_tenant", "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: t%d\r\n\r\n", "GET /b HTTP/1.1\r\nhost: b\r\nx-tenant:t%d \r\nA: b\r\n\r\n", func(n int) string { return fmt.Sprintf("t%d", n) }},
		{"hash", "$path?$arg_user", "GET /p?a=b&user=%d HTTP/1.1\r\nHost: a\r\n\r\n", "GET /p?user=%d&c HTTP/1.1\r\nHost: b\r\n\r\n", func(n int) string { return fmt.Sprintf("/p?%d", n) }},
		{"hash", "$cookie_id", "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; id=%d\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nCookie: id=%d\r\n\r\n", func(n int) string { return fmt.Sprint(n) }},
		{"hash", "$host", "GET / HTTP/1.1\r\nHost: n%d.example\r\n\r\n", "GET /x HTTP/1.1\r\nHost: n%d.example:80\r\n\r\n", func(n int) string { return fmt.Sprintf("n%d.example", n) }},
		{"ip_hash", "", "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x/%d HTTP/1.1\r\nHost: a\r\n\r\n", func(int) string { return "127.0.0.1" }},
		{"hash", "$client_addr", "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x/%d HTTP/1.1\r\nHost: a\r\n\r\n", func(int) string { return "127.0.0.1" }},
		{"hash", "$http_a", "GET / HTTP/1.1\r\nHost: a\r\nA: " + long + "%d\r\n\r\n", "GET /x HTTP/1.1\r\nHost: b\r\nA: " + long + "%d\r\n\r\n", nil},
	} {
		t.Run(c.algorithm+" "+c.key+" "+fmt.Sprint(c.text == nil), func(t *testing.T) {
			t.Parallel()
			var addrs []netip.AddrPort
			for i := range hosts {
				addrs = append(addrs, startRecorder(t, always+numbered(i)).addr)
			}
			client := startProxy(t, func(s *flat) { s.Group = hashed(t, s.Group, c.algorithm, c.key) }, addrs...).dial()
			ask := func(request string) int {
				send(client, request, nil)
				got := make([]byte, len(numbered(0)))
				if _, err := io.ReadFull(client, got); err != nil {
					t.Fatal(err)
				}
				return int(got[len(got)-1] - '0')
			}
			oracle := hashed(t, &upstream.Group{Hosts: make([]upstream.Host, hosts)}, "hash", "").Balance
			had := make(map[int]int)
			for n := range 30 {
				got := ask(fmt.Sprintf(c.request, n))
				if other := ask(fmt.Sprintf(c.same, n)); other != got {
					t.Fatalf("%d: one key goes to hosts %d and %d", n, got, other)
				}
				had[got]++
				if c.text == nil {
					continue
				}
				var none balance.Tried
				lease, ok := oracle.Acquire(0, []byte(c.text(n)), &none, 0)
				if want := lease.Host(); !ok || got != want {
					t.Fatalf("%d: host %d, want %d", n, got, want)
				}
			}
			if one := c.text != nil && c.text(0) == c.text(1); one != (len(had) == 1) {
				t.Errorf("30 keys went to %v", had)
			}
		})
	}
}
