package streamcodec

import (
	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// Tunnel is what a session needs to begin with connections that another codec has made: after a protocol switch.
type Tunnel struct {
	// Client and Host stand; the session takes their sockets over.
	Client, Host *engine.Conn
	// Peer is who the client is.
	Peer opening.Peer
	// Server and Route are where bytes are counted. Route says how long either may be silent too, and Group is the host's.
	Server *Settings
	Route  *Route
	Group  *upstream.Group
	// Lease is the host's, which the session takes over, as it does the connection that is counted as open at a place.
	Lease *balance.Lease
	Open  metrics.Place
	// Early is what the client has sent to the host already. It is copied.
	Early []byte
	// After is called once when the session has ended, with why and the bytes delivered to host and client.
	After func(end logformat.End, up, down int64)
}

// Tunnel begins a session with connections that stand. The session is in no listener's count.
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
