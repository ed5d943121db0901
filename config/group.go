package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"

	"kroxy-ev/balance"
)

// Group is a named set of hosts in "servers", and how to talk to them. If outer
// levels give a group different settings in different uses, there
// is a Group for each; these share Name, and so the hosts' state.
type Group struct {
	Name      string
	Path      string // JSON path
	Hosts     []Host // in the order of the file, at least one; may repeat
	Algorithm string // name of one of balance.Algorithms, never ""
	ProxyTLS  ProxyTLS

	ConnectTimeout time.Duration // connecting to a host, over all hosts that are tried
	ResolveTimeout time.Duration // resolving a host's name
	// ConnectTimeoutSet says whether the file sets ConnectTimeout. If so, the last host to be tried may use all the remaining time; if not, it
	// gets no more time than each of the others.
	ConnectTimeoutSet bool

	UpstreamKeepalive        int           // http: idle connections kept per host and loop; or KeepaliveAuto
	UpstreamKeepaliveTimeout time.Duration // http: how long idle connections are kept

	HashKey string // for "hash": template of the key that hosts are chosen by, for logformat.OnRequest in http and logformat.OnSession in stream; else ""

	MaxConns     int           // default for hosts; 0 for no bound
	HealthCheck  *HealthCheck  // nil if there are no active checks
	PassiveCheck PassiveCheck  // what is inferred from the traffic to hosts
	SlowStart    time.Duration // how long the share of a recovered host grows; 0 for not at all
	Queue        Queue
	Retry        Retry
	Sticky       *Sticky // http; nil if clients are not sticky

	Protocol      string        // http: spoken to hosts; ProtocolHTTP2 and ProtocolAuto only with ProxyTLS, ProtocolH2C only without; "" in stream
	ProxyProtocol string        // version of the PROXY header at the start of connections to hosts: "v1" or "v2"; "" for none
	TCPKeepalive  time.Duration // between two probes of a silent host; 0 for no probes
}

// KeepaliveAuto is the UpstreamKeepalive for keeping as many idle connections as were in use at a time recently.
const KeepaliveAuto = -1

// Host is one upstream host, or all hosts of a service.
type Host struct {
	// Name is the host's address: a DNS name, an IPv4 address, or an IPv6 address
	// without brackets, spelled as in the file. It is "" if Unix or
	// SRV is set.
	Name string
	Port uint16 // 0 if Unix or SRV is set
	Unix string // path of a Unix socket instead of Name and Port
	// SRV is the DNS name of a service, instead of Name and Port: the hosts come from its SRV records. The package that looks these up makes a Host
	// from each, with Name, Port, Weight and Tier.
	SRV string
	// Alias is the host's name, if that differs from Name; spelled like a Name. It
	// is AnyName for a host that takes all names that no other host
	// has.
	Alias string

	Weight   int  // share, relative to the sum of all; 0 for none. For a service the records have weights
	Backup   bool // serves only while none of the others can
	MaxConns int  // concurrent sessions or requests, over all workers; 0 for no bound
	Drain    bool // gets no new clients
	Tier     int  // for a service: serves only while no host with a lower Tier can; Parse leaves it 0
}

// Place returns the address of h: "127.0.0.1:9001", "[::1]:9001",
// "unix:/run/app.sock", or "srv:_api._tcp.example" for a service.
func (h Host) Place() string {
	switch {
	case h.Unix != "":
		return "unix:" + h.Unix
	case h.Name == "":
		return "srv:" + h.SRV
	default:
		return net.JoinHostPort(h.Name, strconv.Itoa(int(h.Port)))
	}
}

// AnyName is the Alias of a host that takes any name that no other host has.
const AnyName = "*"

// Called returns the name of the host in requests: in Host, in SNI, and in its
// certificate.
func (h Host) Called() string {
	switch {
	case h.Alias != "" && h.Alias != AnyName:
		return h.Alias
	case h.SRV != "":
		return h.domain()
	case h.Unix != "":
		return "localhost" // RFC 9110 section 7.2 asks for a name, and a path is not one
	default:
		return h.Name
	}
}

