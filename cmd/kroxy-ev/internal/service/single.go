package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// Single is the program without worker processes: one proxy, with the signals, orders, ports and logs of its process.
type Single struct {
	proxy     *proxy.Proxy
	log       *slog.Logger
	errors    *errorLog
	counters  *counters
	tickets   proxy.Tickets
	secret    []byte // signs the cookies of sticky clients
	renewal   renewal
	discovery discovery
	services  proxy.Services // the services that the current configuration was expanded with
	path      string         // path of the configuration; empty if it cannot be read again
	steering  *steering
	signals   signals
	control   *control // nil if there is none
	pid       pidFile
	ports     ports
	admin     adminPorts
	closed    closedPorts
}

// warnWait warns if the event loops of this build wait in the slower way.
func warnWait(log *slog.Logger) {
	if !engine.Tuned {
		log.Warn("kroxy-ev: the event loops are not built for the scheduler of "+runtime.Version()+", and use ordinary waits: everything works, but light load costs more CPU",
			"remedy", "build with Go 1.26, or get a version of kroxy-ev that supports this version of Go")
	}
}

// NewSingle makes a proxy with its ports and counters. It serves from Start on.
func NewSingle(cfg *config.Config, log *slog.Logger) (_ *Single, err error) {
	n := proxy.ReactorCount(cfg)
	s := &Single{log: log, discovery: newDiscovery(log)}
	defer func() {
		if err != nil {
			s.discovery.Close()
		}
	}()
	s.services = s.discovery.expand(cfg, nil)
	if s.counters, err = newCounters(log); err != nil {
		return nil, err
	}
	o, err := s.counters.options(cfg, n)
	if err != nil {
		return nil, err
	}
	s.tickets, s.secret = o.Tickets, o.Secret
	if s.ports, err = ports(nil).prepare(cfg, slots{n, "reactors_num"}, systemdSockets(cfg, log), &s.closed); err != nil {
		return nil, err
	}
	opened, err := s.ports.duplicates(n, nil)
	if err == nil {
		s.proxy, err = proxy.New(cfg, opened, o, log)
	}
	if err != nil {
		s.ports.remove()
		return nil, err
	}
	s.proxy.CheckHosts()
	s.renewal.watch(cfg)
	s.counters.started()
	s.steering = newSteering("", s.counters, log)
	s.steering.follow(cfg, &o.Resources)
	return s, nil
}

// withoutUser returns an error if cfg asks for another user: a process without workers cannot change its user.
func withoutUser(cfg *config.Config) error {
	key := "user"
	switch {
	case cfg.User != "":
	case cfg.GroupName != "":
		key = "group"
	default:
		return nil
	}
	return cfg.KeyError(nil, key, "only worker processes change their user, and there are none", "start with --multiprocess, or remove user and group and start kroxy-ev as that user")
}

// Serve runs the proxy without worker processes until a signal stops it. The warnings about cfg have already been printed to stderr.
func Serve(path string, cfg *config.Config, problems []config.Problem, stderr io.Writer) error {
	if err := withoutUser(cfg); err != nil {
		return err
	}
	errs := openLog(stderr)
	defer errs.close()
	if err := errs.start(cfg); err != nil {
		return err
	}
	log := errs.log
	if errs.separate() {
		for _, p := range problems {
			log.Warn("kroxy-ev: " + p.String())
		}
	}
	warnWait(log)
	s, err := NewSingle(cfg, log)
	if err != nil {
		return err
	}
	defer func() { s.ports.remove() }()
	if s.admin, err = adminPorts(nil).prepare(cfg, s.ports, &s.closed, &warnings{log: log}); err != nil {
		return err
	}
	defer func() { s.admin.remove() }()
	p := s.proxy
	s.errors, errs.switched = errs, p.ForgetRepeated
	defer p.Close()
	if s.pid, err = writePIDFile(cfg); err != nil {
		return err
	}
	defer s.pid.remove()
	s.path, s.steering.path, s.signals = path, path, catchSignals()
	if s.control, err = openControl(path, s.steering, s.steering.orders); err != nil {
		warnNoControl(log, err)
	} else {
		defer s.control.close()
	}
	p.Start()
	s.steering.setState(stateServing)
	if err := s.admin.commit(nil, s.steering, &s.closed, log); err != nil {
		return err
	}
	s.admin.announce(log)
	log.Info("kroxy-ev: serving", append(servingOn(cfg), "reactors", p.Reactors(), "max_connections", p.MaxConnections(), "servers", len(cfg.Servers))...)
	defer startNotifier(log).stop()
	return s.Run()
}

