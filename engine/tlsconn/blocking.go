package tlsconn

import (
	"context"
	"crypto/tls"
	"net"
)

// Handshake makes a handshake with the host on conn and returns the connection that speaks TLS; the caller waits for it, until ctx is
// done. It is for what runs beside the loops, such as health checks: conn belongs to none of them. Each handshake is a
// whole one, which goes on with no session. On an error conn is not closed.
func (c *Client) Handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config := c.config.Clone()
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
