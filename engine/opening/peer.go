package opening

import (
	"net/netip"

	"kroxy-ev/engine"
	"kroxy-ev/logformat"
)

// Peer is who is at the other end of a client's connection. Codecs keep it, and no copies of its parts. It is small, since idle
// connections have one: what is known of few clients is elsewhere.
type Peer struct {
	// Client is the client's address and port: those of its PROXY header, or those that its connection has. It is not valid if
	// the connection is one of a unix socket and no header told another.
	Client netip.AddrPort
	told   *told // nil if the client told nothing
}

// told is what a client said before its codec read from it.
type told struct {
	tls   logformat.TLS  // if hello; Version is empty if the hello was only looked at
	to    netip.AddrPort // the destination in its PROXY header; not valid if there was none
	hello bool
	h2    bool // ALPN has agreed on HTTP/2
}

// tell returns where to note what the client says.
func (p *Peer) tell() *told {
	if p.told == nil {
		p.told = new(told)
	}
	return p.told
}

// TLS is what the client's hello came to; nil if there was none. If this proxy only looked at it, this has the name in it and no
// more: see Secure. It is not to be changed.
func (p *Peer) TLS() *logformat.TLS {
	if p.told == nil || !p.told.hello {
		return nil
	}
	return &p.told.tls
}

// Name is the name in the client's hello, as it came; nil if there is none, or no hello was read.
func (p *Peer) Name() []byte {
	if t := p.TLS(); t != nil {
		return t.ServerName
	}
	return nil
}

// Secure reports whether the client speaks TLS with this proxy.
func (p *Peer) Secure() bool {
	t := p.TLS()
	return t != nil && t.Version != ""
}

// Protocol is "h2" if that is what ALPN has agreed on with the client (RFC 9113 section 3.2), else "".
func (p *Peer) Protocol() string {
	if p.told == nil || !p.told.h2 {
		return ""
	}
	return protocolHTTP2
}

// protocolHTTP2 is the name of HTTP/2 in ALPN.
const protocolHTTP2 = "h2"

// Local is the address and port that the client connected to: those of its PROXY header, or those of its connection, which must be
// open and costs a system call. They are not valid if that is one of a unix socket.
func (p *Peer) Local(c *engine.Conn) netip.AddrPort {
	if p.told != nil && p.told.to.IsValid() {
		return p.told.to
	}
	return c.LocalAddr()
}
