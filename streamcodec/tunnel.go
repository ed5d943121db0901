package streamcodec

import (
	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// Tunnel is what a session needs to take over connections from another codec after a protocol switch.
type Tunnel struct {
	// Client and Host are established connections; the session takes over their sockets.
	Client, Host *engine.Conn
	// Peer describes the client.
	Peer opening.Peer
	// Server and Route are where bytes are counted. Route also has the timeouts. Group is the host's group.
	Server *Settings
	Route  *Route
	Group  *upstream.Group
	// Lease is the host's lease, which the session takes over. Open is the place at which the connection to the host is counted as
	// open, which the session ends.
	Lease *balance.Lease
	Open  metrics.Place
	// Early has bytes that the client has already sent for the host. They are copied.
	Early []byte
	// After is called once when the session has ended, with the reason and the bytes delivered to host and client.
	After func(end logformat.End, up, down int64)
}

// Tunnel begins a session with established connections. No listener counts the session.
func (v *Server) Tunnel(t *Tunnel) {
	s := v.session()
	v.add(s)
	s.peer, s.settings, s.route, s.group, s.open = t.Peer, t.Server, t.Route, t.Group, t.Open
	s.began, s.state, s.after = v.loop.Began(), stateRelay, t.After
	s.up = Half{From: &s.client, To: &s.host}
	s.down = Half{From: &s.host, To: &s.client}
	t.Client.MoveTo(&s.client, s)
	t.Host.MoveTo(&s.host, s)
	s.lease, *t.Lease = *t.Lease, balance.Lease{}
	if len(t.Early) > 0 {
		s.up.hold(v.loop, t.Early)
	}
	s.Connected(nil)
}
