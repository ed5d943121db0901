package httpcodec

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/balance"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// byName returns g with hosts that are chosen by these names.
func byName(t testing.TB, g *upstream.Group, names ...string) *upstream.Group {
	return balanced(t, g, "host", names...)
}

func balanced(t testing.TB, g *upstream.Group, algorithm string, names ...string) *upstream.Group {
	t.Helper()
	hosts := make([]balance.Spec, len(names))
	for i, name := range names {
		hosts[i] = balance.Spec{Name: name, Weight: 1}
	}
	b, err := balance.New(algorithm, hosts)
	if err != nil {
		t.Fatal(err)
	}
	n := len(g.Hosts)
	g.Balance = balance.NewGroup(n, b, balance.NewCounters(1, n))
	return g
}

// named starts a proxy in front of one host per name, which replies with its number. Hosts in down do not listen.
func named(t *testing.T, names []string, down ...int) (*proxy, []*recorder) {
	t.Helper()
	var hosts []*recorder
	var addrs []netip.AddrPort
	for i := range names {
		h := startRecorder(t, always+numbered(i))
		hosts = append(hosts, h)
		if slices.Contains(down, i) {
			addrs = append(addrs, enginetest.Refusing(t, enginetest.Loopback))
		} else {
			addrs = append(addrs, h.addr)
		}
	}
	return startProxy(t, func(s *flat) { s.Group = byName(t, s.Group, names...) }, addrs...), hosts
}

// numbered returns the reply of host number n.
func numbered(i int) string {
	return okHead + "Content-Length: 1\r\n\r\n" + string(rune('0'+i))
}

func TestHostByName(t *testing.T) {
	t.Parallel()
	p, _ := named(t, []string{"a.example", "B.Example.", "::1", "192.0.2.1", "a", "2001:DB8::A"})
	c := p.dial()
	for _, tc := range []struct {
		request string // "#" stands for HTTP/1.1 and the end of the line
		host    int    // -1: 421
	}{
		{"GET / #Host: a.example", 0}, {"GET / #hOST: A.EXAMPLE", 0}, {"GET / #Host: a.example:8080", 0}, {"GET / #Host: a.example:", 0}, {"GET / #Host: a.example.:", 0}, {"GET / #Host: [::1]:", 2},
		{"GET http://a.example:/ #Host: b.example", 0}, {"GET http://c.example/ #Host: a.example", -1}, {"GET / #Host: a.example.", 0}, {"GET / #Host: A.example.:1", 0},
		{"GET / #Host: b.example", 1}, {"GET / #Host: b.example.", 1}, {"GET / #Host: [::1]", 2}, {"GET / #Host: [::1]:443", 2}, {"GET / #Host: 192.0.2.1", 3}, {"GET / #Host: 192.0.2.1:80", 3},
		{"GET / #Host: a", 4}, {"GET / #Host: [2001:db8::a]", 5}, {"GET http://a.example/ #Host: a.example", 0}, {"GET http://A.Example:80/ #Host: a.example", 0}, {"GET https://b.example #Host: B.example:443", 1},
		{"GET http://[::1]/ #Host: [::1]:80", 2}, {"OPTIONS * #Host: a", 4}, {"POST / #Host: a\r\nContent-Length: 0", 4},
		{"GET / #Host: c.example", -1}, {"GET / #Host: a.example..", -1}, {"GET / #Host: xa.example", -1}, {"GET / #Host: a.exampl", -1}, {"GET / #Host: 192.0.2.10", -1},
		{"GET / #Host: [::2]", -1}, {"GET http://c.example/ #Host: c.example", -1}, {"GET / #Host: " + strings.Repeat("a", 300), -1}, {"GET / #Host: .", -1},
		{"GET / #Host: c.example\r\nX-Forwarded-Host: a.example", -1},
	} {
		send(c, strings.Replace(tc.request, "#", "HTTP/1.1\r\n", 1)+"\r\n\r\n", nil)
		want := page(421, true)
		if tc.host >= 0 {
			want = numbered(tc.host)
		}
		readN(t, c, want)
	}
	stillOpen(t, c) // the connection stays open after every 421
}

// An absolute target overrides Host. In HTTP/1.0 such a target is enough, and a request with neither names no host.
func TestHostByTarget(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"GET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": okHead + "Content-Length: 1\r\nConnection: close\r\n\r\n1",
		"GET http://a/ HTTP/1.0\r\n\r\n":                                 okHead + "Content-Length: 1\r\nConnection: close\r\n\r\n0",
		"GET / HTTP/1.0\r\nHost: b\r\n\r\n":                              okHead + "Content-Length: 1\r\nConnection: close\r\n\r\n1",
		"GET / HTTP/1.0\r\n\r\n":                                         page(421, false),
	} {
		p, _ := named(t, []string{"a", "b"})
		c := p.dial()
		send(c, in, nil)
		if got, how := readAll(c); got != want || how != "eof" {
			t.Errorf("%q: got %q, %s\nwant %q", in, got, how, want)
		}
	}
}

