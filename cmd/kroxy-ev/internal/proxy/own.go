package proxy

import (
	"net/netip"
	"slices"

	"kroxy-ev/config"
	"kroxy-ev/engine/upstream"
)

// ownAddresses are the addresses of this proxy's own listeners that servers of each mode must not connect to. HTTP servers must not connect to
// any of them. Stream servers may connect to those of HTTP servers, where passed-through TLS can end: HTTP servers connect to none, so there
// is no loop.
type ownAddresses struct{ http, stream *upstream.Self }

func newOwnAddresses() ownAddresses {
	return ownAddresses{upstream.NewSelf(), upstream.NewSelf()}
}

// of returns the addresses that servers of a mode must not connect to.
func (o ownAddresses) of(m config.Mode) *upstream.Self {
	if m == config.ModeStream {
		return o.stream
	}
	return o.http
}

// follow sets the addresses to those of cfg's listeners. Places has the addresses of listeners other than Unix sockets, by their keys.
func (o ownAddresses) follow(cfg *config.Config, places map[string][]netip.AddrPort) {
	all, streams := listening{}, listening{}
	for _, s := range cfg.Servers {
		for _, l := range s.Listen {
			all.add(l, places)
			if s.Mode == config.ModeStream {
				streams.add(l, places)
			}
		}
	}
	all.tell(o.http)
	streams.tell(o.stream)
}

// listening collects the addresses of listeners.
type listening struct {
	addrs []netip.AddrPort
	paths []string
}

func (a *listening) add(l config.Listen, places map[string][]netip.AddrPort) {
	if l.Unix != "" {
		a.paths = append(a.paths, l.Unix)
	}
	for _, addr := range places[l.Key()] {
		if !slices.Contains(a.addrs, addr) {
			a.addrs = append(a.addrs, addr)
		}
	}
}

func (a *listening) tell(s *upstream.Self) {
	s.Listen(a.addrs)
	s.ListenUnix(a.paths)
}
