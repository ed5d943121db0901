package tlsconn

import (
	"context"
	"crypto/tls"
	"net"
)

// Handshake makes a handshake with the host on conn and returns the connection that speaks TLS; the caller waits for it, until ctx is
// done. It is for what runs beside the loops, such as health checks: conn belongs to none of them. Each handshake is a
// whole one, which goes on with no session. Protocols, if there are any, are offered by ALPN in place of the client's. On an error conn is
// not closed.
func (c *Client) Handshake(ctx context.Context, conn net.Conn, protocols ...string) (*tls.Conn, error) {
	config := c.config.Clone()
	if len(protocols) > 0 {
		config.NextProtos = protocols
	}
	config.ClientSessionCache = nil
	if c.certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate, nil }
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secured, nil
}
