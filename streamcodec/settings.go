package streamcodec

import (
	"time"

	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/route"
)

// Settings is what the sessions of one configured server need of the configuration. It is immutable; a session keeps the one that
// it began with.
type Settings struct {
	// Name is what logs call the server.
	Name string
	// Routes are where connections go, at least one.
	Routes []Route
	// Table finds the route of a connection among Routes; nil if the first takes all.
	Table *route.Table
}

// Route is where a connection goes, and how long each side may be silent.
type Route struct {
	Name string
	// Targets are the groups that share the route's connections, at least one.
	Targets []Target
	// ReadTimeout bounds the silence of a client that is waited for, SendTimeout the time in which it takes no byte;
	// ProxyReadTimeout and ProxySendTimeout are the same for a host. Zero is no bound. See deadline.go.
	ReadTimeout, SendTimeout, ProxyReadTimeout, ProxySendTimeout time.Duration
}

// Target is a group and its share of a route's connections.
type Target struct {
	Group  *upstream.Group
	Weight int // of the sum over all targets; not negative, and not all of a route's are zero
}
