package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/supervise"
)

// steering lets the admin endpoint and commands inspect and control the process that reads the configuration. The methods of admin.Backend
// may be called from any goroutine; follow, say and record must be called by the goroutine that carries out orders.
type steering struct {
	path     string // of the configuration, as given
	log      *slog.Logger
	counters *counters
	workers  func() []supervise.Status // nil without worker processes
	orders   chan order                // to the goroutine that carries out orders
	closed   chan struct{}             // closed when orders are no longer carried out
	started  time.Time                 // when the program was first started, upgrades not counted
	state    atomic.Int32              // a serviceState
	inForce  atomic.Pointer[inForce]

	metrics *admin.Metrics
	recent  recent

	giving  sync.Mutex // held while an order about a host is given
	mu      sync.Mutex
	reloads []admin.Reload // the newest first
	// drains says since when hosts have been drained, by their ids in the counters.
	drains map[int]time.Time
}

// inForce is the configuration in force and what is derived from it.
type inForce struct {
	cfg      *config.Config
	overview *proxy.Overview
	places   map[metrics.Series]metrics.Place
	series   []metrics.Series // keys of places, in the order of the file
	hash     string
	since    time.Time // since when a host is in its state if that has not changed since the start
}

// serviceState is what the program is doing.
type serviceState int32

const (
	stateStarting serviceState = iota
	stateServing
	stateBusy // reloading or upgrading
	stateStopping
)

func (s serviceState) String() string {
	return [...]string{"starting", "serving", "reloading", "stopping"}[s]
}

// maxReloads is how many reloads are remembered.
const maxReloads = 20

func newSteering(path string, counters *counters, log *slog.Logger) *steering {
	s := &steering{path: path, log: log, counters: counters, orders: make(chan order), closed: make(chan struct{}), started: time.Now()}
	s.metrics = admin.NewMetrics(s.measure)
	return s
}

// follow sets the configuration in force and where its hosts and series are counted.
func (s *steering) follow(cfg *config.Config, res *proxy.Resources) {
	o, err := proxy.NewOverview(cfg, res.IDs, s.counters.memory)
	if err != nil { // cannot happen: the same groups serve already
		s.log.Error("kroxy-ev: the hosts of the configuration cannot be listed", "error", err)
		o = &proxy.Overview{}
	}
	places := make(map[metrics.Series]metrics.Place)
	var list []metrics.Series
	for i, series := range proxy.SeriesOf(cfg) {
		if _, twice := places[series]; i < len(res.Places) && !twice {
			places[series] = res.Places[i]
			list = append(list, series)
		}
	}
	s.inForce.Store(&inForce{cfg: cfg, overview: o, places: places, series: list, hash: cfg.Source().Hash(), since: s.started})
	s.noteDrains()
}

// noteDrains records the time for newly drained hosts and removes hosts that are no longer drained.
func (s *steering) noteDrains() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, next := time.Now(), make(map[int]time.Time)
	for _, g := range s.inForce.Load().overview.Groups {
		for i := range g.Hosts {
			h := &g.Hosts[i]
			counted, at := h.Counted()
			if !counted.Hosts().Draining(at) {
				continue
			}
			since, known := s.drains[h.ID()]
			if !known {
				since = now
			}
			next[h.ID()] = since
		}
	}
	s.drains = next
}

// drained says since when hosts have been drained, by their ids in the counters.
func (s *steering) drained() map[int]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.drains)
}

// forgetOrders cancels all orders about hosts, because a newly read configuration is in force.
func (s *steering) forgetOrders() {
	s.giving.Lock()
	defer s.giving.Unlock()
	s.counters.memory.ForgetOrders()
	s.inForce.Load().overview.Enforce()
	s.noteDrains()
}

// setState sets what the program is doing.
func (s *steering) setState(state serviceState) { s.state.Store(int32(state)) }

func (s *steering) currentState() serviceState { return serviceState(s.state.Load()) }

// record remembers a finished reload.
func (s *steering) record(by string, err error, w warnings) {
	r := admin.Reload{Time: time.Now(), OK: err == nil, By: by, Warnings: listed(w.list), Changes: listed(w.changes), Hash: s.inForce.Load().hash}
	if err != nil {
		r.Error = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reloads = slices.Insert(s.reloads, 0, r)
	s.reloads = s.reloads[:min(len(s.reloads), maxReloads)]
}

// listed returns list, or an empty list instead of nil.
func listed(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// refuse answers all orders, until close, with errStopping.
func (s *steering) refuse() {
	for {
		select {
		case o := <-s.orders:
			o.reply(errStopping, warnings{})
		case <-s.closed:
			return
		}
	}
}

// close ends the carrying out of orders.
func (s *steering) close() { close(s.closed) }

// history returns the remembered reloads.
func (s *steering) history() []admin.Reload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reloads)
}

