package config

import "slices"

// idle warns of a key in o itself that has no effect.
func (o object) idle(key string, cannot bool, what, remedy string) {
	if m := o.node.get(key); m != nil && cannot {
		o.warn(m.pos, keyPath(o.path, key), what, remedy)
	}
}

// shares reports whether hosts of g are chosen by their weights.
func (g *Group) shares() bool { return !g.choosesByName() && g.Algorithm != "first" }

// checkShares reports weights and tiers with which no host would serve, or that are
// not used.
func (o object) checkShares(g *Group) {
	n, path := o.child("hosts")
	if n == nil || len(g.Hosts) == 0 || len(g.Hosts) != len(n.elements) { // some hosts have errors
		return
	}
	all := func(is func(h Host) bool) bool {
		return !slices.ContainsFunc(g.Hosts, func(h Host) bool { return !is(h) })
	}
	if all(func(h Host) bool { return h.Weight == 0 }) {
		o.fail(n, path, "all weights are 0, so no host would get anything", "give one of them a weight from 1 to 1000")
	}
	if all(func(h Host) bool { return h.Backup }) {
		o.fail(n, path, "all hosts are backups, and there is no host that they could stand in for", `remove "backup" from those that are to serve`)
	}
	if all(func(h Host) bool { return h.Drain }) {
		o.warn(n.pos, path, "all hosts are drained: no new client is served", `remove "drain" from those that are to serve`)
	}
	for i := range n.elements {
		e := object{decoder: o.decoder, node: &n.elements[i], path: indexPath(path, i)}
		e.idle("weight", !g.shares() && g.Hosts[i].Weight > 0, "it is ignored with "+quote(g.Algorithm)+", which does not use weights", "remove it")
	}
}

// checkTogether warns of keys of a group that have no effect in combination with others.
func (o object) checkTogether(g *Group) {
	const remove = "remove it"
	if g.ProxyProtocol != "" {
		const what = `it is ignored together with "proxy_protocol": a connection that begins with a PROXY header is for one client, and is not kept`
		o.idle("upstream_keepalive", g.UpstreamKeepalive != 0, what, remove)
		o.idle("upstream_keepalive_timeout", true, what, remove)
	} else if o.modes&inHTTP != 0 {
		o.idle("upstream_keepalive_timeout", g.UpstreamKeepalive == 0, `it is ignored with "upstream_keepalive": 0: no connection is kept`, remove)
	}
	if g.choosesByName() {
		o.idle("sticky", g.Sticky != nil, "it is ignored with "+quote(g.Algorithm)+": the name that a client asks for determines its host", remove)
		g.Sticky = nil
	}
	o.idle("slow_start", g.SlowStart > 0 && !g.shares(), "it is ignored with "+quote(g.Algorithm)+", which does not use weights", remove)
	o.idle("slow_start", g.SlowStart > 0 && !g.PassiveCheck.Enabled && g.HealthCheck == nil,
		`it is ignored without checks: no host ever recovers`, `add "health_check", or remove it`)
	full := slices.ContainsFunc(g.Hosts, func(h Host) bool { return h.MaxConns > 0 })
	o.idle("queue", g.Queue.Size > 0 && !full && len(g.Hosts) > 0, `it is ignored without "max_conns": no host is ever full`, `add "max_conns" to the group, or remove it`)
	if in, is := o.section("health_check"); is == on {
		in.idle("port", !slices.ContainsFunc(g.Hosts, func(h Host) bool { return h.Unix == "" }) && len(g.Hosts) > 0, "it is ignored: all hosts are Unix-domain sockets, which have no ports", remove)
		h := g.HealthCheck
		in.idle("type", o.modes&inHTTP != 0 && h != nil && h.Type == "grpc" && h.Port == 0 && g.Protocol == ProtocolHTTP1,
			"gRPC needs HTTP/2, but these hosts get HTTP/1.1, so no call reaches them", `write "protocol": "h2c" in the group, or "h2" if the hosts have TLS`)
	}
	o.checkSameSite(g)
}

// checkSameSite warns of a cookie that browsers reject.
func (o object) checkSameSite(g *Group) {
	by := o.outer // a route or a server; a route is in a server
	for by != nil && by.place.level != ofServer {
		by = by.outer
	}
	if g.Sticky == nil || g.Sticky.SameSite != "None" || by == nil {
		return
	}
	if !by.offersTLS() {
		in, _ := o.section("sticky")
		in.idle("same_site", true, `browsers reject a cookie with "None" from a server without TLS`, `write "Lax", or add "tls_enabled": true and a certificate`)
	}
}

// offersTLS reports whether clients of o, a server, may use TLS.
func (o object) offersTLS() bool {
	yes := func(n *node) bool { t, _ := isTrue(n); return t }
	if n, _ := o.child("tls_enabled"); n != nil && yes(n) {
		return true
	}
	m := o.node.get("listen")
	return m != nil && slices.ContainsFunc(m.value.elements, func(e node) bool {
		tls := e.get("tls")
		return tls != nil && yes(&tls.value)
	})
}

// notForStream reports keys of g that are for http only, if only stream servers use g.
func (g *groupNode) notForStream() {
	o := g.object
	for i := range o.node.members {
		m := &o.node.members[i]
		k, path := o.place.key(m.key), keyPath(o.path, m.key)
		if k == nil || m.repeated {
			continue
		}
		s, merges := k.form.(section)
		switch {
		case m.key == "sticky":
			o.failAt(m.pos, path, quote(m.key)+` has no effect: it is a key of "http" only, and only "stream" uses the group`, "remove it")
		case k.modes == inHTTP:
			o.warn(m.pos, path, quote(m.key)+ignoredInStream+`, and only "stream" uses the group`, "remove it")
		case merges && m.value.kind == kindObject:
			object{decoder: o.decoder, node: &m.value, path: path, place: placeOf(s.of, inStream), modes: inStream}.onlyHTTP()
		}
	}
}

// checkMatch warns of conditions that no client of s can match.
func (o object) checkMatch(s *Server, m *Match) {
	if m == nil {
		return
	}
	n, path := o.child("match")
	in := object{decoder: o.decoder, node: n, path: path}
	anyListens := func(is func(l Listen) bool) bool { return slices.ContainsFunc(s.Listen, is) }
	tls := anyListens(func(l Listen) bool { return l.TLS })
	const plain, remedy = "no client matches: none uses TLS", "correct it, or remove the route"
	if s.Mode == ModeHTTP {
		in.idle("sni", len(m.SNI) > 0 && !tls, plain, remedy)
		in.idle("scheme", slices.Equal(m.Scheme, []string{"https"}) && !tls, plain, remedy)
		in.idle("scheme", slices.Equal(m.Scheme, []string{"http"}) && !anyListens(func(l Listen) bool { return !l.TLS }), "no client matches: all use TLS", remedy)
	}
	none := len(m.ListenPort) > 0 && !slices.ContainsFunc(m.ListenPort, func(p uint16) bool {
		return p == 0 || anyListens(func(l Listen) bool { return l.Port == p }) // 0 is reported already
	})
	in.idle("listen_port", none, "no client matches: the server does not listen there", remedy)
}
