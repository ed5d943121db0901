package main

import (
	"net"
	"strconv"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
	"kroxy-ev/streamcodec"
)

// snapshot is one configuration and what was made of it. It is immutable; a reload replaces it by another. Sessions and
// exchanges that have begun with it keep its settings.
type snapshot struct {
	cfg    *config.Config
	keys   keys // of its listeners
	budget budget
	access *accesslog.Log // nil if there is none; its successor may go on with it
	format *logformat.Format
	group  *upstream.Group
	groups *upstream.Groups
	stream *streamcodec.Settings // in stream mode
	http   *httpcodec.Settings   // in http mode
}

// prepare makes a snapshot of cfg, to be committed or discarded; nothing changes yet.
func (p *proxy) prepare(cfg *config.Config, g given) (*snapshot, error) {
	s := &snapshot{cfg: cfg, keys: make(keys), budget: p.share(cfg)}
	for _, l := range listens(cfg) {
		s.keys[l.Key()] = true
	}
	var err error
	if s.format, err = compileFormat(cfg); err != nil {
		return nil, problem(cfg, "format_log", err.Error(), "correct it")
	}
	if s.group, err = p.newGroup(cfg, g.ids); err != nil {
		return nil, err
	}
	s.groups = upstream.NewGroups([]*upstream.Group{s.group}, s.budget.idle, s.budget.share)
	server, err := p.tlsServer(cfg, g.tickets)
	if err != nil {
		return nil, err
	}
	p.makeRoom(server)
	if onlyMode(cfg) == config.ModeHTTP {
		if s.http, err = s.httpSettings(); err != nil {
			return nil, problem(cfg, "headers", err.Error(), "correct it")
		}
		s.http.Opening = s.opening(server)
	} else {
		s.stream = s.streamSettings()
		s.stream.Opening = s.opening(server)
	}
	return s, p.openAccessLog(s)
}

// compileFormat makes what access log lines are made by.
func compileFormat(cfg *config.Config) (*logformat.Format, error) {
	s := onlyServer(cfg)
	if s.FormatFields != nil {
		return logformat.CompileFields(s.FormatFields, s.Mode.LogMode())
	}
	return logformat.Compile(s.FormatLog, s.Mode.LogMode())
}

// share divides the process's open files for cfg. A loop's pipes stay as many as they were.
func (p *proxy) share(cfg *config.Config) budget {
	return fileBudget(openFiles(), p.loops, len(listens(cfg)), cfg.MaxConnections, keepsIdle(cfg))
}

// openAccessLog gives s the log that is open already, or its own.
func (p *proxy) openAccessLog(s *snapshot) error {
	path := onlyServer(s.cfg).FileLog
	if path == "" {
		return nil
	}
	if p.now != nil && onlyServer(p.now.cfg).FileLog == path {
		s.access = p.now.access
		return nil
	}
	var err error
	s.access, err = accesslog.Open(path, accesslog.Options{Report: func(err error) {
		p.log.Error("access log: lines are being lost or writing fails", "error", err)
	}})
	if err != nil {
		return problem(s.cfg, "file_log", err.Error(), "name a file in a directory that exists and that this user may write to")
	}
	return nil
}

// discard releases a snapshot that was not committed, or has had its time.
func (p *proxy) discard(s *snapshot) {
	if s.access == nil || p.now != nil && p.now != s && p.now.access == s.access {
		return
	}
	if err := s.access.Close(flushTimeout); err != nil {
		p.log.Error("access log: closing failed", "error", err)
	}
}

// hostTimeout bounds the time spent connecting to one host: long enough for a lost segment to be sent again, and short enough
// for a client to wait for the next host.
const hostTimeout = 3 * time.Second

// newGroup builds the group that traffic goes to.
func (p *proxy) newGroup(cfg *config.Config, ids []int) (*upstream.Group, error) {
	from := onlyGroup(cfg)
	var names []string
	for _, h := range from.Hosts {
		names = append(names, h.Matches())
	}
	algorithm, err := balance.New(from.Algorithm, names)
	if err != nil {
		return nil, err
	}
	counted, err := balance.NewGroupOf(ids, algorithm, p.counters)
	if err != nil {
		return nil, err
	}
	g := &upstream.Group{Name: from.Name, Balance: counted, ConnectTimeout: from.ConnectTimeout, ResolveTimeout: from.ResolveTimeout,
		HostTimeout: hostTimeout, LastTakesAll: from.ConnectTimeoutSet, Self: p.self,
		TCPKeepalive: from.TCPKeepalive, Keepalive: from.UpstreamKeepalive, KeepaliveTimeout: from.UpstreamKeepaliveTimeout}
	for _, h := range from.Hosts {
		host := p.newHost(h)
		if host.TLS, err = p.tlsClient(cfg, from, h); err != nil {
			return nil, err
		}
		g.Hosts = append(g.Hosts, host)
	}
	return g, nil
}

