package tlsconn

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// KeyPair is a certificate chain and its private key, both in PEM.
type KeyPair struct{ Cert, Key []byte }

// TicketKeySize is the length of a ticket key in bytes.
const TicketKeySize = 32

// ServerOptions configures a Server.
type ServerOptions struct {
	// Certificates are chosen by the name that the client asks for. The first is the default, for clients that ask for no name or for
	// one that no certificate has. Among those for the same names (one ECDSA, one RSA) the client's capabilities decide.
	Certificates []KeyPair
	// VerifyClient requires a certificate from the client, signed by one of ClientCAs (PEM), or by one of the system's CAs if
	// ClientCAs is nil.
	VerifyClient bool
	ClientCAs    []byte
	// MinVersion is tls.VersionTLS12 (the default) or tls.VersionTLS13.
	MinVersion uint16
	// Protocols are offered by ALPN (RFC 7301).
	Protocols []string
	// TicketKeys have TicketKeySize bytes each. Session tickets are encrypted with the first, and accepted with all.
	// All processes that a client may come back to must have the same keys.
	TicketKeys [][]byte
	// HandshakeTimeout bounds a handshake, including the wait for its first byte; zero means no bound.
	HandshakeTimeout time.Duration
	// Signers makes the signatures that would block a loop.
	Signers *Signers
}

// Server holds the TLS settings for clients. It is immutable and shared by all loops.
type Server struct {
	config  *tls.Config
	timeout time.Duration
	signs   bool
}

// Signs reports whether handshakes may have to wait for Signers.
func (s *Server) Signs() bool { return s.signs }

// suites are the cipher suites for TLS 1.2, in no particular order; those of TLS 1.3 cannot be configured. All have forward secrecy and
// authenticated encryption.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// NewServer returns a Server. o must have a certificate and a ticket key.
func NewServer(o ServerOptions) (*Server, error) {
	if len(o.Certificates) == 0 || len(o.TicketKeys) == 0 {
		return nil, errors.New("tls: a server needs a certificate and a ticket key")
	}
	base := &tls.Config{
		MinVersion:                  max(o.MinVersion, tls.VersionTLS12),
		CipherSuites:                suites,
		NextProtos:                  o.Protocols,
		DynamicRecordSizingDisabled: true, // layer.encrypt decides
	}
	if o.VerifyClient {
		var err error
		base.ClientAuth = tls.RequireAndVerifyClientCert
		if base.ClientCAs, err = roots(o.ClientCAs); err != nil {
			return nil, fmt.Errorf("tls: while reading the CAs of clients: %w", err)
		}
	}
	identities, err := parseIdentities(o.Certificates)
	if err != nil {
		return nil, err
	}
	for _, i := range identities {
		if err := i.configure(base, &o); err != nil {
			return nil, err
		}
	}
	s := &Server{config: identities[0].config, timeout: o.HandshakeTimeout}
	s.signs = slices.ContainsFunc(identities, (*identity).isSlow)
	if len(identities) > 1 {
		byName := index(identities)
		s.config = s.config.Clone()
		s.config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return byName.find(hello.ServerName), nil
		}
	}
	return s, nil
}

// roots returns the CAs of the PEM text, or, if text is nil, nil for the system's.
func roots(text []byte) (*x509.CertPool, error) {
	if text == nil {
		_, err := x509.SystemCertPool() // reads files now, and not in the first handshake
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("there is no CA certificate")
	}
	return pool, nil
}

// identity holds the certificates for one set of names.
type identity struct {
	names  []string // lower-case, sorted
	certs  []tls.Certificate
	config *tls.Config
}

// parseIdentities groups the certificates by their names.
func parseIdentities(pairs []KeyPair) ([]*identity, error) {
	var list []*identity
	for i, p := range pairs {
		cert, err := tls.X509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: while reading certificate %d: %w", i+1, err)
		}
		names := certificateNames(cert.Leaf)
		same := slices.IndexFunc(list, func(other *identity) bool { return slices.Equal(other.names, names) })
		if same < 0 {
			same = len(list)
			list = append(list, &identity{names: names})
		}
		list[same].certs = append(list[same].certs, cert)
	}
	return list, nil
}

// certificateNames returns the DNS names of a certificate, or its common name if it has none.
func certificateNames(leaf *x509.Certificate) []string {
	names := leaf.DNSNames
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{leaf.Subject.CommonName}
	}
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
	}
	slices.Sort(lower)
	return slices.Compact(lower)
}

// isSlow reports whether one of the identity's keys is slow.
func (i *identity) isSlow() bool {
	return slices.ContainsFunc(i.certs, func(c tls.Certificate) bool { return isSlow(c.PrivateKey) })
}

