package httpcodec

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http1/http1test"
)

func trustedBy(prefixes ...string) func(*flat) {
	return func(s *flat) {
		s.Server.ForwardedHeaders = true
		for _, p := range prefixes {
			s.Server.TrustedProxies = append(s.Server.TrustedProxies, netip.MustParsePrefix(p))
		}
	}
}

// What a host is told about the client, and by whom. In and want are what is between the request line and the empty line.
func TestForwarded(t *testing.T) {
	t.Parallel()
	all := "X-Forwarded-For: 9.9.9.9\r\nx-forwarded-for: 8.8.8.8, 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-FORWARDED-HOST: evil\r\n"
	ours := "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: p\r\n"
	for _, tc := range []struct {
		name     string
		set      func(*flat)
		in, want string
	}{
		{"nothing said", trustedBy(), "Host: p\r\n", "Host: p\r\n" + ours},
		{"untrusted", trustedBy(), "Host: p\r\n" + all, "Host: p\r\n" + ours},
		{"another is trusted", trustedBy("10.0.0.0/8", "::/0", "127.0.0.2/32"), all + "Host: p\r\n", "Host: p\r\n" + ours},
		{"untrusted, named in connection", trustedBy(), "Host: p\r\nConnection: X-Forwarded-For, x-forwarded-proto, X-Forwarded-Host, Host\r\n" + all, "Host: p\r\n" + ours},
		{"trusted", trustedBy("10.0.0.0/8", "127.0.0.0/8"), "Host: p\r\n" + all,
			"Host: p\r\nX-Forwarded-Proto: https\r\nX-FORWARDED-HOST: evil\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7, 127.0.0.1\r\n"},
		{"trusted, named in connection", trustedBy("127.0.0.1/32"), "Host: p\r\nConnection: X-Forwarded-For, x-forwarded-proto\r\nConnection: X-Forwarded-Host\r\n" + all,
			"Host: p\r\nX-Forwarded-Proto: https\r\nX-FORWARDED-HOST: evil\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7, 127.0.0.1\r\n"},
		{"trusted, says nothing", trustedBy("127.0.0.0/8"), "Host: p\r\n", "Host: p\r\n" + ours},
		{"trusted, says part", trustedBy("127.0.0.0/8"), "Host: p\r\nX-Forwarded-Proto: https\r\n",
			"Host: p\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: p\r\n"},
		{"trusted, empty", trustedBy("127.0.0.0/8"), "Host: p\r\nX-Forwarded-For:\r\nX-Forwarded-For: ::1\r\nX-Forwarded-For: \r\n",
			"Host: p\r\nX-Forwarded-For: ::1, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: p\r\n"},
		{"off", nil, "Host: p\r\n" + all, "Host: p\r\n" + all},
		{"off, trusted", func(s *flat) { trustedBy("127.0.0.0/8")(s); s.Server.ForwardedHeaders = false }, "Host: p\r\n" + all, "Host: p\r\n" + all},
		{"off, named in connection", nil, "Host: p\r\nConnection: x-forwarded-for\r\n" + all, "Host: p\r\n" + all},
		{"with a port", trustedBy(), "Host: P:81\r\n", "Host: P:81\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: P:81\r\n"},
		{"host of the upstream", func(s *flat) { s.Server.ForwardedHeaders, s.UpstreamHost = true, true }, "hoST: p\r\n", "hoST: up:1\r\n" + ours},
		{"host of the upstream, not forwarded", func(s *flat) { s.UpstreamHost = true }, "A: b\r\nHost: p\r\nC: d\r\n", "A: b\r\nHost: up:1\r\nC: d\r\n"},
		{"headers", func(s *flat) {
			s.Policies.Request = http1test.Headers(t, "X-A", "$host/$addr/$host$addr", "x-b", "$", "X-Empty", "")
		},
			"Host: p\r\nx-a: 1\r\nX-A: 2\r\nX-B: 3\r\nX-C: 4\r\n", "Host: p\r\nX-C: 4\r\nX-A: up/127.0.0.1/up127.0.0.1\r\nx-b: $\r\nX-Empty: \r\n"},
		{"headers, named in connection", func(s *flat) { s.Policies.Request = http1test.Headers(t, "X-A", "1") }, "Host: p\r\nConnection: x-a\r\nX-A: 2\r\n", "Host: p\r\nX-A: 1\r\n"},
		{"headers say host", func(s *flat) {
			s.Server.ForwardedHeaders, s.Policies.Request = true, http1test.Headers(t, "host", "$host.example")
		}, "Host: p\r\n", "host: up.example\r\n" + ours},
		{"headers say forwarded", func(s *flat) {
			trustedBy("127.0.0.0/8")(s)
			s.Policies.Request = http1test.Headers(t, "X-Forwarded-For", "$addr", "X-Forwarded-Proto", "https")
		}, "Host: p\r\n" + all, "Host: p\r\nX-FORWARDED-HOST: evil\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, always+hi)
			p := startProxy(t, func(s *flat) {
				if tc.set != nil {
					tc.set(s)
				}
				s.Names[0] = HostName{Name: []byte("up"), Authority: []byte("up:1")}
			}, h.addr)
			c := p.dial()
			// Twice: one request must not affect the next.
			in, want := "GET / HTTP/1.1\r\n"+tc.in+"\r\n", "GET / HTTP/1.1\r\n"+tc.want+"\r\n"
			send(c, in, nil)
			readN(t, c, hi)
			send(c, in, nil)
			readN(t, c, hi)
			p.stop()
			if got := h.seen(1); !slices.Equal(got, []string{want + want}) {
				t.Errorf("the host got %q\nwant twice %q", got, want)
			}
		})
	}
}