// opening says what comes before the codec; nil for nothing. Clients are spoken to as server says, by plain TCP if that is nil.
func (s *snapshot) opening(server *tlsconn.Server) *opening.Rules {
	from := onlyServer(s.cfg)
	r := &opening.Rules{
		Senders:  from.Listen[0].ProxyProtocol,
		TLS:      server,
		PeekName: server == nil && from.Mode == config.ModeStream && s.group.Balance.Key() == balance.KeyServerName,
		Timeout:  from.TLSHandshakeTimeout,
	}
	if r.Senders == nil && r.TLS == nil && !r.PeekName {
		return nil
	}
	return r
}

// streamSettings turns the configuration into what stream mode needs.
func (s *snapshot) streamSettings() *streamcodec.Settings {
	r := onlyRoute(s.cfg)
	return &streamcodec.Settings{
		Group:            s.group,
		ReadTimeout:      r.ReadTimeout,
		SendTimeout:      r.SendTimeout,
		ProxyReadTimeout: r.ProxyReadTimeout,
		ProxySendTimeout: r.ProxySendTimeout,
	}
}

// httpSettings turns the configuration into what http mode needs.
func (s *snapshot) httpSettings() (*httpcodec.Settings, error) {
	from, r, g := onlyServer(s.cfg), onlyRoute(s.cfg), onlyGroup(s.cfg)
	policies, problems := policy.Compile(r, nil)
	if problems != nil {
		return nil, config.AsError(policyProblems(s.cfg, r, problems), nil)
	}
	set := &httpcodec.Settings{
		Group:               s.group,
		Policies:            policies,
		ClientHeaderTimeout: from.ClientHeaderTimeout,
		ClientBodyTimeout:   r.ClientBodyTimeout,
		KeepaliveTimeout:    from.KeepaliveTimeout,
		SendTimeout:         r.SendTimeout,
		ProxyReadTimeout:    r.ProxyReadTimeout,
		ProxySendTimeout:    r.ProxySendTimeout,
		MaxBodySize:         r.MaxBodySize,
		UpstreamHost:        r.UpstreamHost,
		Forwarded:           from.ForwardedHeaders,
		Trusted:             from.TrustedProxies,
	}
	usual := uint16(80)
	if g.ProxyTLS.Enabled {
		usual = 443
	}
	for _, h := range g.Hosts {
		set.Names = append(set.Names, httpcodec.HostName{Name: []byte(h.Called()), Authority: []byte(authority(h, usual))})
	}
	return set, nil
}

// newHost makes of h what is connected to.
func (p *proxy) newHost(h config.Host) upstream.Host {
	if h.Unix != "" {
		return upstream.NewUnixHost(h.Unix)
	}
	return upstream.NewHost(p.resolver, h.Name, h.Port)
}

// hostPlace is where h is, as its label says.
func hostPlace(h config.Host) string {
	if h.Unix != "" {
		return "unix:" + h.Unix
	}
	return net.JoinHostPort(h.Name, strconv.Itoa(int(h.Port)))
}

// authority is how Host names h: without the port where it is the usual one, or there is none.
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

// hostKeys names the hosts that traffic goes to, each differently, for a balance.Registry.
func hostKeys(cfg *config.Config) []string {
	g := onlyGroup(cfg)
	seen := make(map[string]int, len(g.Hosts))
	keys := make([]string, len(g.Hosts))
	for i, h := range g.Hosts {
		key := g.Name + "/" + hostPlace(h)
		if h.Alias != "" {
			key += "=" + h.Alias
		}
		keys[i] = key + "#" + strconv.Itoa(seen[key])
		seen[key]++
	}
	return keys
}

// problem is an error at a key of a configuration.
func problem(cfg *config.Config, key, what, remedy string) error {
	return &config.Error{Problems: []config.Problem{cfg.Problem(cfg.PathOf(onlyServer(cfg), key), what, remedy)}}
}
