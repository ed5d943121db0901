package httpcodec

import (
	"crypto/tls"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/tlsconn"
)

// secured returns options for clients that use TLS and the given protocols.
func secured(t testing.TB, protocols ...string) *tlsconn.Server {
	t.Helper()
	cert, key := enginetest.SelfSigned(t)
	s, err := tlsconn.NewServer(tlsconn.ServerOptions{
		Certificates: []tlsconn.KeyPair{{Cert: cert, Key: key}},
		TicketKeys:   [][]byte{make([]byte, tlsconn.TicketKeySize)},
		Protocols:    protocols,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const proxyHeader = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"

// HTTP/2 can follow the same things as HTTP/1: a PROXY header, TLS, both, or nothing. Each request knows about them.
func TestHTTP2Openings(t *testing.T) {
	t.Parallel()
	everybody := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	for _, tc := range []struct {
		name   string
		rules  *opening.Rules // nil for none
		first  string         // what precedes TLS or the preface
		secure bool
		want   string // of X-Forwarded-For and X-Forwarded-Proto
	}{
		{"nothing", nil, "", false, "127.0.0.1 http"},
		{"a PROXY header", &opening.Rules{Senders: everybody}, proxyHeader, false, "192.0.2.7 http"},
		{"TLS", &opening.Rules{TLS: secured(t, "h2", "http/1.1")}, "", true, "127.0.0.1 https"},
		{"a PROXY header and TLS", &opening.Rules{TLS: secured(t, "h2", "http/1.1"), Senders: everybody}, proxyHeader, true, "192.0.2.7 https"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, always+hi)
			o := EntryOptions{Protocols: HTTP1 | H2C, Opening: tc.rules}
			if tc.secure {
				o.Protocols = HTTP1 | HTTP2
			}
			l := rig{opts: o}.startLogged(t, `$client_addr $protocol $scheme $tls_version $processing_time $status`, func(s *flat) { s.Server.ForwardedHeaders = true }, h.addr)
			c := l.dial()
			var w *wire
			if tc.secure {
				send(c, tc.first, nil)
				s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13})
				w = newWire(t, s)
			} else {
				w = newWireBehind(t, c, tc.first)
			}
			for id := uint32(1); id <= 5; id += 2 {
				w.ask(id, true, "GET", "/")
				if got := w.get(id); got != h2hi {
					t.Errorf("stream %d got %s", id, got)
				}
			}
			l.stop()
			address, proto, _ := strings.Cut(tc.want, " ")
			one := "GET / HTTP/1.1\r\nhost: p\r\nX-Forwarded-For: " + address + "\r\nX-Forwarded-Proto: " + proto + "\r\nX-Forwarded-Host: p\r\n\r\n"
			if got := h.seen(1); !slices.Equal(got, []string{one + one + one}) {
				t.Errorf("the host got %q\nwant thrice %q", got, one)
			}
			version := "-"
			if tc.secure {
				version = "TLS 1.3"
			}
			line := address + " HTTP/2.0 " + proto + " " + version + " 200"
			if got, _ := l.lines(t); !slices.Equal(got, []string{line, line, line}) {
				t.Errorf("logged %q\nwant thrice %q", got, line)
			}
		})
	}
}

// TLS clients speak what ALPN has agreed on. Without ALPN they speak HTTP/1 if that is served, and otherwise HTTP/2.
func TestHTTP2ByALPN(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		served          Protocols
		offered, offers []string
		speaks          string
		want            string // the beginning of what is received
	}{
		{"h2", HTTP1 | HTTP2, []string{"h2", "http/1.1"}, []string{"h2", "http/1.1"}, "h2", "\x00\x00"},
		{"http/1.1", HTTP1 | HTTP2, []string{"h2", "http/1.1"}, []string{"http/1.1"}, "http/1.1", "HTTP/1.1 200 "},
		{"no ALPN", HTTP1 | HTTP2, []string{"h2", "http/1.1"}, nil, "http/1.1", "HTTP/1.1 200 "},
		{"no ALPN, and a preface", HTTP1 | HTTP2, []string{"h2", "http/1.1"}, nil, "h2", "HTTP/1.1 505 "},
		{"no ALPN where only h2 is", HTTP2, []string{"h2"}, nil, "h2", "\x00\x00"},
		{"http/1.1 where h2 was agreed on", HTTP1 | HTTP2, []string{"h2"}, []string{"h2"}, "http/1.1", "\x00\x00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, always+hi)
			p := rig{opts: EntryOptions{Protocols: tc.served, Opening: &opening.Rules{TLS: secured(t, tc.offered...)}}}.start(t, nil, h.addr)
			c := tls.Client(p.dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: tc.offers})
			in := getRoot
			if tc.speaks == "h2" {
				in = xhttp2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
			}
			send(c, in, nil)
			got := make([]byte, len(tc.want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
