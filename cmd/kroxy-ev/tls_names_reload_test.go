package main_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
)

// The server name of a handshake stays known for the connection, whether or not the configuration of that time used it. A request on a kept-alive connection
// is routed by the configuration at the time of the request.
func TestTLSNamesAfterReload(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		letter := func(l string) *httpHost {
			return serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, l) })
		}
		s := setup{
			hosts: []endpoint{withName(letter("A").endpoint, "localhost"), letter("B").endpoint}, multi: multi, mode: "http",
			settings: a.issue("localhost").serverSettings(settings{"workers_num": 2, "tls_handshake_timeout": 4 * patience.Milliseconds()}),
		}
		p := start(t, s)
		ask := func(c *tls.Conn, in *bufio.Reader) string {
			t.Helper()
			send(t, c, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
			res, body := reply(t, in, http.MethodGet)
			if res.StatusCode != http.StatusOK {
				return res.Status[:3]
			}
			return body
		}
		names := map[string]string{"localhost": "A", "LocalHost": "A", "unknown.test": "421", "": "421"}
		kept, readers := map[string]*tls.Conn{}, map[string]*bufio.Reader{}
		for name := range names {
			c := lasting(p.dialTLS(askingFor(a.clientConfig(""), name)))
			kept[name], readers[name] = c, bufio.NewReader(c)
			if got := ask(c, readers[name]); got != "A" && got != "B" {
				t.Fatalf("with round_robin a client that asks for %q gets %s", name, got)
			}
		}
		silent := lasting(p.dial()) // its handshake follows after the reload

		for _, algorithm := range []string{"sni", "host", "sni", "round_robin", "sni"} {
			s.algorithm = algorithm
			p.rewrite(s)
			p.mustOrder("reload")
			for name, want := range names {
				got := ask(kept[name], readers[name])
				switch {
				case algorithm == "host":
					want = "B"
				case algorithm == "round_robin" && (got == "A" || got == "B"):
					want = got
				}
				if got != want {
					t.Errorf("after a reload to %s a client that has asked for %q gets %s, want %s", algorithm, name, got, want)
				}
			}
		}
		c := tls.Client(&watched{TCPConn: silent}, askingFor(a.clientConfig(""), "localhost"))
		if got := ask(c, bufio.NewReader(c)); got != "A" {
			t.Errorf("a client whose handshake comes after the reload gets %s, want A", got)
		}
	})
}

// A stream session uses the configuration with which it began, and a later one uses the next.
func TestTLSNamesAfterReloadInStream(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	x, y := listen(t, "127.0.0.1", answer("A")), listen(t, "127.0.0.1", answer("B"))
	s := setup{
		hosts:    []endpoint{withName(x.endpoint, "localhost"), y.endpoint},
		settings: a.issue("localhost").serverSettings(settings{"tls_handshake_timeout": patience.Milliseconds()}),
	}
	p := start(t, s)
	open := p.sockets()
	early := tls.Client(&watched{TCPConn: p.dial()}, askingFor(a.clientConfig(""), "unknown.test"))
	p.awaitSockets(t, "the session has begun", func(n int) bool { return n > open })
	s.algorithm = "sni"
	p.rewrite(s)
	p.mustOrder("reload")
	if got, err := io.ReadAll(early); err != nil || string(got) != "A" && string(got) != "B" {
		t.Errorf("a session from before the reload got %q and error %v", got, err)
	}
	expectWhole(t, p.dialTLS(askingFor(a.clientConfig(""), "localhost")), "A")
	if c, err := p.tryDialTLS(askingFor(a.clientConfig(""), "unknown.test")); err == nil {
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Errorf("a client that asks for a name without a host got %q", got)
		}
	}
}
