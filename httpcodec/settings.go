package httpcodec

import (
	"net/netip"

	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/h2conn"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/httpcodec/route"
)

// Settings is what the exchanges of one configured server need of the configuration. It is immutable; a client connection keeps the
// one that its last request began with. A timeout of zero is no bound.
type Settings struct {
	// Server is the server as it is configured. Its plain values are used from here; what was made of its routes is below.
	Server config.Server
	// Place is where the server is counted.
	Place metrics.Place
	// HTTP2 bounds its clients' connections in HTTP/2.
	HTTP2 h2conn.Limits
	// Routes are where requests go, at least one. What no route has to say is what Unrouted says: before the head of a
	// request is there, and if no route takes it. That has no targets.
	Routes   []Route
	Unrouted Route
	// Table finds the route of a request among Routes; nil if the first takes all.
	Table *route.Table
}

// Route is where a request goes, and what is done with it on its way.
type Route struct {
	// Route is the route as it is configured, not nil. Its plain values are used from here; the rest was compiled to what is below.
	*config.Route
	// Place is where the route is counted.
	Place metrics.Place
	// Targets are the groups that share the route's requests.
	Targets []Target
	// Policies are what is done with every request beside choosing a host.
	Policies policy.Set
}

// Target is a group and its share of a route's requests.
type Target struct {
	Group *upstream.Group
	// Names says, for each host of the group, how requests name it.
	Names []HostName
	// Retry says which requests are sent once more, to another host; of its Attempts and Budget the group knows.
	Retry config.Retry
	// Sticky keeps clients with the host that they had; nil for none.
	Sticky *Sticky
	// Errors are the statuses of responses by which a host has failed.
	Errors config.Statuses
	Weight int // of the sum over all targets; not negative, and not all of a route's are zero
}

// HostName is how a request names a host.
type HostName struct {
	Name      []byte // without port: for $host
	Authority []byte // with the port unless it is the default: for Host
}

// trusts reports whether addr is a trusted proxy.
func (s *Settings) trusts(addr netip.Addr) bool {
	for _, p := range s.Server.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