// takeTime is how long Reload waits for its order to be taken before it looks again whether the program is busy or stopping.
const takeTime = 100 * time.Millisecond

// Reload implements admin.Backend.
func (s *steering) Reload(ctx context.Context) (*admin.Outcome, error) {
	o := newOrder(VerbReload, byAdmin)
	defer close(o.replied)
	for taken := false; !taken; {
		switch s.currentState() {
		case stateBusy:
			return nil, admin.ErrBusy
		case stateStopping:
			return nil, admin.ErrStopping
		}
		select {
		case s.orders <- o:
			taken = true
		case <-s.closed:
			return nil, admin.ErrStopping
		case <-time.After(takeTime):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case done := <-o.outcome:
		out := &admin.Outcome{Problems: problems(done.err), Warnings: listed(done.warnings.list), Changes: listed(done.warnings.changes)}
		if errors.Is(done.err, errStopping) {
			return nil, admin.ErrStopping
		}
		return out, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// problems returns what an error says is wrong.
func problems(err error) []admin.Problem {
	list := []admin.Problem{}
	var bad *config.Error
	switch {
	case err == nil:
	case errors.As(err, &bad):
		for _, p := range bad.Problems {
			list = append(list, admin.Problem{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, What: p.What, Remedy: p.Remedy})
		}
	default:
		list = append(list, admin.Problem{What: err.Error()})
	}
	return list
}

// maxWeight is the greatest weight that an order may set; it is the same as in a configuration.
const maxWeight = 1000

// SetHost implements admin.Backend.
func (s *steering) SetHost(group, host string, o admin.HostOrder, by string) error {
	if o.Weight != nil && (*o.Weight < 0 || *o.Weight > maxWeight) {
		return fmt.Errorf("%w, not %d", admin.ErrWeight, *o.Weight)
	}
	s.giving.Lock()
	defer s.giving.Unlock()
	now := s.inForce.Load()
	if now == nil {
		return fmt.Errorf("%w %q: the program is starting", admin.ErrNoGroup, group)
	}
	g := now.overview.Group(group)
	if g == nil {
		return fmt.Errorf("%w %q", admin.ErrNoGroup, group)
	}
	found := g.Find(host)
	if len(found) == 0 {
		return fmt.Errorf("%w %q in group %q", admin.ErrNoHost, host, group)
	}
	for _, i := range found {
		counted, at := g.Hosts[i].Counted()
		drain, weight := counted.Orders(at)
		if o.Drain != nil {
			drain = o.Drain
		}
		if o.Weight != nil {
			weight = o.Weight
		}
		g.Order(i, drain, weight)
	}
	s.noteDrains()
	attrs := []any{"group", group, "host", host}
	if o.Drain != nil {
		attrs = append(attrs, "drain", *o.Drain)
	}
	if o.Weight != nil {
		attrs = append(attrs, "weight", *o.Weight)
	}
	s.log.Info("kroxy-ev: an order for a host, until the next reload", append(attrs, "by", by)...)
	return nil
}

// Config implements admin.Backend.
func (s *steering) Config() ([]byte, error) {
	now := s.inForce.Load()
	if now == nil {
		return nil, errors.New("kroxy-ev: the program is starting")
	}
	return now.cfg.Effective()
}

// Gather implements admin.Backend.
func (s *steering) Gather(w io.Writer, accept string) (mediaType string, err error) {
	return s.metrics.Gather(w, accept)
}

// measure collects the current values for the metrics.
func (s *steering) measure() (m admin.Measured, err error) {
	now := s.inForce.Load()
	if now == nil {
		return m, errors.New("the program is starting")
	}
	m = admin.Measured{Table: s.counters.metrics, Series: now.series, Places: make([]metrics.Place, len(now.series))}
	for i, series := range now.series {
		m.Places[i] = now.places[series]
	}
	m.Status, err = s.status(false) // counts come from the table
	return m, err
}

// Ready implements admin.Backend.
func (s *steering) Ready() error {
	switch s.currentState() {
	case stateStarting:
		return errors.New("the program is starting")
	case stateStopping:
		return errors.New("the program is stopping")
	}
	o := s.inForce.Load().overview
	for _, g := range o.Groups {
		if g.Usable() > 0 {
			return nil
		}
	}
	if len(o.Groups) > 0 {
		return errors.New("no host of any group is usable")
	}
	return nil
}
