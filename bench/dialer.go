package bench

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
)

// What all TLS connections agree on, whoever makes them: nginx and HAProxy are told so, kroxy-ev chooses so on a CPU that has
// instructions for AES.
const (
	tlsVersion = tls.VersionTLS13
	tlsCipher  = tls.TLS_AES_128_GCM_SHA256
	tlsGroup   = tls.X25519
)

// dialer makes the connections of clients written in Go.
type dialer struct {
	addr   string
	config *tls.Config // nil: no TLS
	resume bool        // all connections resume a session; else none does
	nagle  bool        // see job.Nagle
	http2  bool        // over TLS it must be agreed on, else servers know
}

// dialer returns the dialer of j's clients. When they resume a session, this makes the connection that it comes from.
func (j job) dialer() (dialer, error) {
	d := dialer{addr: j.Addr, nagle: j.Nagle, http2: !j.H2.empty()}
	if !j.TLS {
		return d, nil
	}
	// Clients look at the name and the signature, but not at who has signed the certificate: checkTLS does.
	d.config = clientTLS(nil)
	if d.http2 {
		d.config.NextProtos = []string{http2.NextProtoTLS}
	}
	if !j.Resume {
		return d, nil
	}
	sessions := tls.NewLRUClientSessionCache(1)
	d.config.ClientSessionCache = sessions
	if _, err := j.Exchange.once(d, nil); err != nil {
		return d, fmt.Errorf("getting a session to resume: %w", err)
	}
	if _, ok := sessions.Get(serverName); !ok {
		return d, fmt.Errorf("getting a session to resume: no ticket came")
	}
	d.resume = true
	return d, nil
}

// clientTLS is what a client offers; roots may be nil: then any certificate will do.
func clientTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		ServerName:         serverName,
		MinVersion:         tlsVersion,
		CurvePreferences:   []tls.CurveID{tlsGroup},
		RootCAs:            roots,
		InsecureSkipVerify: roots == nil,
		ClientSessionCache: noSessions{},
	}
}

// noSessions keeps no session. A client without any cache would not ask for tickets: a Go server would not make them then,
// OpenSSL would all the same, and full handshakes would not cost the same.
type noSessions struct{}

// Get finds nothing.
func (noSessions) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put forgets.
func (noSessions) Put(string, *tls.ClientSessionState) {}

// dial makes a connection, ready for data: an *h2Conn, if it is to speak HTTP/2.
func (d dialer) dial() (net.Conn, error) {
	c, err := net.DialTimeout("tcp", d.addr, dialTimeout)
	if t, ok := c.(*net.TCPConn); ok && d.nagle {
		_ = t.SetNoDelay(false)
	}
	if err != nil {
		return nil, err
	}
	if d.config == nil {
		return d.dressed(c), nil
	}
	t := tls.Client(c, d.config)
	_ = t.SetDeadline(time.Now().Add(dialTimeout))
	if err := d.handshake(t); err != nil {
		_ = c.Close()
		return nil, err
	}
	_ = t.SetDeadline(time.Time{})
	return d.dressed(t), nil
}

// dressed returns c as what dial makes of it.
func (d dialer) dressed(c net.Conn) net.Conn {
	if !d.http2 {
		return c
	}
	return &h2Conn{Conn: c, secure: d.config != nil}
}

// handshake does the handshake of c, and checks that it was one of those that are to be measured.
func (d dialer) handshake(c *tls.Conn) error {
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	s := c.ConnectionState()
	if s.DidResume != d.resume {
		return fmt.Errorf("TLS handshake: the session was resumed: %v, want %v", s.DidResume, d.resume)
	}
	if d.http2 && s.NegotiatedProtocol != http2.NextProtoTLS {
		return fmt.Errorf("TLS handshake: the protocol agreed on is %q, but the row wants HTTP/2", s.NegotiatedProtocol)
	}
	return agreed(s.Version, s.CipherSuite, s.CurveID)
}

// agreed is an error when client and server came to other terms than all others.
func agreed(version, cipher uint16, group tls.CurveID) error {
	if version == tlsVersion && cipher == tlsCipher && group == tlsGroup {
		return nil
	}
	return fmt.Errorf("TLS handshake: %s, %s and %s, but the row wants %s, %s and %s",
		tls.VersionName(version), tls.CipherSuiteName(cipher), group, tls.VersionName(tlsVersion), tls.CipherSuiteName(tlsCipher), tlsGroup)
}

// checkTLS makes a connection to t, and checks all there is to its TLS, the certificate included. It asks nothing: hosts that
// are the load answer only while they are.
func checkTLS(t *target) error {
	d := dialer{addr: t.addr, config: clientTLS(t.certificate.roots), http2: t.http2}
	if d.http2 {
		d.config.NextProtos = []string{http2.NextProtoTLS}
	}
	c, err := d.dial()
	if err != nil {
		return fmt.Errorf("bench: before the measurement: %w", err)
	}
	return c.Close()
}
