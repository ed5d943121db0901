package proxy

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/trace"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/httpcodec/h2conn"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/httpcodec/route"
	"kroxy-ev/logformat"
	"kroxy-ev/streamcodec"
)

// Snapshot is one configuration and everything made from it. It is immutable; a reload replaces it. Sessions and exchanges that have begun
// with a snapshot keep its settings.
type Snapshot struct {
	cfg      *config.Config
	ids      []int // of its hosts
	keys     Keys  // of its listeners
	budget   budget
	logs     map[string]*sharedLog // by path, or by the description of a syslog
	groups   []*upstream.Group     // those that get traffic
	pools    *upstream.Groups      // those of http mode, for connectors
	exporter *trace.Exporter       // of spans; nil if there is no tracing
	entries  []entry               // one per server of cfg
}

// entry is what serves the clients of one server, whichever of its listeners accepted them.
type entry struct {
	server  *config.Server
	opening []*opening.Rules // what precedes the codec, one per listener; nil for nothing
	logs    []*sharedLog     // its access logs
	format  *logformat.Format
	stream  *streamcodec.Settings // in stream mode
	http    *httpcodec.Settings   // in http mode
}

// Prepare makes a snapshot of cfg, for Commit or Discard; nothing changes yet.
func (p *Proxy) Prepare(cfg *config.Config, res Resources) (*Snapshot, error) {
	s := &Snapshot{cfg: cfg, ids: res.IDs, keys: make(Keys), budget: p.share(cfg), logs: make(map[string]*sharedLog), entries: make([]entry, len(cfg.Servers))}
	for _, l := range Listeners(cfg) {
		s.keys[l.Key()] = true
	}
	uses := usedGroups(cfg)
	groups, err := p.makeGroups(cfg, uses, res.IDs)
	if err != nil {
		return nil, err
	}
	groups.makeSticky(cfg, res.Secret)
	groups.measure(PlacesOf(cfg, res.Places))
	s.exporter = p.exporterFor(cfg)
	var pooled []*upstream.Group
	for _, use := range uses {
		g := groups[use].Group
		if s.groups = append(s.groups, g); use.mode == config.ModeHTTP { // stream sessions do not reuse connections
			pooled = append(pooled, g)
		}
	}
	s.pools = upstream.NewGroups(pooled, s.budget.idle, s.budget.share)
	for i, server := range cfg.Servers {
		if s.entries[i], err = p.newEntry(cfg, server, groups, res.Tickets); err != nil {
			return nil, err
		}
	}
	s.measure(PlacesOf(cfg, res.Places))
	for i := range s.entries {
		if err := p.openAccessLog(s, &s.entries[i]); err != nil {
			p.Discard(s)
			return nil, err
		}
	}
	return s, nil
}

// newEntry makes an entry without its log.
func (p *Proxy) newEntry(cfg *config.Config, server *config.Server, groups groups, t Tickets) (e entry, err error) {
	e.server = server
	if e.format, err = compileFormat(server); err != nil {
		return e, cfg.KeyError(server, "format_log", err.Error(), "correct it")
	}
	tls, err := p.tlsServers(cfg, server, t)
	if err != nil {
		return e, err
	}
	routes, err := compileRoutes(cfg, server)
	if err != nil {
		return e, err
	}
	if server.Mode == config.ModeStream {
		e.stream = streamSettings(server, routes.table, groups)
	} else {
		e.http = httpSettings(server, routes, groups)
	}
	e.opening = openings(server, groups, tls)
	return e, nil
}

// compileFormat compiles the format of access log lines.
func compileFormat(s *config.Server) (*logformat.Format, error) {
	if s.FormatFields != nil {
		return logformat.CompileFields(s.FormatFields, s.Mode.LogMode())
	}
	return logformat.Compile(s.FormatLog, s.Mode.LogMode())
}

