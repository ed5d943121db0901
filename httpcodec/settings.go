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

// Settings is the part of the configuration that the exchanges of one configured server need. It is immutable. A client
// connection keeps the Settings with which its last request began. A timeout of zero means no limit.
type Settings struct {
	// Server is the server as configured. Its plain values are read from here; its routes are compiled into the fields below.
	Server config.Server
	// Place is where the server is counted.
	Place metrics.Place
	// HTTP2 limits what the server's clients may do on HTTP/2 connections.
	HTTP2 h2conn.Limits
	// Routes has at least one route. Unrouted supplies the settings while no route applies: before the request head has been parsed,
	// and if no route matches. It has no targets.
	Routes   []Route
	Unrouted Route
	// Table finds a request's route among Routes. It is nil if the first route matches every request.
	Table *route.Table
}

// Route says where a request goes and how it is modified on the way.
type Route struct {
	// Route is the route as configured; it is not nil. Its plain values are read from here; the rest is compiled into the fields below.
	*config.Route
	// Place is where the route is counted.
	Place metrics.Place
	// Targets are the groups among which the route's requests are split.
	Targets []Target
	// Policies are applied to every request, besides choosing a host.
	Policies policy.Set
}

// Target is a group and its share of a route's requests.
type Target struct {
	Group *upstream.Group
	// Names has, for each host of the group, the name that requests to it carry.
	Names []HostName
	// Retry says which requests are retried on another host. The group itself knows its Attempts and Budget.
	Retry config.Retry
	// Sticky keeps clients with the host they had before. It is nil if the group is not sticky.
	Sticky *Sticky
	// Errors are the response statuses that count as failures of the host.
	Errors config.Statuses
	Weight int // share of the sum over all targets; not negative, and not zero for all targets of a route
}

// HostName is how a request names a host.
type HostName struct {
	Name      []byte // without port, for $host
	Authority []byte // with the port unless it is the default, for the Host field
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
