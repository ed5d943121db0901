package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Group is a named set of hosts in "servers", and how they are spoken to. A
// group that is used with different settings from further out is a Group for
// each; they have one Name, and so the same hosts.
type Group struct {
	Name      string
	Path      string // its JSON path
	Hosts     []Host // in the order of the file, at least one; may repeat
	Algorithm string // one of Algorithms, never ""
	ProxyTLS  ProxyTLS

	ConnectTimeout time.Duration // connecting to a host, over all that are tried
	ResolveTimeout time.Duration // resolving a host's name
	// ConnectTimeoutSet is whether the file has ConnectTimeout. If so, the last host to be tried may take all that is left of
	// it; if not, it gets no more time than each of the others.
	ConnectTimeoutSet bool

	UpstreamKeepalive        int           // http: idle connections kept for each host, by each loop; or KeepaliveAuto
	UpstreamKeepaliveTimeout time.Duration // http: how long they are kept

	ProxyProtocol string        // version of the PROXY header that connections to hosts begin with: "v1" or "v2"; "" is none
	TCPKeepalive  time.Duration // between two probes of a silent host; 0 is none
}

// KeepaliveAuto is the UpstreamKeepalive that stands for as many idle connections as were in use at once of late.
const KeepaliveAuto = -1

// Host is one upstream host.
type Host struct {
	// Name is where it is: a DNS name, an IPv4 address, or an IPv6 address
	// without brackets, spelled as in the file. It is "" if Unix is set.
	Name string
	Port uint16 // 0 if Unix is set
	Unix string // path of a Unix-domain socket instead of Name and Port
	// Alias is what it is called, if that is not Name; spelled like a Name. It
	// is AnyName for a host that gets what no other host is called.
	Alias string
}

// AnyName is the Alias of a host that takes any name that no other host has.
const AnyName = "*"

// Called returns the name of the host for those who speak to it: in Host, in
// SNI, in its certificate.
func (h Host) Called() string {
	switch {
	case h.Alias != "" && h.Alias != AnyName:
		return h.Alias
	case h.Unix != "":
		return "localhost" // RFC 9110 section 7.2 asks for a name, and a path is none
	default:
		return h.Name
	}
}

// Matches returns the name that a client asks for to get this host where hosts
// are chosen by name, or AnyName.
func (h Host) Matches() string {
	if h.Alias == AnyName {
		return AnyName
	}
	return h.Called()
}

const groupExample = `{ "hosts": [{ "host": "127.0.0.1", "port": 9001 }] }`

// groups decodes "servers".
func (o object) groups() []*Group {
	n, path := o.child("servers")
	if n == nil {
		o.fail(o.node, path, "it is missing: there is nothing to send traffic to", `add "servers": { "backend": `+groupExample+" }")
		return nil
	}
	servers, ok := o.object(n, path, nil, `an object: { "backend": `+groupExample+" }")
	if !ok {
		return nil
	}
	if len(n.members) == 0 {
		o.fail(n, path, "there are no groups in it", `write { "backend": `+groupExample+" }")
	}
	var groups []*Group
	for i := range n.members {
		m := &n.members[i]
		if m.repeated {
			continue
		}
		if g, ok := o.object(&m.value, keyPath(servers.path, m.key), groupPlace, groupExample); ok {
			groups = append(groups, g.group(m.key))
		}
	}
	return groups
}

func (o object) group(name string) *Group {
	o.unknown()
	g := &Group{Name: name, Path: o.path, Algorithm: o.algorithm()}
	g.Hosts = o.hosts(g.choosesByName())
	g.ProxyTLS = o.proxyTLS()
	o.checkAnyName(g)
	return g
}

// choosesByName reports whether what hosts are called decides which one is chosen.
func (g *Group) choosesByName() bool { return g.Algorithm == "host" || g.Algorithm == "sni" }

// checkAnyName warns of a host that is to get what no name matches in a group
// where no name matters.
func (o object) checkAnyName(g *Group) {
	if g.choosesByName() {
		return
	}
	list, path := o.child("hosts")
	for i := range g.Hosts {
		if g.Hosts[i].Alias == AnyName && len(g.Hosts) == len(list.elements) {
			o.warn(list.elements[i].get("name").pos, keyPath(indexPath(path, i), "name"),
				quote(AnyName)+" is ignored: "+quote(g.Algorithm)+" does not choose by name", `write "balancing_algo": "host" or "sni", or remove it`)
		}
	}
}

// checkNames warns of a choice by a name that no client can give.
func (o object) checkNames(s *Server, g *Group) {
	if g != nil && g.Algorithm == "sni" && o.mode == ModeHTTP && !s.TLS.Enabled {
		path := keyPath(keyPath(keyPath(o.path, "servers"), g.Name), "balancing_algo")
		outcome := "every request is answered 421"
		if slices.ContainsFunc(g.Hosts, func(h Host) bool { return h.Alias == AnyName }) {
			outcome = "every request goes to a host with the name " + quote(AnyName)
		}
		o.warn(o.node.get("servers").value.get(g.Name).value.get("balancing_algo").pos, path,
			`"sni" chooses by the name that a TLS client asks for, and clients do not speak TLS: `+outcome,
			`add "tls_enabled": true and a certificate, or write "host"`)
	}
}

// checkLoop warns of hosts of the group in use that are this very proxy.
func (o object) checkLoop(port uint16, g *Group) {
	if g == nil {
		return
	}
	path := keyPath(keyPath(keyPath(o.path, "servers"), g.Name), "hosts")
	list := o.node.get("servers").value.get(g.Name).value.get("hosts")
	if list == nil || len(list.value.elements) != len(g.Hosts) { // some are broken
		return
	}
	for i, h := range g.Hosts {
		if h.Port == port && leadsHere(h.Name) {
			o.warn(list.value.elements[i].pos, indexPath(path, i), "this is where the proxy itself listens: no connection is made to it, since it would come back",
				`write the host's own "port", or another "port" in `+quote(o.path))
		}
	}
}

