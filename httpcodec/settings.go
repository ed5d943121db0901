package httpcodec

import (
	"net/netip"
	"time"

	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/policy"
)

// Settings is what an exchange needs of the configuration. It is immutable; a client connection keeps the one it began
// with. A timeout of zero is no bound.
type Settings struct {
	// Group is where requests go.
	Group *upstream.Group
	// Names says, for each host of the group, how requests name it.
	Names []HostName
	// Policies are what is done with every request beside choosing a host.
	Policies policy.Set

	ClientHeaderTimeout time.Duration // from a request's first byte to the end of its head
	ClientBodyTimeout   time.Duration // the client's silence while its body is waited for
	KeepaliveTimeout    time.Duration // between two requests of a client
	SendTimeout         time.Duration // the client takes no bytes
	ProxyReadTimeout    time.Duration // the host's silence while it is waited for
	ProxySendTimeout    time.Duration // the host takes no bytes

	// MaxBodySize bounds a request's body, in bytes; zero is no bound.
	MaxBodySize int64
	// Opening is what comes before a client's first request; nil for nothing.
	Opening *opening.Rules
	// UpstreamHost has Host name the host instead of what the client asked for.
	UpstreamHost bool
	// Forwarded has X-Forwarded-For, -Proto and -Host set, and what clients say of that kind dropped; Trusted are the
	// clients who are believed.
	Forwarded bool
	Trusted   []netip.Prefix
}

// HostName is how a request names a host.
type HostName struct {
	Name      []byte // without port: for $host
	Authority []byte // with the port unless it is the default: for Host
}

// trusts reports whether addr is a trusted proxy.
func (s *Settings) trusts(addr netip.Addr) bool {
	for _, p := range s.Trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