// Run carries out signals and orders until one of them ends the program or a reactor fails. When it returns, signals are no longer caught.
func (s *Single) Run() error {
	defer s.signals.release()
	defer s.discovery.Close()
	defer s.steering.close()
	for {
		select {
		case err := <-s.proxy.Failed():
			return err
		case <-s.discovery.Changed():
			s.updateServices()
		case sig := <-s.signals.stop:
			notify(notifyStopping)
			s.log.Info("kroxy-ev: stopping", "signal", sig.String(), "sessions", s.proxy.Active(), "timeout", s.proxy.Config().ShutdownTimeout)
			return s.finish()
		case <-s.signals.reload:
			_ = s.reload(bySignal, &warnings{log: s.log}) // reload has logged the error
		case <-s.signals.reopen:
			s.proxy.Reopen()
			s.errors.reopen()
		case <-s.signals.debug:
			s.errors.toggleDebug()
		case <-s.signals.upgrade:
			s.log.Error("kroxy-ev: " + errNoMaster.Error())
		case o := <-s.steering.orders:
			w := warnings{log: s.log}
			err := s.obey(o, &w)
			o.reply(err, w)
		case <-s.renewal.tick():
			s.renewal.remind(s.log)
			files, keys := s.renewal.due()
			if keys {
				logRenewal(s.log, renewedKeys, s.renew(s.proxy.Config(), true))
			}
			if files {
				logRenewal(s.log, renewedFiles, s.renewFiles())
			}
		}
	}
}

// Start begins to serve.
func (s *Single) Start() { s.proxy.Start() }

// CatchDemoSignals limits the signals that Run acts on to those that end a demo.
func (s *Single) CatchDemoSignals() { s.signals = catchDemoSignals() }

// Counts returns the traffic so far.
func (s *Single) Counts() proxy.Counts { return s.proxy.Counts() }

// HostCounts describes how many sessions each host has had.
func (s *Single) HostCounts() string { return s.proxy.HostCounts() }

// EndSessions stops accepting, ends all sessions and waits for their end.
func (s *Single) EndSessions() {
	drained := s.proxy.Drain()
	s.proxy.Abort()
	<-drained
}

// Close releases everything. Sessions must have ended.
func (s *Single) Close() { s.proxy.Close() }

// Stop makes Run stop, as a signal does.
func (s *Single) Stop() {
	select {
	case s.signals.stop <- unix.SIGTERM:
	default: // already stopping
	}
}

var errNoMaster = errors.New("only a master can hand over to a new binary: start with --multiprocess")

// obey carries out an order.
func (s *Single) obey(o order, w *warnings) error {
	switch o.verb {
	case VerbReload:
		return s.reload(o.by, w)
	case VerbUpgrade:
		return errNoMaster
	}
	return errUnknownOrder
}

// reload switches to the current content of the configuration file. If that is wrong, the old configuration stays in force.
func (s *Single) reload(by string, w *warnings) error {
	notify(notifyReloading)
	s.steering.setState(stateBusy)
	defer s.steering.setState(stateServing)
	defer notify(notifyReady)
	err := s.tryReload(w)
	s.counters.reloaded(err)
	logReload(s.log, err)
	s.steering.record(by, err, *w)
	return err
}