// leadsHere reports whether a host is this machine by its name alone. Only
// IPv4 is listened on.
func leadsHere(name string) bool {
	if strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	addr = addr.Unmap()
	return err == nil && addr.Is4() && (addr.IsLoopback() || addr.IsUnspecified())
}

// algorithm decodes balancing_algo. An empty string is the default, as it has
// always been.
func (o object) algorithm() string {
	const key = "balancing_algo"
	name := o.text(key)
	n, path := o.child(key)
	allowed := Algorithms
	if o.mode == ModeStream {
		allowed = slices.DeleteFunc(slices.Clone(Algorithms), func(a string) bool { return a == "host" })
	}
	switch {
	case name == "":
	case slices.Contains(allowed, name):
		return name
	case name == "host":
		o.fail(n, path, `"host" chooses by the Host of an HTTP request, and "stream" has none`, "write "+list(allowed))
	default:
		remedy := "write " + list(allowed)
		if near := nearest(name, allowed); near != nil {
			remedy = didYouMean(near)
		}
		o.fail(n, path, "unknown algorithm "+quote(name), remedy)
	}
	return Algorithms[0]
}

// hosts decodes "hosts", which are chosen by name or not.
func (o object) hosts(byName bool) []Host {
	const example = `[{ "host": "127.0.0.1", "port": 9001 }]`
	n, path := o.child("hosts")
	switch {
	case n == nil:
		o.fail(o.node, path, "it is missing: the group has no hosts", `add "hosts": `+example)
		return nil
	case n.kind != kindArray:
		o.fail(n, path, "must be an array, not "+n.describe(), "write "+example)
		return nil
	case len(n.elements) == 0:
		o.fail(n, path, "the group has no hosts", "write "+example)
		return nil
	}
	var hosts []Host
	for i := range n.elements {
		e := &n.elements[i]
		if h, ok := o.object(e, indexPath(path, i), hostPlace, hostObject(e)); ok {
			hosts = append(hosts, h.host(byName))
		}
	}
	return hosts
}

// hostObject is how to write an entry that is not an object.
func hostObject(n *node) string {
	if n.kind == kindString {
		if name, port := splitAddress(text(n.raw)); port != "" {
			return `{ "host": ` + quote(name) + `, "port": ` + port + " }"
		}
	}
	return `{ "host": "127.0.0.1", "port": 9001 }`
}

func (o object) host(byName bool) Host {
	o.unknown()
	var h Host
	if o.require("host", "", "a name or an address") {
		n, path := o.child("host")
		if n.kind == kindString {
			name, what, remedy := hostName(text(n.raw))
			if what != "" {
				o.fail(n, path, what, remedy)
			}
			h.Name = name
		} else {
			o.str(n, path)
		}
	}
	if o.require("port", "", "the TCP port of the host, such as 9001") {
		h.Port = uint16(o.integer("port", portRange(required)))
	}
	h.Alias = o.alias(byName)
	return h
}

// alias decodes "name", what a host is called if that is not where it is. Kroxy
// read none, and existing files may have any label there: where hosts are not
// chosen by name, one that cannot be a name is ignored with a warning.
func (o object) alias(byName bool) string {
	n, path := o.child("name")
	if n == nil {
		return ""
	}
	name, what, remedy := hostAlias(n)
	switch {
	case what == "":
		return name
	case byName:
		o.fail(n, path, what, remedy)
	default:
		o.warn(n.pos, path, what+", and so is ignored", remedy)
	}
	return ""
}

// hostAlias returns the name in n, or what is wrong with it.
func hostAlias(n *node) (name, what, remedy string) {
	remedy = `write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has`
	if n.kind != kindString {
		return "", "must be a string, not " + n.describe(), "remove it, or " + remedy
	}
	s := text(n.raw)
	switch {
	case s == AnyName:
		return s, "", ""
	case s == "":
		return "", "it is empty", "remove it, or " + remedy
	case strings.Contains(s, "*"):
		return "", quote(s) + " is a pattern, and only whole names are compared", "write each name in an entry of its own, or " + `"*" for all names that no other host has`
	}
	// What is right for a host, a port beside it for one, is not here.
	name, what, _ = hostName(s)
	return name, what, remedy
}

// proxyTo decodes proxy_to, which names one of the groups, broken ones included.
func (o object) proxyTo() string {
	const key = "proxy_to"
	servers, _ := o.child("servers")
	var names []string
	if servers != nil {
		for _, m := range servers.members {
			if !m.repeated {
				names = append(names, m.key)
			}
		}
	}
	choice := "the name of a group in servers"
	switch {
	case len(names) == 1:
		choice = quote(names[0])
	case 1 < len(names) && len(names) <= 8:
		choice += ": " + list(names)
	}
	if !o.require(key, "", choice) {
		return ""
	}
	name := o.text(key)
	if n, path := o.child(key); n.kind == kindString && len(names) > 0 && !slices.Contains(names, name) {
		remedy := "write " + choice
		if near := nearest(name, names); near != nil {
			remedy = didYouMean(near)
		}
		o.fail(n, path, "no group named "+quote(name)+" in servers", remedy)
	}
	return name
}

// splitAddress splits "name:port" where port is all digits; otherwise port is "".
func splitAddress(s string) (name, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || s[i+1:] == "" || len(s[i+1:]) > 5 || strings.Trim(s[i+1:], "0123456789") != "" {
		return s, ""
	}
	return s[:i], s[i+1:]
}