// domain returns the domain of the service: the name in the host's certificate,
// which no DNS answer can change.
func (h Host) domain() string {
	name := h.SRV
	for strings.HasPrefix(name, "_") { // RFC 2782
		_, rest, ok := strings.Cut(name, ".")
		if !ok || rest == "" {
			return h.SRV
		}
		name = rest
	}
	return strings.TrimSuffix(name, ".")
}

// Matches returns the name that selects this host if hosts are chosen by name, or
// AnyName.
func (h Host) Matches() string {
	if h.Alias == AnyName {
		return AnyName
	}
	return h.Called()
}

const groupExample = `{ "hosts": [{ "host": "127.0.0.1", "port": 9001 }] }`

// groupNode is a group in the file.
type groupNode struct {
	object
	name   string
	made   []*Group          // one for each distinct use
	byText map[string]*Group // the same, by the result of text
	as     map[*node]*Group  // the same, by the routes and servers that use them; only routes that have keys of groups are here
	usedBy modes             // modes of the servers that use it
}

// groupNodes are the groups in one "servers".
type groupNodes []*groupNode

// groupSet is the groups that a route may use.
type groupSet struct {
	byName map[string]*groupNode
	outer  *groupSet // those of outer levels; nil if there are none
	own    groupNodes
}

// newGroupSet returns the groups of a list, and those of outer levels whose names
// are not in the list.
func newGroupSet(own groupNodes, outer *groupSet) *groupSet {
	s := &groupSet{byName: make(map[string]*groupNode, len(own)), outer: outer, own: own}
	for _, g := range own {
		s.byName[g.name] = g
	}
	return s
}

// get returns the group with that name, or nil.
func (s *groupSet) get(name string) *groupNode {
	for ; s != nil; s = s.outer {
		if g := s.byName[name]; g != nil {
			return g
		}
	}
	return nil
}

// size returns how many groups there are.
func (s *groupSet) size() int {
	n := 0
	for ; s != nil; s = s.outer {
		n += len(s.own)
	}
	return n
}

// names returns the distinct names of all groups, in the order of the file, the
// nearest level first.
func (s *groupSet) names() []string {
	var names []string
	for at := s; at != nil; at = at.outer {
		for _, g := range at.own {
			if found := s.get(g.name); found == g {
				names = append(names, g.name)
			}
		}
	}
	return names
}

// maxChoice is how many groups a message names.
const maxChoice = 8

// choice describes the valid group names, for remedies.
func (s *groupSet) choice() string {
	const some = "the name of a group in servers"
	if s.size() > 2*maxChoice {
		return some
	}
	switch names := s.names(); {
	case len(names) == 1:
		return quote(names[0])
	case 1 < len(names) && len(names) <= maxChoice:
		return some + ": " + list(names)
	default:
		return some
	}
}

// groupNodes returns the groups in "servers" of o alone.
func (o object) groupNodes() groupNodes {
	m := o.node.get("servers")
	if m == nil {
		return nil
	}
	path := keyPath(o.path, "servers")
	servers, ok := o.object(&m.value, path, own, `an object: { "backend": `+groupExample+" }")
	if !ok {
		return nil
	}
	if len(m.value.members) == 0 {
		o.fail(&m.value, path, "there are no groups in it", `write { "backend": `+groupExample+" }")
	}
	var groups groupNodes
	for i := range m.value.members {
		m := &m.value.members[i]
		if m.repeated {
			continue
		}
		at := keyPath(servers.path, m.key)
		g, ok := o.object(&m.value, at, ofGroup, groupExample)
		if !ok {
			g = object{decoder: o.decoder, node: &node{pos: m.value.pos}, path: at, place: nil}
		}
		groups = append(groups, &groupNode{object: g, name: m.key, as: make(map[*node]*Group)})
		if ok {
			g.unknown()
		}
	}
	return groups
}

// usedGroup is a group and a server that uses it.
type usedGroup struct {
	server *Server
	group  *Group
}