func (s *Single) tryReload(w *warnings) error {
	cfg, err := loadAgain(s.path, s.proxy.Reactors(), false, w)
	if err != nil {
		return err
	}
	if err := withoutUser(cfg); err != nil {
		return err
	}
	if want := proxy.ReactorCount(cfg); want != s.proxy.Reactors() {
		w.add(fmt.Sprintf("reload: reactors_num stays %d as at the start; to change it, restart, or use --multiprocess and workers_num", s.proxy.Reactors()))
	}
	if cfg.PIDFile != string(s.pid) {
		w.add("reload: pid_file stays as it was at the start; to change it, restart")
	}
	services := s.discovery.expand(cfg, s.services)
	defer func() { s.discovery.follow(s.proxy.Config(), s.services) }()
	res := proxy.Resources{Tickets: s.tickets, Secret: s.secret}
	if err := s.counters.assign(cfg, &res); err != nil {
		return err
	}
	ports, err := s.ports.prepare(cfg, slots{s.proxy.Reactors(), "reactors_num"}, nil, &s.closed)
	if err != nil {
		return err
	}
	warnUnserved(s.ports, ports, "reload: ", w)
	admin, err := s.admin.prepare(cfg, slices.Concat(s.ports, ports), &s.closed, w)
	if err != nil {
		return errors.Join(err, ports.abort(s.ports))
	}
	next, opened, out, err := s.prepareReload(cfg, res, ports)
	if err != nil {
		admin.abort(s.admin)
		return errors.Join(err, ports.abort(s.ports))
	}
	s.errors.commit(out, cfg)
	s.counters.commit()
	s.renewal.watch(cfg)
	w.changes = config.Changes(s.proxy.Config(), cfg)
	before, adminBefore := s.ports, s.admin
	s.ports, s.services, s.admin = ports, services, admin
	err = s.proxy.Commit(next, opened)
	s.steering.follow(cfg, &res)
	s.steering.forgetOrders()
	return errors.Join(err, ports.commit(cfg, before, &s.closed, s.log), admin.commit(adminBefore, s.steering, &s.closed, s.log))
}

// prepareReload makes everything that a reload switches to: a snapshot, the sockets of new ports, and an error log.
func (s *Single) prepareReload(cfg *config.Config, res proxy.Resources, ports ports) (next *proxy.Snapshot, opened proxy.Sockets, out *errorOutput, err error) {
	if opened, err = ports.duplicates(s.proxy.Reactors(), s.ports); err != nil {
		return nil, nil, nil, err
	}
	if out, err = s.errors.prepare(cfg); err == nil {
		if next, err = s.proxy.Prepare(cfg, res); err == nil {
			return next, opened, out, nil
		}
		s.errors.discard(out)
	}
	opened.Close()
	return nil, nil, nil, err
}

// renewFiles keeps the configuration but reads its PEM files again.
func (s *Single) renewFiles() error {
	cfg, err := reread(s.proxy.Config(), s.services, s.log)
	if err != nil {
		return err
	}
	return s.renew(cfg, false)
}

// updateServices switches to the current hosts of the services.
func (s *Single) updateServices() {
	cfg, services, changed, err := s.discovery.update(s.proxy.Config(), s.services)
	if !changed {
		return
	}
	if err == nil {
		err = s.renew(cfg, false)
	}
	s.discovery.report(s.services, services, err)
	if err == nil {
		s.services = services
	}
}

// renew switches to cfg, which is the configuration in force or differs from it only in its PEM files and the hosts of its services.
func (s *Single) renew(cfg *config.Config, newKeys bool) error {
	keys := s.tickets
	if newKeys {
		keys = keys.Rotated()
	}
	res := proxy.Resources{Tickets: keys, Secret: s.secret}
	if err := s.counters.assign(cfg, &res); err != nil {
		return err
	}
	next, err := s.proxy.Prepare(cfg, res)
	if err != nil {
		return err
	}
	s.counters.commit()
	s.tickets = keys
	if newKeys {
		s.renewal.rotated(cfg)
	} else {
		s.renewal.watch(cfg)
	}
	err = s.proxy.Commit(next, nil)
	s.steering.follow(cfg, &res)
	return err
}