// share divides the process's open files for cfg. The number of pipes per loop stays as it was at the start.
func (p *Proxy) share(cfg *config.Config) budget {
	return fileBudget(freeFiles(cfg, openFiles(), p.worker), p.loops, len(Listeners(cfg)), cfg.MaxConnections, keepsIdle(cfg))
}

// openAccessLog sets e's logs: those that are open already, or new ones.
func (p *Proxy) openAccessLog(s *Snapshot, e *entry) error {
	if path := e.server.FileLog; path != "" {
		err := p.addLog(s, e, path, func() (*sharedLog, error) { return p.openLog(path) })
		if err != nil {
			return s.cfg.KeyError(e.server, "file_log", err.Error(), "name a file in a directory that exists and that this user may write to")
		}
	}
	if to := e.server.Syslog; to != nil {
		return p.addLog(s, e, fmt.Sprintf("syslog %+v", *to), func() (*sharedLog, error) { return p.openSyslog(to), nil })
	}
	return nil
}

// addLog adds the log with that name to e's logs. If it is not open yet, addLog calls open.
func (p *Proxy) addLog(s *Snapshot, e *entry, name string, open func() (*sharedLog, error)) (err error) {
	log := s.logs[name]
	if log == nil {
		if p.now != nil {
			log = p.now.logs[name]
		}
		if log == nil {
			if log, err = open(); err != nil {
				return err
			}
		}
		log.hold()
		s.logs[name] = log
	}
	e.logs = append(e.logs, log)
	return nil
}

// Discard releases a snapshot that was not committed, or has been replaced.
func (p *Proxy) Discard(s *Snapshot) {
	for _, log := range s.logs {
		log.release()
	}
}

// hostTimeout bounds the time spent connecting to one host: long enough to retransmit a lost segment, and short enough for a client to wait for
// the next host.
const hostTimeout = 3 * time.Second

// groups are the groups that a configuration's routes use, one per group and mode.
type groups map[groupUse]group

// group is a group, and the names of its hosts in requests.
type group struct {
	*upstream.Group
	names  []httpcodec.HostName
	sticky *httpcodec.Sticky // nil if clients are not sticky
}

// groupUse is a group and the mode of servers that use it, which determines the protocol spoken to its hosts.
type groupUse struct {
	group *config.Group
	mode  config.Mode
}

// usedGroups returns the groups that cfg's routes lead to, in the order of the file, one entry per mode.
func usedGroups(cfg *config.Config) []groupUse {
	var list []groupUse
	seen := make(map[groupUse]bool)
	for _, s := range cfg.Servers {
		for i := range s.Routes {
			for _, t := range s.Routes[i].To {
				if use := (groupUse{t.Group, s.Mode}); !seen[use] {
					seen[use] = true
					list = append(list, use)
				}
			}
		}
	}
	return list
}

// groupMaker is what is needed for making groups.
type groupMaker struct {
	counters *balance.Counters
	resolver *resolve.Resolver
	own      ownAddresses
	signers  *tlsconn.Signers // nil if no loop makes handshakes
}

// makeGroups makes groups of cfg for these uses. Their hosts are counted under ids, in the order of HostKeys.
func (m *groupMaker) makeGroups(cfg *config.Config, uses []groupUse, ids []int) (groups, error) {
	keys, places := hostKeys(cfg)
	made := make(groups)
	for _, use := range uses {
		own, specs := make([]int, len(use.group.Hosts)), make([]balance.Spec, len(use.group.Hosts))
		for i, at := range places[use.group] {
			if at >= len(ids) {
				return nil, fmt.Errorf("kroxy-ev: there are %d ids of hosts, too few", len(ids))
			}
			own[i], specs[i] = ids[at], hostSpec(use.group.Hosts[i], keys[at])
		}
		g, err := m.newGroup(cfg, use, own, specs)
		if err != nil {
			return nil, err
		}
		made[use] = group{Group: g, names: hostNames(use.group)}
	}
	return made, nil
}

