package bench

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
)

// All TLS connections use the same parameters, whoever makes them: nginx and HAProxy are configured so, and kroxy-ev chooses them on a CPU with
// AES instructions.
const (
	tlsVersion = tls.VersionTLS13
	tlsCipher  = tls.TLS_AES_128_GCM_SHA256
	tlsGroup   = tls.X25519
)

// dialer makes the connections of clients written in Go.
type dialer struct {
	addr   string
	config *tls.Config // nil: no TLS
	resume bool        // all connections resume a session; otherwise none does
	nagle  bool        // see job.Nagle
	http2  bool        // over TLS, HTTP/2 must be negotiated; otherwise it is used by prior knowledge
}

// dialer returns the dialer of j's clients. If they resume a session, it first makes the connection that the session comes from.
func (j job) dialer() (dialer, error) {
	d := dialer{addr: j.Addr, nagle: j.Nagle, http2: !j.H2.empty()}
	if !j.TLS {
		return d, nil
	}
	// Clients check the name and the signature, but not who signed the certificate: checkTLS does that.
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
		return d, fmt.Errorf("getting a session to resume: no ticket arrived")
	}
	d.resume = true
	return d, nil
}

// clientTLS returns the TLS configuration of a client. If roots is nil, it accepts any certificate.
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

// noSessions caches no sessions. A client without any cache would not ask for tickets: a Go server would then make none, but OpenSSL would, and
// full handshakes would not cost the same.
type noSessions struct{}

// Get returns nothing.
func (noSessions) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put does nothing.
func (noSessions) Put(string, *tls.ClientSessionState) {}

// dial makes a connection that is ready for data: an *h2Conn if it is for HTTP/2.
func (d dialer) dial() (net.Conn, error) {
	c, err := net.DialTimeout("tcp", d.addr, dialTimeout)
	if t, ok := c.(*net.TCPConn); ok && d.nagle {
		_ = t.SetNoDelay(false)
	}
	if err != nil {
		return nil, err
	}
	if d.config == nil {
		return d.withHTTP2(c), nil
	}
	t := tls.Client(c, d.config)
	_ = t.SetDeadline(time.Now().Add(dialTimeout))
	if err := d.handshake(t); err != nil {
		_ = c.Close()
		return nil, err
	}
	_ = t.SetDeadline(time.Time{})
	return d.withHTTP2(t), nil
}

// withHTTP2 wraps c for HTTP/2 if necessary.
func (d dialer) withHTTP2(c net.Conn) net.Conn {
	if !d.http2 {
		return c
	}
	return &h2Conn{Conn: c, secure: d.config != nil}
}

// handshake does the handshake of c, and checks that it is of the kind to be measured.
func (d dialer) handshake(c *tls.Conn) error {
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	s := c.ConnectionState()
	if s.DidResume != d.resume {
		return fmt.Errorf("TLS handshake: the session was resumed: %v, want %v", s.DidResume, d.resume)
	}
	if d.http2 && s.NegotiatedProtocol != http2.NextProtoTLS {
		return fmt.Errorf("TLS handshake: the negotiated protocol is %q, but the row requires HTTP/2", s.NegotiatedProtocol)
	}
	return agreed(s.Version, s.CipherSuite, s.CurveID)
}

// agreed returns an error if client and server negotiated other parameters than the common ones.
func agreed(version, cipher uint16, group tls.CurveID) error {
	if version == tlsVersion && cipher == tlsCipher && group == tlsGroup {
		return nil
	}
	return fmt.Errorf("TLS handshake: %s, %s and %s, but the row requires %s, %s and %s",
		tls.VersionName(version), tls.CipherSuiteName(cipher), group, tls.VersionName(tlsVersion), tls.CipherSuiteName(tlsCipher), tlsGroup)
}

// checkTLS makes a connection to t and checks everything about its TLS, including the certificate. It sends no request: hosts that are the load too
// answer only during a job.
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
