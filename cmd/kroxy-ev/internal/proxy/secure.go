package proxy

import (
	"crypto/rand"
	"crypto/tls"

	"kroxy-ev/config"
	"kroxy-ev/engine/tlsconn"
)

// tlsServers are the TLS servers of a configured server, by what its listeners offer by ALPN. They share certificates and ticket keys.
type tlsServers map[string]*tlsconn.Server

// of returns the TLS server for clients of l; nil for plain TCP.
func (s tlsServers) of(l *config.Listen) *tlsconn.Server {
	if !l.TLS {
		return nil
	}
	return s[offerID(l)]
}

// tlsServers makes the TLS servers of a configured server.
func (p *Proxy) tlsServers(cfg *config.Config, from *config.Server, t Tickets) (tlsServers, error) {
	made := make(tlsServers)
	for i := range from.Listen {
		l := &from.Listen[i]
		if !l.TLS || made.of(l) != nil {
			continue
		}
		s, err := p.tlsServer(from, offer(l), t)
		if err != nil {
			return nil, cfg.KeyError(from, "tls_enabled", err.Error(), "correct the certificates")
		}
		p.makeRoom(s)
		made[offerID(l)] = s
	}
	return made, nil
}

// tlsServer makes a TLS server of a configured server that offers these protocols.
func (p *Proxy) tlsServer(from *config.Server, protocols []string, t Tickets) (*tlsconn.Server, error) {
	o := tlsconn.ServerOptions{
		VerifyClient:     from.TLS.VerifyClient,
		ClientCAs:        from.TLS.ClientCA,
		MinVersion:       tls.VersionTLS12,
		Protocols:        protocols,
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
	return tlsconn.NewServer(o)
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
		Protocols:  hostOffer(use),
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
		return nil, cfg.ErrorAt(use.group.Path+".proxy_tls_enabled", err.Error(), "correct the certificates")
	}
	return c, nil
}

// Tickets are the session ticket keys, the newest first. All processes of a proxy have the same keys, so that a client can resume its session
// in any of them, and after reloads and upgrades. The keys are never written to a disk.
type Tickets [][]byte

// keptTickets is the number of keys: a ticket stays valid for one rotation less.
const keptTickets = 3

// Rotated returns t with a new key in front and without the oldest one.
func (t Tickets) Rotated() Tickets {
	key := make([]byte, tlsconn.TicketKeySize)
	_, _ = rand.Read(key) // never fails
	return append(Tickets{key}, t[:min(len(t), keptTickets-1)]...)
}
