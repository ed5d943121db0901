// Package proxy serves in one process. It turns a configuration into a Snapshot, with its groups of hosts, routes, policies, certificates and
// access logs, and runs the reactors that serve by it, each with its listeners. It divides the open files among them.
//
// It does not decide when to start, reload or stop, opens no ports and catches no signals. Package service does that, and provides the
// listening sockets, the counters, the ids of hosts and the session ticket keys.
package proxy

import (
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/loglimit"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/trace"
)

// Proxy is everything that serves in a process: the reactors, what they share, and the snapshot that they serve by. Its methods must be called
// from one goroutine, unless they say otherwise.
type Proxy struct {
	groupMaker
	log      *slog.Logger
	limited  *loglimit.Handler // in front of log
	traffic  *slog.Logger      // for lines that traffic can repeat; writes to limited
	loops    int               // number of reactors
	worker   bool              // a master checks hosts and has the admin endpoint
	process  *metrics.Process  // counts what belongs to no particular reactor
	exporter *trace.Exporter   // of spans; nil until tracing is enabled
	checks   *Checks           // nil if another process checks the hosts
	limit    *engine.Limit
	paused   pauseLog
	reactors []*reactor
	places   map[string][]netip.AddrPort // addresses of the listening sockets, by the keys of listeners
	now      *Snapshot                   // nil before the first commit
	closing  sync.WaitGroup              // logs that are being closed outside of the loops
	running  sync.WaitGroup
	failed   chan error // the first error of a reactor
}

// Options are what a proxy needs besides a configuration and its sockets.
type Options struct {
	Counters *balance.Counters
	Rows     []int          // in Counters; one per reactor
	Metrics  []*metrics.Row // rows for all other counts, one per reactor
	Worker   bool           // a master checks hosts and has the admin endpoint
	Resources
}

// Resources are what a snapshot needs besides the configuration.
type Resources struct {
	IDs     []int           // ids of the hosts in the counters, in the order of HostKeys
	Places  []metrics.Place // of the series that SeriesOf returns
	Tickets Tickets
	Secret  []byte // signs the cookies of sticky clients, see NewSecret
}

