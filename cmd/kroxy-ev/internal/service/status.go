package service

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/supervise"
)

// Version is the program's version, for the status.
var Version = "unknown"

// Status implements admin.Backend.
func (s *steering) Status() (*admin.Status, error) { return s.status(true) }

// status is Status. If counted is false it leaves out the servers, and the metrics of groups and hosts.
func (s *steering) status(counted bool) (*admin.Status, error) {
	now := s.inForce.Load()
	if now == nil {
		return nil, fmt.Errorf("kroxy-ev: the program is starting")
	}
	st := &admin.Status{
		Version: Version, PID: os.Getpid(), Mode: "single", Started: s.started, Uptime: time.Since(s.started).Seconds(), State: s.currentState().String(),
		Path: s.path, Hash: now.hash,
		Reloads: []admin.Reload{}, Workers: []admin.Worker{}, Servers: []admin.Server{}, Groups: []admin.Group{}, Certificates: []admin.Certificate{},
	}
	st.Reloads = append(st.Reloads, s.history()...)
	if len(st.Reloads) > 0 {
		last := st.Reloads[0]
		st.LastReload = &last
	}
	if s.workers != nil {
		st.Mode = "master"
		for _, w := range s.workers() {
			st.Workers = append(st.Workers, workerStatus(w))
		}
	}
	at, drained := balance.Now(), s.drained()
	for _, g := range now.overview.Groups {
		st.Groups = append(st.Groups, s.groupStatus(g, now.since, at, drained))
	}
	if counted {
		s.count(st, now)
	}
	st.Certificates = certificates(now.cfg)
	return st, nil
}

// count adds the servers, and the counts of servers, groups and hosts.
func (s *steering) count(st *admin.Status, now *inForce) {
	view := s.recent.view(time.Now())
	for _, server := range now.cfg.Servers {
		st.Servers = append(st.Servers, s.serverStatus(now, server, view))
	}
	for i, g := range now.overview.Groups {
		s.countGroup(&st.Groups[i], now, g, view)
	}
	st.LatencySince = view.end(s.started)
}

func workerStatus(w supervise.Status) admin.Worker {
	state := w.State.String()
	switch w.State {
	case supervise.Draining:
		state = "leaving"
	case supervise.Gone:
		state = "restarting"
	}
	return admin.Worker{Slot: w.Slot, PID: w.PID, State: state, Since: w.Since, Restarts: w.Restarts}
}

func (s *steering) serverStatus(now *inForce, from *config.Server, view recentView) admin.Server {
	http := from.Mode == config.ModeHTTP
	sums := s.counters.metrics.Server(now.places[metrics.Series{Kind: metrics.KindServer, Server: from.Name}])
	st := admin.Server{
		Name: from.Name, Mode: from.Mode.String(), Listen: []string{}, Routes: []admin.Route{},
		Active: sums.Active.Value(), Accepted: sums.Accepted.Value(), Traffic: traffic(&sums.Requests, &sums.Bytes, http),
	}
	for i := range sums.Refused {
		st.Refused += sums.Refused[i].Value()
	}
	for i := range sums.Handshakes {
		st.Handshakes += sums.Handshakes[i].Value()
	}
	for i := range sums.HandshakeErrors {
		st.FailedHandshakes += sums.HandshakeErrors[i].Value()
	}
	for _, l := range from.Listen {
		st.Listen = append(st.Listen, listenPlace(l))
	}
	for i := range from.Routes {
		r := &from.Routes[i]
		series := metrics.Series{Kind: metrics.KindRoute, Server: from.Name, Route: r.Name}
		sums := s.counters.metrics.Route(now.places[series])
		st.Routes = append(st.Routes, admin.Route{
			Name: r.Name, To: routeTarget(r), Traffic: traffic(&sums.Requests, &sums.Bytes, http),
			Failures: sums.Failures.Total(), Retries: sums.Retries.Value(), Latency: latency(view.of(series, &sums.Duration)),
		})
	}
	return st
}

// traffic returns the counts of requests and bytes. For http servers all usual status classes are present, even those with a count of zero.
func traffic(requests *metrics.Classes, bytes *metrics.Bytes, http bool) admin.Traffic {
	t := admin.Traffic{Requests: requests.Total(), Codes: map[string]uint64{}, Received: bytes.Up(), Sent: bytes.Down()}
	for i := 1; i < len(requests); i++ {
		class, usual := fmt.Sprintf("%dxx", i), http && 2 <= i && i <= 5
		if i > 5 {
			class = "other"
		}
		if n := requests[i].Value(); n > 0 || usual {
			t.Codes[class] = n
		}
	}
	return t
}