// newGroup makes a group whose hosts are counted under these ids and chosen by specs.
func (m *groupMaker) newGroup(cfg *config.Config, use groupUse, ids []int, specs []balance.Spec) (*upstream.Group, error) {
	from := use.group
	counted, err := balance.NewGroupOf(ids, balancing(from, specs), m.counters)
	if err != nil {
		return nil, err
	}
	g := &upstream.Group{Name: from.Name, Balance: counted, ConnectTimeout: from.ConnectTimeout, ResolveTimeout: from.ResolveTimeout,
		HostTimeout: hostTimeout, LastTakesAll: from.ConnectTimeoutSet, Self: m.own.of(use.mode),
		TCPKeepalive: from.TCPKeepalive, Keepalive: from.UpstreamKeepalive, KeepaliveTimeout: from.UpstreamKeepaliveTimeout,
		ProxyProtocol: proxyproto.Named(from.ProxyProtocol), Protocol: hostProtocol(from),
		KeepHost: keepsHost(from), Retries: from.Retry.Attempts, Queue: upstream.Queue{Size: from.Queue.Size, Timeout: from.Queue.Timeout}}
	if from.HashKey != "" {
		if g.HashKey, err = logformat.CompileTemplate(from.HashKey, keyPlace(use.mode)); err != nil {
			return nil, err
		}
	}
	for _, h := range from.Hosts {
		host := m.newHost(h)
		if host.TLS, err = m.tlsClient(cfg, use, h); err != nil {
			return nil, err
		}
		g.Hosts = append(g.Hosts, host)
	}
	return g, nil
}

// keepsHost reports whether a host of g that cannot be reached is not replaced by another. Such a retry is always safe, because nothing was
// sent. So it happens even if "connect" is not among the retry conditions, as long as other retries are allowed.
func keepsHost(g *config.Group) bool { return g.Retry.Attempts == 0 && !g.Retry.On.Connect }

// keyPlace returns the log format mode in which a hash key is expanded.
func keyPlace(m config.Mode) logformat.Mode {
	if m == config.ModeStream {
		return logformat.OnSession
	}
	return logformat.OnRequest
}

// openings returns, for each of the server's listeners, what precedes the codec; nil for nothing. TLS listeners use the servers in tls.
func openings(from *config.Server, groups groups, tls tlsServers) []*opening.Rules {
	asked, needed := namesInHellos(from, groups)
	list := make([]*opening.Rules, len(from.Listen))
	for i, l := range from.Listen {
		r := &opening.Rules{Senders: l.ProxyProtocol, TLS: tls.of(&l), PeekName: asked && !l.TLS, Plain: !needed, Timeout: from.TLSHandshakeTimeout}
		if r.Senders != nil || r.TLS != nil || r.PeekName {
			list[i] = r
		}
	}
	return list
}

// namesInHellos reports whether a stream server's routes or hosts are chosen by the server name in a ClientHello (asked), and whether a host
// cannot be chosen without a name (needed).
func namesInHellos(server *config.Server, groups groups) (asked, needed bool) {
	if server.Mode != config.ModeStream {
		return false, false
	}
	for i := range server.Routes {
		r := &server.Routes[i]
		asked = asked || r.Match != nil && len(r.Match.SNI) > 0
		for _, t := range r.To {
			g := groups[groupUse{t.Group, server.Mode}]
			needed = needed || g.Balance.Key() == balance.KeyServerName
			asked = asked || g.HashKey != nil && g.HashKey.Has("tls_sni")
		}
	}
	return asked || needed, needed
}

// streamSettings converts a server of stream mode to its codec's settings.
func streamSettings(server *config.Server, table *route.Table, groups groups) *streamcodec.Settings {
	set := &streamcodec.Settings{Server: server, Routes: make([]streamcodec.Route, len(server.Routes)), Table: table}
	for i := range server.Routes {
		r := streamcodec.Route{Route: &server.Routes[i]}
		for _, t := range r.To {
			g := groups[groupUse{t.Group, server.Mode}]
			r.Targets = append(r.Targets, streamcodec.Target{Group: g.Group, Weight: t.Weight})
		}
		set.Routes[i] = r
	}
	return set
}

