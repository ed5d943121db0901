package proxy

import (
	"crypto/rand"
	"crypto/tls"

	"kroxy-ev/config"
	"kroxy-ev/engine/tlsconn"
)

// tlsServer makes the TLS server of a configured server; nil if it has no TLS.
func (p *Proxy) tlsServer(cfg *config.Config, from *config.Server, t Tickets) (*tlsconn.Server, error) {
	if !from.TLS.Enabled {
		return nil, nil
	}
	o := tlsconn.ServerOptions{
		VerifyClient:     from.TLS.VerifyClient,
		ClientCAs:        from.TLS.ClientCA,
		MinVersion:       tls.VersionTLS12,
		Protocols:        protocols(from.Mode, "http/1.1", "http/1.0"),
		TicketKeys:       t,
		HandshakeTimeout: from.TLSHandshakeTimeout,
		Signers:          p.signers,
	}
	if from.TLS.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	for _, pair := range from.TLS.Certificates {
		o.Certificates = append(o.Certificates, tlsconn.KeyPair{Cert: pair.Cert, Key: pair.Key})
	}
	s, err := tlsconn.NewServer(o)
	if err != nil {
		return nil, serverProblem(cfg, from, "tls_enabled", err.Error(), "correct the certificates")
	}
	return s, nil
}

// tlsClient makes the TLS client for a host of a group; nil for plain TCP.
func (m *groupMaker) tlsClient(cfg *config.Config, use groupUse, h config.Host) (*tlsconn.Client, error) {
	set := &use.group.ProxyTLS
	if !set.Enabled {
		return nil, nil
	}
	o := tlsconn.ClientOptions{
		ServerName: h.Called(),
		Verify:     set.Verify,
		CAs:        set.CA,
		Protocols:  protocols(use.mode, "http/1.1"),
		Signers:    m.signers,
	}
	if set.ServerName != "" {
		o.ServerName = set.ServerName
	}
	if set.KeyPair.Cert != nil {
		o.Certificate = &tlsconn.KeyPair{Cert: set.KeyPair.Cert, Key: set.KeyPair.Key}
	}
	c, err := tlsconn.NewClient(o)
	if err != nil {
		return nil, ProblemAt(cfg, use.group.Path+".proxy_tls_enabled", err.Error(), "correct the certificates")
	}
	return c, nil
}

// protocols returns what ALPN offers: nothing in stream mode, where the protocol is unknown.
func protocols(mode config.Mode, http ...string) []string {
	if mode == config.ModeHTTP {
		return http
	}
	return nil
}

// Tickets are the keys of session tickets, the newest first. All processes of a proxy have the same, so that a client can resume its
// session in any of them, also after reloads and upgrades. They are never written to a disk.
type Tickets [][]byte

// keptTickets is the number of keys: a ticket stays valid for one rotation less.
const keptTickets = 3

// Rotated puts a new key before those of t, and forgets the oldest.
func (t Tickets) Rotated() Tickets {
	key := make([]byte, tlsconn.TicketKeySize)
	_, _ = rand.Read(key) // never fails
	return append(Tickets{key}, t[:min(len(t), keptTickets-1)]...)
}