func latency(h *metrics.Histogram) admin.Latency {
	ms := func(q float64) float64 { return float64(h.Quantile(q).Microseconds()) / 1000 }
	return admin.Latency{P50: ms(0.5), P99: ms(0.99)}
}

// listenPlace returns the address of l: "0.0.0.0:80", "[::]:443" or "unix:/run/kroxy.sock".
func listenPlace(l config.Listen) string {
	if l.Unix != "" {
		return "unix:" + l.Unix
	}
	return listenAddr(l).String()
}

// routeTarget describes a route: its distinct groups, or the kind of its response.
func routeTarget(r *config.Route) string {
	switch {
	case r.Redirect != nil:
		return "redirect"
	case r.Respond != nil:
		return "respond"
	}
	var names []string
	for _, t := range r.To {
		if !slices.Contains(names, t.Group.Name) {
			names = append(names, t.Group.Name)
		}
	}
	return strings.Join(names, ", ")
}

// groupStatus returns the status of a group and its hosts. Began and at are as for hostStatus; drained comes from the method of that name.
func (s *steering) groupStatus(g *proxy.GroupOverview, began time.Time, at int64, drained map[int]time.Time) admin.Group {
	st := admin.Group{Name: g.Name, Algorithm: g.Algorithm, Usable: g.Usable(), Queued: g.Queued(), Hosts: []admin.Host{}}
	for i := range g.Hosts {
		h := hostStatus(&g.Hosts[i], at, began)
		if since, ok := drained[g.Hosts[i].ID()]; ok && h.Drain {
			h.Since = since
		}
		st.Active += h.Active
		st.Hosts = append(st.Hosts, h)
	}
	return st
}

// countGroup adds the counts of a group and its hosts.
func (s *steering) countGroup(st *admin.Group, now *inForce, g *proxy.GroupOverview, view recentView) {
	sums := s.counters.metrics.Group(now.places[metrics.Series{Kind: metrics.KindGroup, Group: g.Name}])
	st.Traffic, st.Failures, st.Retries = traffic(&sums.Requests, &sums.Bytes, g.HTTP), sums.Failures.Total(), sums.Retries.Value()
	for i := range st.Hosts {
		h := &st.Hosts[i]
		series := metrics.Series{Kind: metrics.KindHost, Group: g.Name, Host: g.Hosts[i].Label}
		sums := s.counters.metrics.Host(now.places[series])
		took := &sums.FirstByte
		if !g.HTTP {
			took = &sums.Connect
		}
		h.Traffic, h.Latency = traffic(&sums.Requests, &sums.Bytes, g.HTTP), latency(view.of(series, took))
	}
}

// hostStatus returns the status of a host. Began is when it entered its state if nothing else is known.
func hostStatus(h *proxy.HostOverview, now int64, began time.Time) admin.Host {
	group, i := h.Counted()
	hosts := group.Hosts()
	st := admin.Host{
		Host: h.Place(), Name: h.Alias, State: admin.StateUp, Since: began,
		Active: hosts.Active(i), Served: hosts.Served(i), Failed: hosts.Failed(i) + hosts.Erred(i),
		Weight: hosts.Configured(i), Drain: hosts.Draining(i), Ordered: hosts.Ordered(i),
		Backup: h.Backup, MaxConns: h.MaxConns, Checked: h.Checked,
	}
	condition, age := hosts.Condition(i, now)
	if age > 0 {
		st.Since = time.Now().Add(-age)
	}
	blamed, why := hosts.Blamed(i)
	switch condition {
	case balance.Well:
		st.LastError = lastError(blamed, why)
	case blamed:
		st.State, st.LastError = admin.StateDown, lastError(condition, why)
	default: // the recorded cause belongs to another condition
		st.State, st.LastError = admin.StateDown, condition.String()
	}
	if st.Drain {
		st.State = admin.StateDrain
	}
	return st
}

// lastError describes the current or last problem of a host.
func lastError(what balance.Condition, why balance.Cause) string {
	text := why.String()
	switch {
	case what == balance.Well:
		return ""
	case text == "":
		return what.String()
	}
	return what.String() + ": " + text
}

// certificates returns the certificates that cfg presents to clients and hosts.
func certificates(cfg *config.Config) []admin.Certificate {
	list := []admin.Certificate{}
	all := cfg.Certificates()
	for i := range all {
		file, names, end, ok := all[i].Shown(time.Now())
		one := admin.Certificate{Path: file, Names: listed(names), NotAfter: end}
		if ok && !slices.ContainsFunc(list, func(o admin.Certificate) bool { return o.Path == one.Path && o.NotAfter.Equal(one.NotAfter) }) {
			list = append(list, one)
		}
	}
	return list
}
