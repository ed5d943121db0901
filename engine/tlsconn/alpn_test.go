package tlsconn_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"kroxy-ev/engine/tlsconn"
)

// versions maps names to TLS versions.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// The first protocol of the server that the client also has is used. A client without a common one gets an alert.
func TestALPNWithClients(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	key := ca.issue(t, ecdsaKey(t), "a.test")
	for name, test := range map[string]struct {
		server, client []string
		want           string
		refused        bool
	}{
		"both":                         {[]string{"h2", "http/1.1"}, []string{"http/1.1", "h2"}, "h2", false},
		"the server's preference":      {[]string{"http/1.1", "h2"}, []string{"h2", "http/1.1"}, "http/1.1", false},
		"an older client":              {[]string{"h2", "http/1.1", "http/1.0"}, []string{"http/1.1"}, "http/1.1", false},
		"a client without ALPN":        {[]string{"h2", "http/1.1"}, nil, "", false},
		"a server without ALPN":        {nil, []string{"h2", "http/1.1"}, "", false},
		"nothing in common":            {[]string{"http/1.1"}, []string{"h2"}, "", true},
		"HTTP/1.1 where there is none": {[]string{"h2"}, []string{"http/1.1"}, "", false}, // crypto/tls continues as if there were no ALPN
	} {
		for version, id := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				e := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{key}, Protocols: test.server})
				c := tls.Client(e.dial(t), &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", MaxVersion: id, NextProtos: test.client})
				if test.refused {
					if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
						t.Errorf("the client is told %v", err)
					}
					if err := e.refused(t); !strings.Contains(err.Error(), `["h2"]`) {
						t.Errorf("the server says %v", err)
					}
					return
				}
				exchange(t, c, 100)
				s := c.ConnectionState()
				e.secured(t, tlsconn.State{Version: "TLS " + version, Cipher: tls.CipherSuiteName(s.CipherSuite), ServerName: []byte("a.test"), Protocol: test.want})
				if s.NegotiatedProtocol != test.want {
					t.Errorf("the client speaks %q, want %q", s.NegotiatedProtocol, test.want)
				}
			})
		}
	}
}

// A resumed session uses the protocol that the new handshake negotiates, not the original one, even if it is resumed at
// another listener that has the same certificate and offers other protocols.
func TestALPNOfResumedSessions(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	key := ca.issue(t, ecdsaKey(t), "a.test")
	two, one := []string{"h2", "http/1.1"}, []string{"http/1.1"}
	for version, id := range versions {
		t.Run("clients "+version, func(t *testing.T) {
			t.Parallel()
			both := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{key}, Protocols: two})
			older := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{key}, Protocols: one})
			cache := tls.NewLRUClientSessionCache(1)
			for i, step := range []struct {
				at     *echoServer
				client []string
				want   string
			}{{both, two, "h2"}, {both, one, "http/1.1"}, {both, two, "h2"}, {older, two, "http/1.1"}, {older, nil, ""}, {both, two, "h2"}} {
				c := tls.Client(step.at.dial(t), &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", MaxVersion: id, NextProtos: step.client, ClientSessionCache: cache})
				exchange(t, c, 100)
				s := c.ConnectionState()
				if s.DidResume != (i > 0) || s.NegotiatedProtocol != step.want {
					t.Errorf("step %d: resumed %v, the client speaks %q, want %q", i, s.DidResume, s.NegotiatedProtocol, step.want)
				}
				step.at.secured(t, tlsconn.State{Version: "TLS " + version, Cipher: tls.CipherSuiteName(s.CipherSuite), ServerName: []byte("a.test"), Protocol: step.want})
			}
		})
		t.Run("hosts "+version, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, tlsconn.ClientOptions{ServerName: "a.test", Protocols: two})
			for i, step := range []struct {
				host []string
				want string
			}{{two, "h2"}, {one, "http/1.1"}, {nil, ""}, {two, "h2"}} {
				host := hostOf(t, key)
				host.MaxVersion, host.NextProtos = id, step.host
				host.SetSessionTicketKeys([][32]byte{{}})
				s, err := connectBy(t, client, host, "", i%2 == 0)
				if err != nil {
					t.Fatal(err)
				}
				if s.Protocol != step.want || s.Resumed != (i > 0) {
					t.Errorf("step %d: resumed %v, %q is spoken, want %q", i, s.Resumed, s.Protocol, step.want)
				}
			}
		})
	}
}

// A host that has none of the protocols is not used.
func TestALPNWithHosts(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	key := ca.issue(t, ecdsaKey(t), "a.test")
	for version, id := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			host := hostOf(t, key)
			host.MaxVersion, host.NextProtos = id, []string{"http/1.1"}
			s, err := connectBy(t, newClient(t, tlsconn.ClientOptions{ServerName: "a.test", Protocols: []string{"h2"}}), host, "", false)
			if err == nil || !strings.Contains(err.Error(), "no application protocol") {
				t.Errorf("got %+v and %v", s, err)
			}
		})
	}
}

// hostOf returns a host's TLS configuration with a certificate.
func hostOf(t *testing.T, key tlsconn.KeyPair) *tls.Config {
	t.Helper()
	cert, err := tls.X509KeyPair(key.Cert, key.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}
