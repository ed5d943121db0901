package opening

import (
	"net/netip"

	"kroxy-ev/engine"
	"kroxy-ev/logformat"
)

// Peer is the other end of a client's connection. Codecs keep the Peer, and no copies of its parts. It is small, because every idle
// connection has one; what only few clients have is in told.
type Peer struct {
	// Client is the client's address and port: those of its PROXY header, or else those of its connection. It is invalid for
	// a connection on a unix socket without a header that says otherwise.
	Client netip.AddrPort
	told   *told // nil if there is none
}

// told is what a client has said before its codec reads from it.
type told struct {
	tls   logformat.TLS  // valid if hello is set; Version is empty if only the hello was read
	to    netip.AddrPort // the destination in its PROXY header; invalid if there was none
	hello bool
	h2    bool // ALPN negotiated HTTP/2
}

// ensureTold returns p.told, and allocates it if necessary.
func (p *Peer) ensureTold() *told {
	if p.told == nil {
		p.told = new(told)
	}
	return p.told
}

// TLS returns the result of the client's hello; nil if there was none. If the proxy has only read the hello, it contains just the
// server name: see Secure. It must not be changed.
func (p *Peer) TLS() *logformat.TLS {
	if p.told == nil || !p.told.hello {
		return nil
	}
	return &p.told.tls
}

// Name returns the server name in the client's hello, as it was sent; nil if there is none, or no hello was read.
func (p *Peer) Name() []byte {
	if t := p.TLS(); t != nil {
		return t.ServerName
	}
	return nil
}

// Secure reports whether the client speaks TLS to this proxy.
func (p *Peer) Secure() bool {
	t := p.TLS()
	return t != nil && t.Version != ""
}

// Protocol returns "h2" if ALPN negotiated it (RFC 9113 section 3.2), otherwise "".
func (p *Peer) Protocol() string {
	if p.told == nil || !p.told.h2 {
		return ""
	}
	return protocolHTTP2
}

// protocolHTTP2 is the ALPN name of HTTP/2.
const protocolHTTP2 = "h2"

// Local returns the address and port that the client connected to: those of its PROXY header, or else those of its connection c, which must
// be open; that costs a system call. The result is invalid for a connection on a unix socket.
func (p *Peer) Local(c *engine.Conn) netip.AddrPort {
	if p.told != nil && p.told.to.IsValid() {
		return p.told.to
	}
	return c.LocalAddr()
}