// configure sets the identity's tls.Config. Each identity has its own ticket keys: a session that began with one certificate,
// or with a client certificate that one set of CAs has verified, must not be resumed under another.
func (i *identity) configure(base *tls.Config, o *ServerOptions) error {
	i.config = base.Clone()
	i.config.GetCertificate = i.choose(o.Signers)
	digest := sha256.New()
	for _, c := range i.certs {
		digest.Write(c.Leaf.Raw)
	}
	if o.VerifyClient {
		fmt.Fprintf(digest, "clients of %d %s", len(o.ClientCAs), o.ClientCAs)
	}
	keys := make([][TicketKeySize]byte, len(o.TicketKeys))
	for n, secret := range o.TicketKeys {
		key, err := hkdf.Key(sha256.New, secret, nil, "kroxy-ev session tickets "+string(digest.Sum(nil)), TicketKeySize)
		if err != nil {
			return fmt.Errorf("tls: while deriving a ticket key: %w", err)
		}
		copy(keys[n][:], key)
	}
	i.config.SetSessionTicketKeys(keys)
	return nil
}

// choose returns a tls.Config.GetCertificate. crypto/tls calls it between the key exchange and the signature.
func (i *identity) choose(s *Signers) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert := i.certs[0]
		if len(i.certs) > 1 {
			n := slices.IndexFunc(i.certs, func(c tls.Certificate) bool {
				// The names have been matched already.
				h := *hello
				h.ServerName = ""
				return h.SupportsCertificate(&c) == nil
			})
			cert = i.certs[max(n, 0)]
		}
		hs := handshakeOf(hello.Context())
		cert.PrivateKey = s.signerFor(hs, cert.PrivateKey)
		return &cert, hs.yieldTurn()
	}
}

// nameIndex maps names to configurations.
type nameIndex struct {
	exact    map[string]*tls.Config
	wildcard map[string]*tls.Config // by what follows the "*": ".example.com"
	first    *tls.Config
}

// index builds a nameIndex; if two identities have the same name, the first wins.
func index(list []*identity) *nameIndex {
	x := &nameIndex{exact: map[string]*tls.Config{}, wildcard: map[string]*tls.Config{}, first: list[0].config}
	for _, i := range list {
		for _, name := range i.names {
			where := x.exact
			if rest, ok := strings.CutPrefix(name, "*"); ok {
				where, name = x.wildcard, rest
			}
			if where[name] == nil {
				where[name] = i.config
			}
		}
	}
	return x
}

// find prefers an exact match; a wildcard matches one label (RFC 6125 section 6.4.3).
func (x *nameIndex) find(name string) *tls.Config {
	name = strings.ToLower(name)
	if c := x.exact[name]; c != nil {
		return c
	}
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		if c := x.wildcard[name[dot:]]; c != nil {
			return c
		}
	}
	return x.first
}

// ClientOptions configures a Client.
type ClientOptions struct {
	// ServerName is sent as SNI, unless it is an IP address, and the host's certificate must be valid for it.
	ServerName string
	// Verify enables verification of the host's certificate, by CAs (PEM), or by the system's if CAs is nil. Without it, any server is accepted.
	Verify bool
	CAs    []byte
	// Certificate is presented to hosts that request one; nil for none.
	Certificate *KeyPair
	// Protocols are offered by ALPN.
	Protocols []string
	// Signers makes the signatures that would block a loop.
	Signers *Signers
}

// Client holds the TLS settings for one host. It is immutable except for its cached session, and shared by all loops.
type Client struct {
	config      *tls.Config
	certificate *tls.Certificate // presented to hosts that request one; nil for none
	identity    [sha256.Size]byte
}

// NewClient returns a Client.
func NewClient(o ClientOptions) (*Client, error) {
	c := &Client{config: &tls.Config{
		ServerName:                  o.ServerName,
		InsecureSkipVerify:          !o.Verify,
		NextProtos:                  o.Protocols,
		ClientSessionCache:          tls.NewLRUClientSessionCache(1),
		DynamicRecordSizingDisabled: true,
	}}
	digest := sha256.New()
	fmt.Fprintf(digest, "%q %v %v %q %q", o.ServerName, o.Verify, o.CAs == nil, o.CAs, o.Protocols)
	if o.Verify {
		var err error
		if c.config.RootCAs, err = roots(o.CAs); err != nil {
			return nil, fmt.Errorf("tls: while reading the CAs of hosts: %w", err)
		}
	}
	if o.Certificate != nil {
		cert, err := tls.X509KeyPair(o.Certificate.Cert, o.Certificate.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: while reading the certificate for hosts: %w", err)
		}
		fmt.Fprintf(digest, "%q", o.Certificate.Cert)
		c.certificate = &cert
		c.config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			own := cert
			own.PrivateKey = o.Signers.signerFor(handshakeOf(r.Context()), own.PrivateKey)
			return &own, nil
		}
	}
	digest.Sum(c.identity[:0])
	return c, nil
}

// Same reports whether connections made by c and by d are interchangeable: both require and present the same. Either may
// be nil, which means no TLS.
func (c *Client) Same(d *Client) bool {
	if c == nil || d == nil {
		return c == d
	}
	return bytes.Equal(c.identity[:], d.identity[:])
}
