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
	// Certificates are chosen from by the name that the client asks for. The first is for those who ask for none, or for
	// one that no certificate has. Those for the same names (one ECDSA, one RSA) are chosen from by what the client can.
	Certificates []KeyPair
	// VerifyClient demands a certificate of the client, which one of ClientCAs (PEM) must have signed; the system's if
	// that is nil.
	VerifyClient bool
	ClientCAs    []byte
	// MinVersion is tls.VersionTLS12, which zero means too, or tls.VersionTLS13.
	MinVersion uint16
	// Protocols are offered by ALPN (RFC 7301).
	Protocols []string
	// TicketKeys are TicketKeySize bytes each. What is kept in session tickets is encrypted with the first, and found with all.
	// They are the same wherever a client may come back to.
	TicketKeys [][]byte
	// HandshakeTimeout bounds a handshake, the wait for its first byte included; zero is no bound.
	HandshakeTimeout time.Duration
	// Signers make what would hold loops up.
	Signers *Signers
}

// Server is how clients are spoken to. It is immutable and shared by all loops.
type Server struct {
	config  *tls.Config
	timeout time.Duration
	signs   bool
}

// Signs reports whether handshakes wait for Signers.
func (s *Server) Signs() bool { return s.signs }

// suites are the ones of TLS 1.2, in no order; those of TLS 1.3 are not to be chosen. All have forward secrecy and
// authenticated encryption.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// NewServer makes a Server. There must be a certificate and a ticket key.
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

// roots are the CAs to trust: those of the PEM text, or the system's, for which nil stands.
func roots(text []byte) (*x509.CertPool, error) {
	if text == nil {
		_, err := x509.SystemCertPool() // reads files: now, and not in the first handshake
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("there is no CA certificate")
	}
	return pool, nil
}

// identity is the certificates for one set of names.
type identity struct {
	names  []string // lower-case, sorted
	certs  []tls.Certificate
	config *tls.Config
}

// parseIdentities puts the certificates together that are for the same names.
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

// certificateNames are the DNS names that a certificate is for, or its common name if it has none.
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

// isSlow reports whether a key of the identity is.
func (i *identity) isSlow() bool {
	return slices.ContainsFunc(i.certs, func(c tls.Certificate) bool { return isSlow(c.PrivateKey) })
}

// configure makes the identity's configuration. It has ticket keys of its own: a session that was begun with one certificate,
// or with the certificate of a client that one set of CAs vouched for, must not be gone on with under another.
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

// choose is tls.Config.GetCertificate. It comes between the key exchange and the signature.
func (i *identity) choose(s *Signers) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert := i.certs[0]
		if len(i.certs) > 1 {
			n := slices.IndexFunc(i.certs, func(c tls.Certificate) bool {
				// Which names it is for has been decided.
				h := *hello
				h.ServerName = ""
				return h.SupportsCertificate(&c) == nil
			})
			cert = i.certs[max(n, 0)]
		}
		hs := handshakeOf(hello.Context())
		cert.PrivateKey = s.signerFor(hs, cert.PrivateKey)
		return &cert, hs.giveWay()
	}
}

// nameIndex finds the configuration for a name.
type nameIndex struct {
	exact    map[string]*tls.Config
	wildcard map[string]*tls.Config // by what follows the first label: ".example.com"
	first    *tls.Config
}

// index lists names; of two identities for the same name the first is taken.
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

// find prefers the exact name; a wildcard stands for one label (RFC 6125 section 6.4.3).
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
	// ServerName is what the host is asked for (SNI, unless it is an address) and what its certificate must be for.
	ServerName string
	// Verify has the host's certificate verified, by CAs (PEM) or the system's if that is nil. Without it anybody may answer.
	Verify bool
	CAs    []byte
	// Certificate is shown to hosts that ask for one; nil for none.
	Certificate *KeyPair
	// Protocols are offered by ALPN.
	Protocols []string
	// Signers make what would hold loops up.
	Signers *Signers
}

// Client is how one host is spoken to. It is immutable but for the session that it goes on with, and shared by all loops.
type Client struct {
	config      *tls.Config
	certificate *tls.Certificate // shown to hosts that ask for one; nil for none
	identity    [sha256.Size]byte
}

// NewClient makes a Client.
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

// Same reports whether a connection that was made by c, both may be nil for none, is as good as one made by d: the same is
// demanded of the host and shown to it.
func (c *Client) Same(d *Client) bool {
	if c == nil || d == nil {
		return c == d
	}
	return bytes.Equal(c.identity[:], d.identity[:])
}
