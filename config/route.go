package config

import (
	"slices"
	"strings"
	"time"
)

// Route says what happens to the requests, or in stream mode the connections, that
// match it. Exactly one of To, Redirect and Respond is set.
type Route struct {
	Path string // JSON path: "http.routes[2]", or that of a server without "routes"
	Name string // name in logs: "name" in the file, or else Path

	Match *Match // nil matches everything

	To       []Target // groups: at least one, weights not all 0
	Redirect *Redirect
	Respond  *Respond

	// The following are http only.
	Rewrite         *Rewrite
	RequestHeaders  HeaderEdits // edits of requests to hosts
	ResponseHeaders HeaderEdits // edits of responses to clients
	UpstreamHost    bool        // Host names the host instead of what the client asked for
	MaxBodySize     int64       // of a request, in bytes; 0 for no bound
	RequestID       bool        // X-Request-Id is passed to hosts and returned to clients

	SendTimeout       time.Duration // sending to the client
	ReadTimeout       time.Duration // stream: between two reads from the client
	ClientBodyTimeout time.Duration // http: between two reads of the request body
	ProxyReadTimeout  time.Duration // between two reads from the host
	ProxySendTimeout  time.Duration // between two writes to the host

	LogIf *LogIf // what the access log gets lines for; nil for everything
}

// Target is a group and its share of a route's traffic.
type Target struct {
	Group  *Group
	Weight int // share, relative to the sum over all targets of the route
}

// actions are the keys for the action of a route.
var actions = []string{"proxy_to", "redirect", "respond"}

// routes decodes the routes of o, a server.
func (o object) routes(s *Server, groups *groupSet) {
	base := Route{Path: o.path}
	o.fill(ofRoute, &target{route: &base})
	base.LogIf = o.logIf()
	if s.Mode == ModeHTTP {
		base.ResponseHeaders = o.headerEdits("response_headers")
	}
	s.Unrouted = base

	m := o.node.get("routes")
	if m == nil {
		base.Name = s.Name
		o.route(s, &base, groups)
		s.Routes = []Route{base}
		groups.checkCookies(s)
		return
	}
	path := keyPath(o.path, "routes")
	const example = `[{ "proxy_to": ... }]`
	for _, key := range actions {
		if m := o.node.get(key); m != nil {
			o.failAt(m.pos, keyPath(o.path, key), "it has no effect together with routes", "write it in a route: a last route without a match takes everything else")
		}
	}
	list := o.array(&m.value, path, example)
	if m.value.kind == kindArray && len(list) == 0 {
		o.fail(&m.value, path, "there are no routes in it", "write "+example+", or remove it")
	}
	s.Routes = make([]Route, 0, len(list))
	for i := range list {
		r, ok := o.object(&list[i], indexPath(path, i), ofRoute, `{ "match": ..., "proxy_to": ... }`)
		if !ok {
			continue
		}
		r = r.within(o)
		r.unknown()
		route := Route{Path: r.path, Name: r.path, Match: r.match()}
		if name := r.ownName(); name != "" {
			route.Name = name
		}
		r.checkMatch(s, route.Match)
		r.fill(ofRoute, &target{route: &route})
		route.LogIf = r.logIf()
		r.route(s, &route, groups)
		s.Routes = append(s.Routes, route)
	}
	groups.checkCookies(s)
}

// ownName decodes "name" of a server or a route.
func (o object) ownName() string {
	n, path := o.child("name")
	if n == nil {
		return ""
	}
	name := o.text("name")
	o.oneLine(n, path, name)
	return name
}