// use returns the group with the settings for a use by a route or a server in s.
func (g *groupNode) use(by object, s *Server) *Group {
	o := g.object
	if o.place == nil {
		return &Group{Name: g.name, Path: o.path} // reported already
	}
	// A route without keys of groups uses the group as its server does.
	for by.place.level == ofRoute && !by.hasGroupKeys() {
		by = *by.outer
	}
	o.modes = by.modes
	g.usedBy |= by.modes
	o = o.within(by)
	group := g.as[by.node]
	if group == nil {
		group = g.only(o.group(g.name))
		g.as[by.node] = group
	}
	if at := (usedGroup{s, group}); s != nil && !o.looked[at] {
		o.looked[at] = true
		o.checkNames(s, group)
		o.checkLoop(s, group)
	}
	return group
}

// hasGroupKeys reports whether o has defaults for groups.
func (o object) hasGroupKeys() bool {
	return slices.ContainsFunc(o.node.members, func(m member) bool {
		k := o.place.key(m.key)
		return k != nil && (k.of == ofGroup || k.of == ofHost)
	})
}

// only returns an earlier group that is equal to group, or else group.
func (g *groupNode) only(group *Group) *Group {
	g.made = append(g.made, group)
	if len(g.made) == 1 {
		return group
	}
	if g.byText == nil {
		g.byText = map[string]*Group{g.made[0].text(): g.made[0]}
	}
	text := group.text()
	if before := g.byText[text]; before != nil {
		g.made = g.made[:len(g.made)-1]
		return before
	}
	g.byText[text] = group
	return group
}

// text returns a serialization of everything in g.
func (g *Group) text() string {
	text, err := json.Marshal(g)
	if err != nil {
		panic("config: a group is not JSON: " + err.Error()) // cannot happen: it is made of strings, numbers and the like
	}
	return string(text)
}

// all returns the groups that were made.
func (g groupNodes) all() []*Group {
	var all []*Group
	for _, n := range g {
		all = append(all, n.made...)
	}
	return all
}

// finish decodes unused groups and warns of them, and warns of keys without effect
// in the others.
func (g groupNodes) finish(by object) {
	for _, n := range g {
		if n.place == nil {
			continue
		}
		if len(n.made) > 0 {
			if n.usedBy == inStream {
				n.notForStream()
			}
			continue
		}
		n.use(by, nil)
		if len(n.errors.list) == 0 {
			n.warn(n.node.pos, n.path, "no route uses this group", "remove it, or name it in \"proxy_to\"")
		}
	}
}

func (o object) group(name string) *Group {
	g := &Group{Name: name, Path: o.path, Algorithm: o.text("balancing_algo")}
	o.fill(ofGroup, &target{group: g})
	if o.modes&inHTTP == 0 {
		g.UpstreamKeepalive, g.UpstreamKeepaliveTimeout = 0, 0
	}
	set, _ := o.child("connect_timeout")
	g.ConnectTimeoutSet = set != nil
	g.MaxConns = int(o.integer("max_conns"))
	g.HealthCheck, g.PassiveCheck = o.healthCheck(), o.passiveCheck()
	g.Queue, g.Retry, g.Sticky = o.queue(), o.retry(), o.sticky()
	g.Hosts = o.hosts(g.choosesByName())
	g.ProxyTLS = o.proxyTLS()
	o.hashKey(g)
	o.checkAnyName(g)
	o.checkShares(g)
	o.checkTogether(g)
	o.checkProtocol(g)
	return g
}

// hashKey decodes "hash_key".
func (o object) hashKey(g *Group) {
	const key = "hash_key"
	if g.key() != balance.KeyTemplate {
		o.idle(key, true, "it is ignored with "+quote(g.Algorithm)+`: only "hash" uses it`, `write "balancing_algo": "hash", or remove it`)
		return
	}
	example := `a text with variables such as "$http_x_tenant"`
	if o.modes == inStream {
		example = `"$client_addr" or "$tls_sni"`
	}
	if o.require(key, `"hash" chooses by it`, example) {
		g.HashKey = o.text(key)
	}
}

// choosesByName reports whether hosts are chosen by their names.
func (g *Group) choosesByName() bool {
	return g.key() == balance.KeyHost || g.key() == balance.KeyServerName
}

// key returns the kind of key that hosts are chosen by.
func (g *Group) key() balance.Key { return keyOf(g.Algorithm) }

// keyOf returns the kind of key that an algorithm chooses by.
func keyOf(algorithm string) balance.Key {
	for _, a := range algorithms {
		if a.Name == algorithm {
			return a.Key
		}
	}
	return balance.KeyNone
}