// Load reads the configuration for a process without workers.
func Load(path string) (cfg *config.Config, warnings []config.Problem, err error) {
	cfg, warnings, err = proxy.ReadConfig(path)
	if err == nil {
		warnings = append(warnings, proxy.Shortage(cfg, proxy.ReactorCount(cfg), false)...)
	}
	return cfg, warnings, err
}

// loadAgain reads the configuration for processes, which may be workers, with this number of reactors each.
func loadAgain(path string, reactors int, worker bool, w *warnings) (*config.Config, error) {
	cfg, problems, err := proxy.ReadConfig(path)
	if err == nil {
		problems = append(problems, proxy.Shortage(cfg, reactors, worker)...)
	}
	for _, p := range problems {
		w.add(p.String())
	}
	if err != nil {
		return nil, err
	}
	return cfg, nil
}

// reread reads the PEM files of a configuration again and expands the configuration by services. It logs warnings about certificates, which
// are used nevertheless.
func reread(cfg *config.Config, services proxy.Services, log *slog.Logger) (*config.Config, error) {
	next, _, err := cfg.Source().Parse()
	if err != nil {
		return nil, err
	}
	proxy.Expand(next, services)
	logRenewed(log, next, time.Now())
	return next, nil
}

// The things that are renewed, as log lines name them.
const (
	renewedFiles = "certificates"
	renewedKeys  = "keys of session tickets"
)

// logRenewal logs the outcome of a renewal, with one line per problem.
func logRenewal(log *slog.Logger, what string, err error) {
	logOutcome(log, "kroxy-ev: new "+what+" are in service", "kroxy-ev: new "+what+" cannot be used, the old ones stay in service", err)
}

// logReload logs the outcome of a reload, with one line per problem.
func logReload(log *slog.Logger, err error) {
	logOutcome(log, "kroxy-ev: reloaded", "kroxy-ev: reload failed, everything goes on as before", err)
}

func logOutcome(log *slog.Logger, done, failed string, err error) {
	var bad *config.Error
	switch {
	case err == nil:
		log.Info(done)
	case errors.As(err, &bad):
		for _, p := range bad.Problems {
			log.Error(failed + ": " + p.String())
		}
	default:
		log.Error(failed, "error", err)
	}
}

// finish stops accepting, gives sessions shutdown_timeout to finish, then ends them. A second signal exits at once.
func (s *Single) finish() error {
	s.control.become(controlStopping)
	s.steering.setState(stateStopping)
	shared := s.ports.shared()
	s.ports.remove() // reactors close their sockets when all handshakes that have begun are over
	done := s.proxy.Leave(shared)
	var deadline <-chan time.Time
	if timeout := s.proxy.Config().ShutdownTimeout; timeout > 0 {
		deadline = time.After(timeout)
	} else {
		s.proxy.Abort()
	}
	for {
		select {
		case <-done:
			s.log.Info("kroxy-ev: stopped")
			return nil
		case <-deadline:
			if n := s.proxy.Active(); n > 0 {
				s.log.Warn("kroxy-ev: shutdown_timeout is over, ending the remaining sessions", "sessions", n)
			}
			s.proxy.Abort()
		case err := <-s.proxy.Failed():
			return err
		case <-s.signals.reopen:
			s.proxy.Reopen()
			s.errors.reopen()
		case <-s.signals.debug:
			s.errors.toggleDebug()
		case o := <-s.steering.orders:
			o.reply(errStopping, warnings{})
		case <-s.signals.stop:
			// Wait for nothing, not even the logs.
			os.Exit(ExitError)
		}
	}
}
