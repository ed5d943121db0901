package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// proxy is the running program: its reactors and what they share.
type proxy struct {
	cfg      *config.Config
	log      *slog.Logger
	access   *accesslog.Log // nil if there is none
	resolver *resolve.Resolver
	group    *upstream.Group
	stream   *streamcodec.Settings // in stream mode
	http     *httpcodec.Settings   // in http mode
	budget   budget
	limit    *engine.Limit
	reactors []*reactor
	paused   pauseLog
	running  sync.WaitGroup
	failed   chan error // the first reason why a reactor stopped by itself
}

// newProxy makes everything that the configuration asks for, the listening sockets included; nothing is accepted before
// start. On an error nothing is left open. Events people should know of go to log.
func newProxy(cfg *config.Config, log *slog.Logger) (*proxy, error) {
	p := &proxy{cfg: cfg, log: log, failed: make(chan error, 1)}
	keep := 0
	if cfg.Mode == config.ModeHTTP {
		keep = cfg.UpstreamKeepalive * len(cfg.Group(cfg.ProxyTo).Hosts)
	}
	p.budget = fileBudget(openFiles(), reactorCount(cfg), cfg.MaxConnections, keep)
	p.limit = engine.NewLimit(p.budget.connections)
	p.paused = pauseLog{log: log, limit: p.budget.connections}
	if err := p.open(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *proxy) open() error {
	addr := netip.AddrPortFrom(netip.IPv4Unspecified(), p.cfg.Port)
	if err := engine.CheckFree(addr); err != nil {
		return p.listenProblem(err)
	}
	format, err := accesslog.Compile(p.cfg.FormatLog, p.cfg.Mode == config.ModeHTTP)
	if err != nil {
		return p.problem("format_log", err.Error(), "correct it")
	}
	if p.cfg.FileLog != "" {
		p.access, err = accesslog.Open(p.cfg.FileLog, accesslog.Options{Report: func(err error) {
			p.log.Error("access log: lines are being lost or writing fails", "error", err)
		}})
		if err != nil {
			return p.problem("file_log", err.Error(), "name a file in a directory that exists and that this user may write to")
		}
	}
	p.resolver = resolve.New(resolve.Options{Timeout: p.cfg.ResolveTimeout, Report: p.resolveChanged})
	n := reactorCount(p.cfg)
	if p.group, err = newGroup(p.cfg, p.resolver, n); err != nil {
		return err
	}
	if p.cfg.Mode == config.ModeHTTP {
		if p.http, err = httpSettings(p.cfg, p.group); err != nil {
			return p.problem("headers", err.Error(), "correct it")
		}
	} else {
		p.stream = streamSettings(p.cfg, p.group)
	}
	for row := range n {
		if err := p.addReactor(row, addr, format); err != nil {
			return err
		}
	}
	return nil
}

// resolveChanged reports when a name begins to fail, and when it is found again.
func (p *proxy) resolveChanged(name string, err error) {
	if err != nil {
		p.log.Warn("resolve: a host's name cannot be resolved", "name", name, "error", err)
		return
	}
	p.log.Info("resolve: a host's name can be resolved again", "name", name)
}

// newGroup builds the group that traffic goes to, counted in a row a reactor.
func newGroup(cfg *config.Config, r *resolve.Resolver, rows int) (*upstream.Group, error) {
	from := cfg.Group(cfg.ProxyTo)
	var names []string
	for _, h := range from.Hosts {
		names = append(names, h.Name)
	}
	algorithm, err := balance.New(from.Algorithm, names)
	if err != nil {
		return nil, err
	}
	g := &upstream.Group{
		Name:           from.Name,
		Balance:        balance.NewGroup(len(from.Hosts), algorithm, balance.NewCounters(rows, len(from.Hosts))),
		ConnectTimeout: cfg.ConnectTimeout,
		ResolveTimeout: cfg.ResolveTimeout,
	}
	for _, h := range from.Hosts {
		g.Hosts = append(g.Hosts, upstream.NewHost(r, h.Name, h.Port))
	}
	return g, nil
}

// addReactor makes the reactor that counts in the given row, with a listening socket of its own.
func (p *proxy) addReactor(row int, addr netip.AddrPort, format *accesslog.Format) error {
	loop, err := engine.NewLoop(engine.Options{MaxPipes: p.budget.pipes})
	if err != nil {
		return err
	}
	var access *accesslog.Buffer
	if p.access != nil {
		access = p.access.NewBuffer(format)
	}
	p.reactors = append(p.reactors, p.newReactor(loop, row, access))
	fd, err := engine.Listen(addr)
	if err != nil {
		return p.listenProblem(err)
	}
	_, err = p.reactors[row].server.Serve(fd, p.limit, p.paused.report)
	return err
}

// start has every reactor serve.
func (p *proxy) start() {
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

// drain stops accepting and returns a channel that is closed when no session is left.
func (p *proxy) drain() <-chan struct{} {
	done := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(p.reactors)))
	for _, r := range p.reactors {
		r.loop.Post(func() {
			r.server.Shutdown(func() {
				if left.Add(-1) == 0 {
					close(done)
				}
			})
		})
	}
	return done
}