// route decodes the action of r.
func (o object) route(s *Server, r *Route, groups *groupSet) {
	var given []string
	for _, key := range actions {
		if o.place.key(key) != nil && o.node.get(key) != nil {
			given = append(given, key)
		}
	}
	switch {
	case len(given) == 0 && o.place.level == ofRoute && s.Mode == ModeHTTP:
		o.fail(o.node, o.path, `it has neither "proxy_to" nor "redirect" nor "respond"`, `add "proxy_to": `+groups.choice())
		return
	case len(given) > 1:
		for _, key := range given[1:] {
			o.failAt(o.node.get(key).pos, keyPath(o.path, key), "a route has only one action, and this one has "+quote(given[0])+" too", "remove one of the two")
		}
		return
	}
	if s.Mode == ModeHTTP {
		r.RequestHeaders, r.ResponseHeaders, r.Rewrite = o.headerEdits("request_headers"), o.headerEdits("response_headers"), o.rewrite()
	}
	switch {
	case slices.Contains(given, "redirect"):
		r.Redirect = o.redirect()
		o.noHost(given[0])
	case slices.Contains(given, "respond"):
		r.Respond = o.respond()
		o.noHost(given[0])
	default:
		o.proxyTo(s, r, groups)
		o.idle("proxy_set_host", r.UpstreamHost && slices.ContainsFunc(r.RequestHeaders.Set, func(h Header) bool { return strings.EqualFold(h.Name, "Host") }),
			`it is ignored: "Host" is among the fields that are set`, "remove one of the two")
	}
}

// noHost warns of keys that concern hosts, in a route that has none.
func (o object) noHost(action string) {
	if o.place.level != ofRoute {
		return
	}
	for i := range o.node.members {
		m := &o.node.members[i]
		k := o.place.key(m.key)
		if k != nil && (k.of == ofGroup || k.of == ofHost || slices.Contains(forHosts, k.name)) {
			o.warn(m.pos, keyPath(o.path, m.key), "it is ignored with "+quote(action)+": no request goes to a host", "remove it")
		}
	}
}

// forHosts are the keys of routes that concern requests to hosts.
var forHosts = []string{"headers", "request_headers", "rewrite", "proxy_set_host", "proxy_read_timeout", "proxy_send_timeout"}

// proxyTo decodes proxy_to, which names one group or several. Groups with errors
// may be named too.
func (o object) proxyTo(s *Server, r *Route, groups *groupSet) {
	const key = "proxy_to"
	n, path := o.child(key)
	if n != nil && n.kind == kindObject {
		o.fail(n, path, "must be a string or an array, not an object", `write `+groups.choice()+`, or put it in brackets: [{ "group": `+groups.choice()+` }]`)
		return
	}
	if n == nil || n.kind != kindArray {
		if n != nil && (n.kind != kindString || n.text() != "") || o.require(key, "", groups.choice()) {
			if g := o.target(n, path, o.str(n, path), groups); g != nil {
				r.To = []Target{{Group: g.use(o, s), Weight: 1}}
			}
		}
		return
	}
	if len(n.elements) == 0 {
		o.fail(n, path, "there are no groups in it", `write [{ "group": `+groups.choice()+` }]`)
		return
	}
	sum := 0
	broken := false
	for i := range n.elements {
		in, ok := o.object(&n.elements[i], indexPath(path, i), ofTarget, `{ "group": "backend", "weight": 1 }`)
		if !ok {
			broken = true
			continue
		}
		in.unknown()
		weight := int(in.integer("weight"))
		sum += weight
		n, at := in.child("group")
		if (n == nil || n.kind == kindString && n.text() == "") && !in.require("group", "", groups.choice()) {
			continue
		}
		if g := in.target(n, at, in.text("group"), groups); g != nil {
			r.To = append(r.To, Target{Group: g.use(o, s), Weight: weight})
		}
	}
	if sum == 0 && !broken {
		o.fail(n, path, "all weights are 0, so no group would get anything", "give one of them a weight from 1 to 1000")
	}
}

// target returns the group that n names, or reports that there is none.
func (o object) target(n *node, path, name string, groups *groupSet) *groupNode {
	if n.kind != kindString || groups.size() == 0 {
		return nil // reported already
	}
	if g := groups.get(name); g != nil {
		return g
	}
	remedy := "write " + groups.choice()
	if near := nearest(name, groups.names()); near != nil {
		remedy = didYouMean(near)
	}
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") || strings.HasPrefix(name, "unix:") {
		remedy = "put the host into a group in servers, and write the group's name"
	}
	o.fail(n, path, "no group named "+quote(name)+" in servers", remedy)
	return nil
}
