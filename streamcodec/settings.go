package streamcodec

import (
	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/route"
)

// Settings is the part of the configuration that the sessions of one configured server need. It is immutable. A session keeps
// the Settings with which it began.
type Settings struct {
	// Server is the server as configured; nil for tunnels. Its plain values are read from here.
	Server *config.Server
	// Place is where the server is counted.
	Place metrics.Place
	// Routes has at least one route.
	Routes []Route
	// Table finds a connection's route among Routes. It is nil if the first route matches every connection.
	Table *route.Table
}

// Route says where a connection goes, and how long each side may be silent (see deadline.go).
type Route struct {
	// Route is the route as configured; it is not nil. Its plain values are read from here.
	*config.Route
	// Place is where the route is counted.
	Place metrics.Place
	// Targets are the groups among which the route's connections are split; at least one.
	Targets []Target
}

// Target is a group and its share of a route's connections.
type Target struct {
	Group  *upstream.Group
	Weight int // share of the sum over all targets; not negative, and not zero for all targets of a route
}