// httpSettings converts a server of http mode to its codec's settings.
func httpSettings(server *config.Server, routes *compiled, groups groups) *httpcodec.Settings {
	set := &httpcodec.Settings{
		Server:   *server,
		HTTP2:    h2conn.Limits{MaxStreams: server.HTTP2.MaxStreams, Window: server.HTTP2.Window, ConnWindow: server.HTTP2.ConnectionWindow},
		Unrouted: httpRoute(&server.Unrouted, routes.unrouted, groups),
		Routes:   make([]httpcodec.Route, len(server.Routes)),
		Table:    routes.table,
	}
	for i := range server.Routes {
		set.Routes[i] = httpRoute(&server.Routes[i], routes.policies[i], groups)
	}
	return set
}

// httpRoute converts a route of http mode and its policies to the codec's form.
func httpRoute(from *config.Route, policies policy.Set, groups groups) httpcodec.Route {
	r := httpcodec.Route{Route: from, Policies: policies}
	for _, t := range from.To {
		g := groups[groupUse{t.Group, config.ModeHTTP}]
		target := httpcodec.Target{Group: g.Group, Names: g.names, Weight: t.Weight, Retry: t.Group.Retry, Sticky: g.sticky}
		if t.Group.PassiveCheck.Requests {
			target.Errors = t.Group.PassiveCheck.Status
		}
		r.Targets = append(r.Targets, target)
	}
	return r
}

// hostNames returns the names of g's hosts in requests.
func hostNames(g *config.Group) []httpcodec.HostName {
	usual := uint16(80)
	if g.ProxyTLS.Enabled {
		usual = 443
	}
	var list []httpcodec.HostName
	for _, h := range g.Hosts {
		list = append(list, httpcodec.HostName{Name: []byte(h.Called()), Authority: []byte(authority(h, usual))})
	}
	return list
}

// newHost makes an upstream host from h.
func (m *groupMaker) newHost(h config.Host) upstream.Host {
	if h.Unix != "" {
		return upstream.NewUnixHost(h.Unix)
	}
	if h.SRV != "" {
		return m.newServiceHost(h)
	}
	return upstream.NewHost(m.resolver, h.Name, h.Port)
}

// authority returns the Host value for h: without the port if that is the usual one, or if there is none.
func authority(h config.Host, usual uint16) string {
	name := h.Called()
	if h.Port != usual && h.Unix == "" {
		return net.JoinHostPort(name, strconv.Itoa(int(h.Port)))
	}
	if ip := net.ParseIP(name); ip != nil && ip.To4() == nil {
		return "[" + name + "]"
	}
	return name
}

// HostKeys returns a key for each host that gets traffic, for a balance.Registry. Resources.IDs are the ids of these, in this order.
func HostKeys(cfg *config.Config) []string {
	keys, _ := hostKeys(cfg)
	return keys
}

// hostKeys returns the keys of HostKeys, and for the hosts of each group the indexes of their keys. Hosts with the same name, in groups of the
// same name, share a key.
func hostKeys(cfg *config.Config) (keys []string, places map[*config.Group][]int) {
	known := make(map[string]int)
	places = make(map[*config.Group][]int)
	for _, use := range usedGroups(cfg) {
		g := use.group
		if places[g] != nil {
			continue
		}
		seen := make(map[string]int, len(g.Hosts))
		for _, h := range g.Hosts {
			key := hostKey(g, h)
			numbered := key + "#" + strconv.Itoa(seen[key])
			seen[key]++
			at, ok := known[numbered]
			if !ok {
				at = len(keys)
				known[numbered] = at
				keys = append(keys, numbered)
			}
			places[g] = append(places[g], at)
		}
	}
	return keys, places
}

func hostKey(g *config.Group, h config.Host) string {
	key := g.Name + "/" + h.Place()
	if h.Alias != "" {
		key += "=" + h.Alias
	}
	return key
}