// New makes everything that cfg asks for, with a reactor per row in o. It takes ownership of the listening sockets, even if it returns an
// error. Nothing is accepted before Start. After an error nothing stays open.
func New(cfg *config.Config, opened Sockets, o Options, log *slog.Logger) (*Proxy, error) {
	p := &Proxy{groupMaker: groupMaker{counters: o.Counters}, log: log, loops: len(o.Rows), worker: o.Worker, process: o.row(0).Process(), places: make(map[string][]netip.AddrPort), failed: make(chan error, 1)}
	p.own = newOwnAddresses()
	p.limited = loglimit.New(log.Handler(), func() { p.process.Suppressed.Add(1) })
	p.traffic = slog.New(p.limited)
	p.signers = tlsconn.NewSigners(p.loops)
	p.resolver = resolve.New(resolve.Options{Settings: ResolverSettings(cfg), Report: p.resolveChanged, Excess: p.tooManyAddresses})
	if err := p.open(cfg, opened, o); err != nil {
		opened.Close()
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Proxy) open(cfg *config.Config, opened Sockets, o Options) error {
	s, err := p.Prepare(cfg, o.Resources)
	if err != nil {
		return err
	}
	p.now = s
	p.limit = new(engine.Limit)
	p.limit.Set(s.budget.connections, s.budget.files)
	p.paused = pauseLog{log: p.log, limit: s.budget.connections}
	if err := p.listensOn(s, opened); err != nil {
		return err
	}
	for i, row := range o.Rows {
		r, err := p.newReactor(row, o.row(i), s)
		if err != nil {
			return err
		}
		p.reactors = append(p.reactors, r)
		if err := r.take(s, opened.of(i)); err != nil {
			return err
		}
	}
	return nil
}

// Failed returns a channel with the first error of a reactor that cannot go on.
func (p *Proxy) Failed() <-chan error { return p.failed }

// Config returns the configuration that the snapshot was made from.
func (s *Snapshot) Config() *config.Config { return s.cfg }

// Config returns the configuration in force.
func (p *Proxy) Config() *config.Config { return p.now.cfg }

// MaxConnections returns how many clients may be connected at a time, by the configuration and the limit on open files.
func (p *Proxy) MaxConnections() int { return p.now.budget.connections }

// Reactors returns the number of reactors.
func (p *Proxy) Reactors() int { return p.loops }

// FirstLoop returns the loop of the first reactor; a worker has no other.
func (p *Proxy) FirstLoop() *engine.Loop { return p.reactors[0].loop }

// ForgetRepeated allows suppressed repetitions of log lines again, because the log is a new one.
func (p *Proxy) ForgetRepeated() { p.limited.Forget() }

// resolveTimeout returns how long a lookup may take: the longest timeout of all groups, or 0 for no limit.
func resolveTimeout(cfg *config.Config) time.Duration {
	var longest time.Duration
	for _, use := range usedGroups(cfg) {
		if use.group.ResolveTimeout == 0 {
			return 0
		}
		longest = max(longest, use.group.ResolveTimeout)
	}
	return longest
}

// listensOn makes hosts at addresses that s listens on refused from now on, because such connections would come back to this proxy. Opened
// are the new sockets of s.
func (p *Proxy) listensOn(s *Snapshot, opened Sockets) error {
	for key, list := range opened {
		addrs, err := engine.ListensOn(list[0])
		if err != nil {
			return err
		}
		p.places[key] = addrs
	}
	maps.DeleteFunc(p.places, func(key string, _ []netip.AddrPort) bool { return !s.keys[key] })
	p.own.follow(s.cfg, p.places)
	return nil
}

// Drop closes those of the given sockets whose keys the proxy listens on already.
func (p *Proxy) Drop(opened Sockets) {
	for key, list := range opened {
		if p.now.keys[key] {
			for _, fd := range list {
				engine.CloseFD(int32(fd))
			}
			delete(opened, key)
		}
	}
}

// makeRoom raises GOMAXPROCS if s has signers, of which there are as many as loops. With fewer processors, a loop that returns from a system
// call would wait until a signature is finished.
func (p *Proxy) makeRoom(s *tlsconn.Server) {
	if n := 2 * p.loops; s.Signs() && runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
}

// Commit switches every reactor to s between two of its events, and gives it the new listening sockets, which it then owns. Commit returns
// when all have switched.
func (p *Proxy) Commit(s *Snapshot, opened Sockets) error {
	old := p.now
	p.now = s
	s.publish()
	p.limit.Set(s.budget.connections, s.budget.files)
	p.paused.setLimit(s.budget.connections)
	p.followTracing()
	p.resolver.Follow(ResolverSettings(s.cfg))
	errs := []error{p.listensOn(s, opened)}
	taken := make(chan error, len(p.reactors))
	for i, r := range p.reactors {
		own := opened.of(i)
		r.loop.Post(func() { taken <- r.take(s, own) })
	}
	for range p.reactors {
		errs = append(errs, <-taken)
	}
	p.Discard(old)
	p.followChecks()
	return errors.Join(errs...)
}

// resolveChanged logs when a name begins to fail, and when it can be resolved again.
func (p *Proxy) resolveChanged(name string, err error) {
	if err != nil {
		p.log.Warn("resolve: a host's name cannot be resolved", "name", name, "error", err)
		return
	}
	p.log.Info("resolve: a host's name can be resolved again", "name", name)
}

// tooManyAddresses logs that a name has more addresses than are used.
func (p *Proxy) tooManyAddresses(name string, found, used int) {
	p.log.Warn("resolve: a host's name has more addresses than are used", "name", name, "addresses", found, "used", used)
}

// Start starts every reactor.
func (p *Proxy) Start() {
	p.now.publish()
	for _, r := range p.reactors {
		p.running.Go(func() {
			if err := r.loop.Run(); err != nil {
				select {
				case p.failed <- err:
				default:
				}
			}
		})
	}
}

// Drain stops accepting at once, tells clients that their connections close, and returns a channel that is closed when no session is left.
func (p *Proxy) Drain() <-chan struct{} {
	return p.whenDrained((*reactor).drain)
}

// Leave is like Drain, but accepts until all handshakes that have begun are over, so that no client is refused. It closes at once the sockets
// whose keys are in shared, because others accept from these too.
func (p *Proxy) Leave(shared Keys) <-chan struct{} {
	return p.whenDrained(func(r *reactor, drained func()) { r.leave(shared, drained) })
}

// whenDrained begins a drain of every reactor.
func (p *Proxy) whenDrained(begin func(r *reactor, drained func())) <-chan struct{} {
	done := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(p.reactors)))
	for _, r := range p.reactors {
		r.announceClose()
		r.loop.Post(func() {
			begin(r, func() {
				if left.Add(-1) == 0 {
					close(done)
				}
			})
		})
	}
	return done
}

// Stay revokes a drain that has not ended; accepting resumes with the next Commit.
func (p *Proxy) Stay() {
	for _, r := range p.reactors {
		r.loop.Post(r.stay)
	}
}

// Abort stops accepting and ends every session at once, which also ends a drain.
func (p *Proxy) Abort() {
	for _, r := range p.reactors {
		r.loop.Post(r.abort)
	}
}

// Active returns the number of sessions.
func (p *Proxy) Active() int64 {
	var n int64
	for _, r := range p.reactors {
		n += r.counts().Active
	}
	return n
}

// Reopen reopens the access logs, after logrotate(8) has moved them away.
func (p *Proxy) Reopen() {
	for _, log := range p.now.logs {
		if err := log.Reopen(); err != nil {
			p.log.Error("access log: reopening failed", "error", err)
		}
	}
}

// FlushTimeout bounds the writing of the last log lines.
const FlushTimeout = 2 * time.Second

// Close stops the reactors and releases everything. Sessions must have ended.
func (p *Proxy) Close() {
	if p.checks != nil {
		p.checks.Close()
	}
	for _, r := range p.reactors {
		r.loop.Stop()
	}
	p.running.Wait()
	for _, r := range p.reactors {
		r.drain(func() {})
		r.connector.Close()
		r.tls.Close()
		r.loop.Close()
	}
	if p.exporter != nil {
		p.exporter.Close(FlushTimeout)
	}
	p.limited.Close()
	p.signers.Close()
	p.resolver.Close()
	if p.now != nil {
		p.Discard(p.now)
	}
	p.closing.Wait()
}

// ReactorCount returns the number of reactors in a process without workers.
func ReactorCount(cfg *config.Config) int {
	if cfg.ReactorsNum > 0 {
		return cfg.ReactorsNum
	}
	return runtime.NumCPU()
}