// checkAnyName warns of a host for unmatched names in a group that does not choose
// by name.
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

// checkNames warns of a choice by a name that no client can send.
func (o object) checkNames(s *Server, g *Group) {
	if g.Algorithm != "sni" || s.Mode != ModeHTTP || s.TLS.Enabled {
		return
	}
	outcome := "every request is answered 421"
	if slices.ContainsFunc(g.Hosts, func(h Host) bool { return h.Alias == AnyName }) {
		outcome = "every request goes to a host with the name " + quote(AnyName)
	}
	m, path := o.member("balancing_algo")
	o.warn(m.pos, path, `"sni" chooses by the name that a TLS client asks for, but clients do not use TLS: `+outcome,
		`add "tls_enabled": true and a certificate, or write "host"`)
}

// checkLoop warns of hosts of a group that are the server that uses it.
func (o object) checkLoop(s *Server, g *Group) {
	n, path := o.child("hosts")
	if n == nil || len(n.elements) != len(g.Hosts) { // some hosts have errors
		return
	}
	for i, h := range g.Hosts {
		remedy := `write the host's own "port", or another "port" in ` + quote(s.Path)
		if h.Unix != "" {
			remedy = "write the path of the host's own socket, or another one in " + quote(s.Path)
		}
		for _, l := range s.Listen {
			if h.Unix == "" && h.Port == l.Port && l.leadsHere(h.Name) || h.Unix != "" && h.Unix == l.Unix {
				o.warn(n.elements[i].pos, indexPath(path, i), "the proxy itself listens here: no connection is made to it, because it would loop back", remedy)
			}
		}
	}
}

// leadsHere reports whether a host with l's port is l, judging by the host's name alone.
func (l Listen) leadsHere(name string) bool {
	v4, v6 := !l.Address.IsValid() || l.Address.Is4() || l.Address.IsUnspecified() && !l.IPv6Only, l.Address.Is6()
	if strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return !l.Address.IsValid() || l.Address.IsUnspecified() || l.Address.IsLoopback()
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	if l.Address.IsValid() && !l.Address.IsUnspecified() {
		return addr == l.Address || addr.IsUnspecified() && l.Address.IsLoopback() && addr.Is4() == l.Address.Is4()
	}
	return (addr.IsLoopback() || addr.IsUnspecified()) && (addr.Is4() && v4 || addr.Is6() && v6)
}

// algorithm is the form of balancing_algo. Algorithms that choose by a request's Host are for http only.
type algorithm struct{ choice }

func (a algorithm) decode(o object, n *node, path string) any {
	if n.kind == kindString && foreignAlgorithms[n.text()] != "" {
		o.fail(n, path, "unknown algorithm "+quote(n.text()), "here it is called "+quote(foreignAlgorithms[n.text()]))
		return a.usual
	}
	if o.modes != inStream {
		return a.choice.decode(o, n, path)
	}
	words := slices.DeleteFunc(slices.Clone(a.words), func(w string) bool { return keyOf(w) == balance.KeyHost })
	if n.kind == kindString && keyOf(n.text()) == balance.KeyHost {
		o.fail(n, path, quote(n.text())+` chooses by the Host of an HTTP request, and "stream" has none`, "write "+list(words))
		return a.usual
	}
	a.words = words
	return a.choice.decode(o, n, path)
}

// hosts decodes "hosts"; byName says whether they are chosen by name.
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
		if h, ok := o.object(e, indexPath(path, i), ofHost, hostObject(e)); ok {
			hosts = append(hosts, h.within(o).host(byName))
		}
	}
	return hosts
}

// hostObject returns the correct form of an entry that is not an object.
func hostObject(n *node) string {
	if n.kind == kindString {
		if name, port := splitAddress(n.text()); port != "" {
			return `{ "host": ` + quote(name) + `, "port": ` + port + " }"
		}
	}
	return `{ "host": "127.0.0.1", "port": 9001 }`
}