// The targets and versions that determine X-Forwarded-Host and Host.
func TestForwardedHost(t *testing.T) {
	t.Parallel()
	const rest = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
	for in, want := range map[string]string{
		"GET http://q:81/a HTTP/1.1\r\nHost: Q:81\r\n\r\n":                      "GET /a HTTP/1.1\r\nHost: q:81\r\n" + rest + "X-Forwarded-Host: q:81\r\n\r\n",
		"GET http://q/ HTTP/1.0\r\n\r\n":                                        "GET / HTTP/1.1\r\nHost: q\r\n" + rest + "X-Forwarded-Host: q\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n":                                                "GET / HTTP/1.1\r\nHost: up:1\r\n" + rest + "\r\n",
		"GET / HTTP/1.0\r\nX-Forwarded-Host: evil\r\n\r\n":                      "GET / HTTP/1.1\r\nHost: up:1\r\n" + rest + "\r\n",
		postRoot + te + "\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX-Sum: 1\r\n\r\n": postRoot + rest + "X-Forwarded-Host: p\r\n" + te + "\r\n0\r\nX-Sum: 1\r\n\r\n",
	} {
		h := startRecorder(t, hi)
		p := startProxy(t, func(s *flat) {
			s.Server.ForwardedHeaders, s.Names[0] = true, HostName{Name: []byte("up"), Authority: []byte("up:1")}
		}, h.addr)
		c := p.dial()
		send(c, in, nil)
		readMessages(t, c, 1)
		p.stop()
		if got := h.seen(1); !slices.Equal(got, []string{want}) {
			t.Errorf("%q: the host got %q\nwant %q", in, got, want)
		}
	}
}

// Each host receives its own name.
func TestHeadersOnSeveralHosts(t *testing.T) {
	t.Parallel()
	hosts := []*recorder{startRecorder(t, always+hi), startRecorder(t, always+hi), startRecorder(t, always+hi)}
	p := startProxy(t, func(s *flat) {
		s.UpstreamHost, s.Policies.Request = true, http1test.Headers(t, "X-Host", "<$host>")
		for i := range s.Names {
			s.Names[i] = HostName{Name: []byte("h" + strconv.Itoa(i)), Authority: []byte("h" + strconv.Itoa(i) + ":8")}
		}
	}, hosts[0].addr, hosts[1].addr, hosts[2].addr)
	c := p.dial()
	for range 6 {
		send(c, getRoot, nil)
		readN(t, c, hi)
	}
	p.stop()
	for i, h := range hosts {
		want := strings.ReplaceAll("GET / HTTP/1.1\r\nHost: h#:8\r\nX-Host: <h#>\r\n\r\n", "#", strconv.Itoa(i))
		if got := h.seen(1); !slices.Equal(got, []string{want + want}) {
			t.Errorf("host %d got %q\nwant twice %q", i, got, want)
		}
	}
}

// A client's IPv6 address is written without brackets. An IPv4 client's address is written as IPv4 whatever the socket's family.
func TestForwardedIPv6(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 here: %v", err)
	} else {
		l.Close()
	}
	for _, tc := range []struct{ listen, dial, trusted, addr, said string }{
		{"[::1]:0", "::1", "::/1", "::1", "a, ::1"},
		{"[::]:0", "::1", "0.0.0.0/0", "::1", "::1"},
		{"[::]:0", "127.0.0.1", "127.0.0.0/8", "127.0.0.1", "a, 127.0.0.1"},
		{"[::]:0", "127.0.0.1", "::/0", "127.0.0.1", "127.0.0.1"},
	} {
		h := startRecorder(t, hi)
		p := rig{listen: tc.listen}.start(t, func(s *flat) {
			trustedBy(tc.trusted)(s)
			s.Policies.Request = http1test.Headers(t, "X-Addr", "$addr")
		}, h.addr)
		at := netip.MustParseAddrPort(p.addr)
		c, err := net.Dial("tcp", net.JoinHostPort(tc.dial, strconv.Itoa(int(at.Port()))))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(enginetest.Patience))
		send(c, "GET / HTTP/1.1\r\nHost: [::2]:80\r\nX-Forwarded-For: a\r\n\r\n", nil)
		readN(t, c, hi)
		c.Close()
		p.stop()
		want := "GET / HTTP/1.1\r\nHost: [::2]:80\r\nX-Addr: " + tc.addr + "\r\nX-Forwarded-For: " + tc.said + "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: [::2]:80\r\n\r\n"
		if got := h.seen(1); !slices.Equal(got, []string{want}) {
			t.Errorf("%v: the host got %q\nwant %q", tc, got, want)
		}
	}
}
