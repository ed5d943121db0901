package tlsconn

import (
	"context"
	"crypto/tls"
	"net"
)

// Handshake makes a handshake with the host on conn and returns the TLS connection. It blocks until the handshake is done or ctx
// is. It is for code that runs beside the loops, such as health checks; conn must not belong to a loop. Each handshake is a
// full one, without session resumption. protocols, if any, are offered by ALPN instead of the client's. On an error conn is
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