func (o object) host(byName bool) Host {
	o.unknown()
	h := Host{Alias: o.alias(byName)}
	o.fill(ofHost, &target{host: &h})
	if n, path := o.child("unix"); n != nil {
		h.Unix = o.unixPath(n, path)
		o.exclusive("unix", "host", "port", "srv")
		return h
	}
	if n, path := o.child("srv"); n != nil {
		h.SRV = o.serviceName(n, path)
		o.exclusive("srv", "host", "port")
		if m := o.node.get("weight"); m != nil {
			o.failAt(m.pos, keyPath(o.path, "weight"), `it has no effect together with "srv", whose records have weights`, "remove it")
		}
		return h
	}
	if o.require("host", "", "a name or an address") {
		n, path := o.child("host")
		if n.kind == kindString {
			name, what, remedy := hostName(n.text())
			if path, isUnix := strings.CutPrefix(n.text(), "unix:"); isUnix {
				remedy = `write "unix": ` + quote(path) + ` in place of "host" and "port"`
			}
			if what != "" {
				o.fail(n, path, what, remedy)
			}
			h.Name = name
		} else {
			o.str(n, path)
		}
	}
	if o.require("port", "", "the TCP port of the host, such as 9001") {
		h.Port = uint16(o.integer("port"))
	}
	return h
}

// exclusive reports keys of o that must not be combined with key.
func (o object) exclusive(key string, others ...string) {
	for _, other := range others {
		if m := o.node.get(other); m != nil {
			o.failAt(m.pos, keyPath(o.path, other), "it has no effect together with "+quote(key), "remove one of the two")
		}
	}
}

// serviceName decodes the DNS name of a service.
func (o object) serviceName(n *node, path string) string {
	const remedy = `write the name of SRV records such as "_api._tcp.example"`
	s := o.str(n, path)
	if n.kind != kindString {
		return ""
	}
	name, what, _ := hostName(s)
	if what == "" && !strings.Contains(strings.TrimSuffix(name, "."), ".") || isAddress(name) {
		what = quote(s) + " is not the name of a service"
	}
	if what != "" {
		o.fail(n, path, what, remedy)
		return ""
	}
	return name
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// maxUnixPath is the greatest length of the path of a Unix socket (unix(7)).
const maxUnixPath = 107

// unixPath decodes the path of a Unix socket and cleans it, so that each path has one spelling. A path with ".." is left alone, because it
// may lead through a symbolic link.
func (o object) unixPath(n *node, path string) string {
	s := o.str(n, path)
	switch {
	case n.kind != kindString:
	case s == "":
		o.fail(n, path, "it is empty", `write the path of a socket such as "/run/app.sock"`)
	case strings.HasPrefix(s, "unix:"):
		o.fail(n, path, quote(s)+" has a scheme before the path", "write "+quote(strings.TrimPrefix(strings.TrimPrefix(s, "unix:"), "//")))
	case !strings.HasPrefix(s, "/"):
		o.fail(n, path, quote(s)+" is not an absolute path", `write one such as "/run/app.sock"`)
	case len(s) > maxUnixPath:
		o.fail(n, path, quote(s)+" is longer than the "+strconv.Itoa(maxUnixPath)+" bytes that the path of a socket may have", "use a shorter path")
	case strings.ContainsRune(s, 0):
		o.fail(n, path, quote(s)+" has a NUL in it", "remove it")
	case !strings.Contains(s, ".."):
		return filepath.Clean(s)
	}
	return s
}

// alias decodes "name" of a host. Kroxy ignored that key, and existing files may
// have any label there: unless hosts are chosen by name, an
// invalid name is ignored with a warning.
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
		o.warn(n.pos, path, what+", so it is ignored", remedy)
	}
	return ""
}

// hostAlias returns the name in n, or what is wrong with it.
func hostAlias(n *node) (name, what, remedy string) {
	remedy = `write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has`
	if n.kind != kindString {
		return "", "must be a string, not " + n.describe(), "remove it, or " + remedy
	}
	s := n.text()
	switch {
	case s == AnyName:
		return s, "", ""
	case s == "":
		return "", "it is empty", "remove it, or " + remedy
	case strings.Contains(s, "*"):
		return "", quote(s) + " is a pattern, and only whole names are compared", "write each name in an entry of its own, or " + `"*" for all names that no other host has`
	}
	// The remedy of hostName does not apply: a name cannot have a port beside it here.
	name, what, _ = hostName(s)
	return name, what, remedy
}
