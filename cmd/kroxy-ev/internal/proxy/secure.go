package proxy

import (
	"crypto/rand"
	"crypto/tls"

	"kroxy-ev/config"
	"kroxy-ev/engine/tlsconn"
)

// tlsServer is how clients of a server that come by TLS are spoken to; nil if none do.
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

// tlsClient is how a host of a group is spoken to; nil for plain TCP.
func (p *Proxy) tlsClient(cfg *config.Config, use groupUse, h config.Host) (*tlsconn.Client, error) {
	set := &use.group.ProxyTLS
	if !set.Enabled {
		return nil, nil
	}
	o := tlsconn.ClientOptions{
		ServerName: h.Called(),
		Verify:     set.Verify,
		CAs:        set.CA,
		Protocols:  protocols(use.mode, "http/1.1"),
		Signers:    p.signers,
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

// protocols are what is offered by ALPN: in stream mode nobody here knows what will be spoken.
func protocols(mode config.Mode, http ...string) []string {
	if mode == config.ModeHTTP {
		return http
	}
	return nil
}

// Tickets are the keys of session tickets, the newest first. All processes of a proxy have the same, so that a client may go on
// with its session in any of them, and over reloads and upgrades. They are never written to a disk.
type Tickets [][]byte

// keptTickets is how many keys there are: a ticket is good for as many rotations less one.
const keptTickets = 3

// Rotated puts a new key before those of t, and forgets the oldest.
func (t Tickets) Rotated() Tickets {
	key := make([]byte, tlsconn.TicketKeySize)
	_, _ = rand.Read(key) // never fails
	return append(Tickets{key}, t[:min(len(t), keptTickets-1)]...)
}
