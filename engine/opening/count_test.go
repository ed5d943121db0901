package opening_test

import (
	"crypto/tls"
	"io"
	"maps"
	"net/netip"
	"testing"
	"time"

	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
)

// Each failed opening is counted once, by its reason, and each successful handshake by its result.
func TestCounts(t *testing.T) {
	t.Parallel()
	server := identity(t)
	sessions := tls.NewLRUClientSessionCache(10)
	handshake := func(version uint16) func(*codec) {
		return func(c *codec) {
			client := tls.Client(c.client, &tls.Config{
				ServerName: "a.test", InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, ClientSessionCache: sessions,
			})
			if _, err := io.WriteString(client, "hello"); err != nil {
				c.t.Error(err)
			}
			_ = client.CloseWrite()
			_, _ = io.Copy(io.Discard, client) // reads a ticket
		}
	}
	send := func(s string) func(*codec) { return func(c *codec) { c.send(s) } }
	leave := func(c *codec) { c.client.Close() }
	end := func(s string) func(*codec) {
		return func(c *codec) {
			c.send(s)
			_ = c.client.CloseWrite()
		}
	}
	soon, patient := 20*time.Millisecond, time.Hour
	header := opening.Rules{Senders: everybody, Timeout: patient}
	peek := opening.Rules{PeekName: true, Timeout: patient}
	secure := opening.Rules{TLS: server}
	table, err := metrics.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	for i, tc := range []struct {
		name  string
		rules opening.Rules
		do    func(*codec)
		want  string // the labels of the counter; empty if nothing is counted
	}{
		{"a header", header, send("PROXY UNKNOWN\r\n"), ""},
		{"a stranger", opening.Rules{Senders: []netip.Prefix{}}, func(*codec) {}, "refused proxy_stranger"},
		{"no header", header, send("GET / HTTP/1.1\r\n\r\n"), "refused proxy_header"},
		{"half a header", header, end("PROXY TCP4"), "refused proxy_header"},
		{"a late header", opening.Rules{Senders: everybody, Timeout: soon}, func(*codec) {}, "refused proxy_timeout"},
		{"nobody", header, leave, "refused silent"},
		{"no hello", peek, send("GET / HTTP/1.1\r\n\r\n"), "refused hello"},
		{"no hello is needed", opening.Rules{PeekName: true, Plain: true, Timeout: patient}, send("GET / HTTP/1.1\r\n\r\n"), ""},
		{"nobody with a hello", peek, leave, "refused silent"},
		{"TLS 1.2", secure, handshake(tls.VersionTLS12), "1.2 no"},
		{"TLS 1.2 again", secure, handshake(tls.VersionTLS12), "1.2 yes"},
		{"TLS 1.3", secure, handshake(tls.VersionTLS13), "1.3 no"},
		{"TLS 1.3 again", secure, handshake(tls.VersionTLS13), "1.3 yes"},
		{"nobody with TLS", secure, leave, "failed silent"},
		{"plain HTTP", secure, send("GET / HTTP/1.1\r\n\r\n"), "failed plain_http"},
		{"half a hello", secure, end("\x16\x03\x01\x02\x00\x01"), "failed cut"},
		{"no TLS", secure, send("SSH-2.0-OpenSSH_9.9\r\n"), "failed failed"},
	} {
		places, _ := table.Assign([]metrics.Series{{Kind: metrics.KindServer, Server: tc.name}})
		row, err := table.Row(i)
		if err != nil {
			t.Fatal(err)
		}
		tc.rules.Place = places[0]
		c := openCounted(t, tc.rules, row)
		tc.do(c)
		if tc.want == "" {
			_ = c.client.CloseWrite()
		}
		c.await()
		if got, want := counts(table.Server(places[0])), map[string]uint64{tc.want: 1}; tc.want != "" && !maps.Equal(got, want) || tc.want == "" && len(got) > 0 {
			t.Errorf("%s: %v is counted, want %q", tc.name, got, tc.want)
		}
	}
}

// counts returns the counts of openings.
func counts(s *metrics.Server) map[string]uint64 {
	m := make(map[string]uint64)
	note := func(what string, n uint64) {
		if n > 0 {
			m[what] += n
		}
	}
	for i, name := range []string{"1.2 no", "1.2 yes", "1.3 no", "1.3 yes"} {
		note(name, s.Handshakes[i].Value())
	}
	for i := range s.HandshakeErrors {
		note("failed "+metrics.HandshakeError(i).String(), s.HandshakeErrors[i].Value())
	}
	for i := range s.Refused {
		note("refused "+metrics.Refusal(i).String(), s.Refused[i].Value())
	}
	return m
}
