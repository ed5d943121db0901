package config

import (
	"math"
	"net/netip"
)

// http decodes what only http mode has.
func (o object) http(s *Server, r *Route, groups []*Group) {
	s.ClientHeaderTimeout = o.millis("client_header_timeout", 60000)
	s.ClientBodyTimeout = o.millis("client_body_timeout", 60000)
	s.KeepaliveTimeout = o.millis("keepalive_timeout", 75000)
	keep, keepFor := o.keepalive(), o.millis("upstream_keepalive_timeout", 60000)
	for _, g := range groups {
		g.UpstreamKeepalive, g.UpstreamKeepaliveTimeout = keep, keepFor
	}
	s.MaxBodySize = o.integer("max_body_size", bounds{0, 1e18 - 1, 0, "write a number of bytes, or 0 for no limit"})
	s.ForwardedHeaders = o.booleanOr("forwarded_headers", true)
	r.UpstreamHost = o.setHost()
	s.TrustedProxies = o.prefixes("trusted_proxies")
	r.RequestHeaders.Set = o.headers()
	r.MaxBodySize, r.ClientBodyTimeout = s.MaxBodySize, s.ClientBodyTimeout
}

// keepalive decodes upstream_keepalive.
func (o object) keepalive() int {
	const key = "upstream_keepalive"
	if n, _ := o.child(key); n == nil || n.kind == kindString && text(n.raw) == "auto" {
		return KeepaliveAuto
	}
	return int(o.integer(key, bounds{0, math.MaxInt32, 0, `write "auto", a number of connections, or 0 to keep none`}))
}

// setHost decodes proxy_set_host: whether Host names the host.
func (o object) setHost() bool {
	const key = "proxy_set_host"
	switch name := o.text(key); name {
	case "upstream":
		return true
	case "", "client":
	default:
		n, path := o.child(key)
		o.fail(n, path, "unknown choice "+quote(name), `write "client" to pass on what the client asked for, or "upstream" for the host's own name`)
	}
	return false
}

// prefixes decodes an array of addresses and networks.
func (o object) prefixes(key string) []netip.Prefix {
	const example = `["10.0.0.0/8", "::1"]`
	n, path := o.child(key)
	if n == nil {
		return nil
	}
	if n.kind != kindArray {
		o.fail(n, path, "must be an array, not "+n.describe(), "write "+example)
		return nil
	}
	var list []netip.Prefix
	for i := range n.elements {
		e, at := &n.elements[i], indexPath(path, i)
		if e.kind != kindString {
			o.fail(e, at, "must be a string, not "+e.describe(), "write an address or a network, as in "+example)
			continue
		}
		if p, ok := parsePrefix(text(e.raw)); ok {
			list = append(list, p)
		} else {
			o.fail(e, at, quote(text(e.raw))+" is no address and no network", "write it as in "+example)
		}
	}
	return list
}

// parsePrefix reads a network, or an address as the network of itself.
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}