// The body of a request that goes to no host is not taken for a request, and the next request is served.
func TestMisdirectedBody(t *testing.T) {
	t.Parallel()
	inner := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, in := range map[string]string{
		"length":  "POST / HTTP/1.1\r\nHost: q\r\nContent-Length: 27\r\n\r\n" + inner,
		"chunked": "POST / HTTP/1.1\r\nHost: q\r\n" + te + "\r\n1b\r\n" + inner + "\r\n0\r\n\r\n",
	} {
		p, hosts := named(t, []string{"a"})
		c := p.dial()
		send(c, in+inner, nil)
		_ = c.CloseWrite()
		if got, how := readAll(c); got != page(421, true)+numbered(0) || how != "eof" {
			t.Errorf("%s: got %q, %s", name, got, how)
		}
		p.stop()
		if seen := strings.Join(hosts[0].seen(1), ""); seen != inner {
			t.Errorf("%s: the host got %q", name, seen)
		}
	}
}

// A named host that is down is not replaced by a host with another name.
func TestNamedHostDown(t *testing.T) {
	t.Parallel()
	p, hosts := named(t, []string{"a", "b", "c"}, 1)
	c := p.dial()
	for range 3 {
		send(c, "GET / HTTP/1.1\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: c\r\n\r\n", nil)
		readN(t, c, pageLater(502)+numbered(2))
	}
	stillOpen(t, c)
	p.stop()
	if n := hosts[0].served.Load(); n != 0 {
		t.Errorf("another host got %d requests", n)
	}
	counts := p.entry.Settings.only().Group.Balance.Hosts()
	if counts.Failed(1) != 3 || counts.Served(2) != 3 || counts.Active(1) != 0 || counts.Active(2) != 0 {
		t.Errorf("%d failed, %d served, %d and %d active", counts.Failed(1), counts.Served(2), counts.Active(1), counts.Active(2))
	}
}

// Of several hosts with the same name, the first reachable one serves.
func TestSparesOfOneName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		down []int
		want string
	}{
		{nil, numbered(0)}, {[]int{0}, numbered(2)}, {[]int{0, 2}, numbered(3)}, {[]int{0, 2, 3}, pageLater(502)},
	} {
		p, hosts := named(t, []string{"a", "b", "A.", "a"}, tc.down...)
		c := p.dial()
		for range 3 {
			send(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", nil)
			readN(t, c, tc.want)
		}
		stillOpen(t, c)
		if n := hosts[1].served.Load(); n != 0 {
			t.Errorf("another host got %d requests", n)
		}
	}
}

// least_conn counts requests in flight, not connections: an exchange whose response is awaited or being sent counts, an idle
// connection does not.
func TestLeastConnCountsRequests(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	asked := make(chan int, 16)
	var addrs []netip.AddrPort
	for i := range 2 {
		addrs = append(addrs, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			for {
				b := make([]byte, len(getRoot))
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				asked <- i
				if strings.HasPrefix(string(b), "PUT") {
					send(c, numbered(i)[:len(numbered(i))-1], nil) // only part of it
					<-release
					send(c, numbered(i)[len(numbered(i))-1:], nil)
				} else {
					send(c, numbered(i), nil)
				}
			}
		}))
	}
	p := startProxy(t, func(s *flat) { s.Group = balanced(t, s.Group, "least_conn", "0", "1") }, addrs...)
	get := func() int {
		c := p.dial()
		send(c, getRoot, nil)
		readMessages(t, c, 1)
		return <-asked // c stays open, and so do the hosts' connections
	}
	idle := map[int]int{}
	for range 6 {
		idle[get()]++
	}
	if idle[0] != 3 || idle[1] != 3 {
		t.Errorf("with nothing in flight the hosts got %v of 6", idle)
	}
	held := p.dial()
	send(held, "PUT"+getRoot[3:], nil)
	busy := <-asked
	for range 6 {
		if i := get(); i == busy {
			t.Errorf("host %d was chosen, which has a request in flight", i)
		}
	}
	close(release)
	readMessages(t, held, 1)
	idle = map[int]int{}
	for range 6 {
		idle[get()]++
	}
	if idle[0] != 3 || idle[1] != 3 {
		t.Errorf("with nothing in flight any more the hosts got %v of 6", idle)
	}
}