// abort ends every session at once.
func (p *proxy) abort() {
	for _, r := range p.reactors {
		r.loop.Post(r.server.Abort)
	}
}

// active is how many sessions there are.
func (p *proxy) active() int64 {
	var n int64
	for _, r := range p.reactors {
		n += r.counts().active
	}
	return n
}

// flushTimeout bounds the writing of the last log lines.
const flushTimeout = 2 * time.Second

// close stops the reactors and releases everything. Sessions must have ended.
func (p *proxy) close() {
	for _, r := range p.reactors {
		r.loop.Stop()
	}
	p.running.Wait()
	for _, r := range p.reactors {
		r.server.Shutdown(func() {})
		r.loop.Close()
	}
	if p.resolver != nil {
		p.resolver.Close()
	}
	if p.access != nil {
		if err := p.access.Close(flushTimeout); err != nil {
			p.log.Error("access log: closing failed", "error", err)
		}
	}
}

// problem is an error at a key of the configuration.
func (p *proxy) problem(key, what, remedy string) error {
	return &config.Error{Problems: []config.Problem{p.cfg.Problem(p.cfg.Mode.String()+"."+key, what, remedy)}}
}

// listenProblem says why the port cannot be listened on, and what to do.
func (p *proxy) listenProblem(err error) error {
	var errno syscall.Errno
	errors.As(err, &errno)
	switch errno {
	case unix.EADDRINUSE:
		return p.problem("port", fmt.Sprintf("port %d is in use by another program", p.cfg.Port),
			fmt.Sprintf("choose another port, or stop that program (ss -ltnp 'sport = :%d' names it)", p.cfg.Port))
	case unix.EACCES:
		return p.problem("port", fmt.Sprintf("this user may not listen on port %d", p.cfg.Port),
			"choose a port from 1024 up, or grant the capability CAP_NET_BIND_SERVICE")
	}
	return p.problem("port", err.Error(), "see the error")
}

// reactorCount is how many reactors run in this process.
func reactorCount(cfg *config.Config) int {
	if cfg.ReactorsNum > 0 {
		return cfg.ReactorsNum
	}
	return runtime.NumCPU()
}

// serve runs the proxy until a signal stops it. Diagnostics go to stderr, without ever blocking a loop.
func serve(cfg *config.Config, stderr io.Writer) error {
	diagnostics := accesslog.New(stderr, accesslog.Options{FlushInterval: 50 * time.Millisecond})
	defer func() { _ = diagnostics.Close(flushTimeout) }() // there is nowhere left to report to
	log := slog.New(slog.NewTextHandler(diagnostics, nil))
	tuneRuntime()
	p, err := newProxy(cfg, log)
	if err != nil {
		return err
	}
	signals := catchSignals()
	p.start()
	log.Info("kroxy-ev: serving", "port", cfg.Port, "mode", cfg.Mode.String(), "reactors", len(p.reactors), "max_connections", p.budget.connections, "group", p.group.Name)
	err = p.supervise(signals)
	p.close()
	return err
}
