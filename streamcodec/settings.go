package streamcodec

import (
	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/route"
)

// Settings is what the sessions of one configured server need of the configuration. It is immutable; a session keeps the one that
// it began with.
type Settings struct {
	// Server is the server as it is configured; nil of tunnels. Its plain values are used from here.
	Server *config.Server
	// Place is where the server is counted.
	Place metrics.Place
	// Routes are where connections go, at least one.
	Routes []Route
	// Table finds the route of a connection among Routes; nil if the first takes all.
	Table *route.Table
}

// Route is where a connection goes, and how long each side may be silent (see deadline.go).
type Route struct {
	// Route is the route as it is configured, not nil. Its plain values are used from here.
	*config.Route
	// Place is where the route is counted.
	Place metrics.Place
	// Targets are the groups that share the route's connections, at least one.
	Targets []Target
}

// Target is a group and its share of a route's connections.
type Target struct {
	Group  *upstream.Group
	Weight int // of the sum over all targets; not negative, and not all of a route's are zero
}
