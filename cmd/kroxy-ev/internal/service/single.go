package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// Single is the program without worker processes: a proxy, and what people ask of it.
type Single struct {
	*proxy.Proxy
	log     *slog.Logger
	errors  *errorLog
	ledger  *ledger
	tickets proxy.Tickets
	upkeep  upkeep
	path    string // of the configuration; empty if there is nothing to read again
	signals signals
	desk    *desk // nil if there is none
	pid     pidFile
	doors   doors
	gone    departures
}

// warnWait says that this program's loops wait in a way that costs more.
func warnWait(log *slog.Logger) {
	if !engine.Tuned {
		log.Warn("kroxy-ev: the event loops are not made for the scheduler of "+runtime.Version()+" and wait in the ordinary way: everything works, and costs more CPU where there is little to do",
			"remedy", "build with Go 1.26, or get a kroxy-ev that was made for this Go")
	}
}

// NewSingle makes a proxy that counts for itself.
func NewSingle(cfg *config.Config, log *slog.Logger) (s *Single, err error) {
	n := proxy.ReactorCount(cfg)
	s = &Single{log: log}
	if s.ledger, err = newLedger(); err != nil {
		return nil, err
	}
	t, err := s.ledger.table(cfg, n)
	if err != nil {
		return nil, err
	}
	s.tickets = t.Tickets
	if s.doors, err = doors(nil).follow(cfg, slots{n, "reactors_num"}, givenSockets(cfg, log), &s.gone); err != nil {
		return nil, err
	}
	opened, err := s.doors.duplicates(n, nil)
	if err == nil {
		s.Proxy, err = proxy.New(cfg, opened, t, log)
	}
	if err != nil {
		s.doors.remove()
		return nil, err
	}
	s.upkeep.follow(cfg)
	return s, nil
}

// Serve runs the proxy, without worker processes, until a signal stops it. Doubts are the configuration's warnings, which stderr has.
func Serve(path string, cfg *config.Config, doubts []config.Problem, stderr io.Writer) error {
	if cfg.User != "" || cfg.GroupName != "" {
		return proxy.Problem(cfg, "user", "worker processes change their user, and there are none", "start with --multiprocess, or remove user and group and have whoever starts it choose the user")
	}
	errs := openLog(stderr)
	defer errs.close()
	if err := errs.follow(cfg); err != nil {
		return err
	}
	log := errs.log
	if errs.apart() {
		for _, p := range doubts {
			log.Warn("kroxy-ev: " + p.String())
		}
	}
	warnWait(log)
	s, err := NewSingle(cfg, log)
	if err != nil {
		return err
	}
	defer func() { s.doors.remove() }()
	p := s.Proxy
	s.errors, errs.fresh = errs, p.ForgetRepeated
	defer p.Close()
	if s.pid, err = writePIDFile(cfg); err != nil {
		return err
	}
	defer s.pid.remove()
	s.path, s.signals = path, catchSignals()
	if s.desk, err = openDesk(path); err != nil {
		warnNoDesk(log, err)
	} else {
		defer s.desk.close()
	}
	p.Start()
	log.Info("kroxy-ev: serving", append(servingOn(cfg), "reactors", p.Reactors(), "max_connections", p.MaxConnections(), "servers", len(cfg.Servers))...)
	defer startNotifier(log).stop()
	return s.Run()
}

// Run does what signals and orders ask for until one ends the program, or a reactor cannot go on. When it returns, signals
// are no longer caught.
func (s *Single) Run() error {
	defer s.signals.release()
	for {
		select {
		case err := <-s.Failed():
			return err
		case sig := <-s.signals.stop:
			notify(notifyStopping)
			s.log.Info("kroxy-ev: stopping", "signal", sig.String(), "sessions", s.Active(), "timeout", s.Config().ShutdownTimeout)
			return s.finish()
		case <-s.signals.reload:
			_ = s.reload(&warnings{log: s.log}) // it was logged
		case <-s.signals.reopen:
			s.Reopen()
			s.errors.reopen()
		case <-s.signals.debug:
			s.errors.toggleDebug()
		case <-s.signals.upgrade:
			s.log.Error("kroxy-ev: " + errNoMaster.Error())
		case o := <-s.desk.taken():
			w := warnings{log: s.log}
			err := s.obey(o, &w)
			o.tell(err, w.list...)
		case <-s.upkeep.tick():
			s.upkeep.remind(s.log)
			files, keys := s.upkeep.due()
			if keys {
				logRenewal(s.log, renewedKeys, s.renew(s.Config(), true))
			}
			if files {
				logRenewal(s.log, renewedFiles, s.renewFiles())
			}
		}
	}
}

// CatchDemoSignals has Run heed the signals that end a demo, and ignore the others.
func (s *Single) CatchDemoSignals() { s.signals = catchDemoSignals() }

// Stop has Run end, as a signal does.
func (s *Single) Stop() {
	select {
	case s.signals.stop <- unix.SIGTERM:
	default: // it is ending
	}
}

var errNoMaster = errors.New("a new binary can take over only from a master: start with --multiprocess")

// obey carries out an order.
func (s *Single) obey(o order, w *warnings) error {
	switch o.verb {
	case VerbReload:
		return s.reload(w)
	case VerbUpgrade:
		return errNoMaster
	}
	return errUnknownOrder
}

// reload goes over to what the configuration says now. If that is wrong, everything goes on as before.
func (s *Single) reload(w *warnings) error {
	notify(notifyReloading)
	defer notify(notifyReady)
	err := s.tryReload(w)
	logReload(s.log, err)
	return err
}

func (s *Single) tryReload(w *warnings) error {
	cfg, err := loadAgain(s.path, s.Reactors(), w)
	if err != nil {
		return err
	}
	if want := proxy.ReactorCount(cfg); want != s.Reactors() {
		w.add(fmt.Sprintf("reload: there are %d reactors as at the start; another reactors_num takes a restart, or --multiprocess and workers_num", s.Reactors()))
	}
	if cfg.PIDFile != string(s.pid) {
		w.add("reload: pid_file is as it was at the start; it takes a restart")
	}
	ids, err := s.ledger.assign(cfg)
	if err != nil {
		return err
	}
	doors, err := s.doors.follow(cfg, slots{s.Reactors(), "reactors_num"}, nil, &s.gone)
	if err != nil {
		return err
	}
	warnUnserved(s.doors, doors, "reload: ", w)
	next, opened, out, err := s.prepareReload(cfg, ids, doors)
	if err != nil {
		return errors.Join(err, doors.giveUp(s.doors))
	}
	s.errors.take(out, cfg)
	s.ledger.registry.Commit()
	s.upkeep.follow(cfg)
	before := s.doors
	s.doors = doors
	return errors.Join(s.Commit(next, opened), doors.settle(cfg, before, &s.gone, s.log))
}

// prepareReload makes what a reload goes over to: a snapshot, the sockets of doors that are new, and an error log.
func (s *Single) prepareReload(cfg *config.Config, ids []int, doors doors) (next *proxy.Snapshot, opened proxy.Sockets, out *errorOutput, err error) {
	if opened, err = doors.duplicates(s.Reactors(), s.doors); err != nil {
		return nil, nil, nil, err
	}
	if out, err = s.errors.prepare(cfg); err == nil {
		if next, err = s.Prepare(cfg, proxy.Given{IDs: ids, Tickets: s.tickets}); err == nil {
			return next, opened, out, nil
		}
		s.errors.drop(out)
	}
	opened.Close()
	return nil, nil, nil, err
}

// renewFiles sets TLS up anew by the configuration that is in force and its files as they are now.
func (s *Single) renewFiles() error {
	cfg, err := reread(s.Config(), s.log)
	if err != nil {
		return err
	}
	return s.renew(cfg, false)
}

// renew sets TLS up anew by cfg, which differs from the one in force in its files at most.
func (s *Single) renew(cfg *config.Config, newKeys bool) error {
	keys := s.tickets
	if newKeys {
		keys = keys.Rotated()
	}
	ids, err := s.ledger.assign(cfg) // the same
	if err != nil {
		return err
	}
	next, err := s.Prepare(cfg, proxy.Given{IDs: ids, Tickets: keys})
	if err != nil {
		return err
	}
	s.ledger.registry.Commit()
	s.tickets = keys
	if newKeys {
		s.upkeep.rotated(cfg)
	} else {
		s.upkeep.follow(cfg)
	}
	return s.Commit(next, nil)
}

// Load reads the configuration for a process without workers.
func Load(path string) (cfg *config.Config, warnings []config.Problem, err error) {
	cfg, warnings, err = proxy.ReadConfig(path)
	if err == nil {
		warnings = append(warnings, proxy.Shortage(cfg, proxy.ReactorCount(cfg))...)
	}
	return cfg, warnings, err
}

// loadAgain reads a configuration for processes of so many reactors.
func loadAgain(path string, reactors int, w *warnings) (*config.Config, error) {
	cfg, doubts, err := proxy.ReadConfig(path)
	if err == nil {
		doubts = append(doubts, proxy.Shortage(cfg, reactors)...)
	}
	for _, p := range doubts {
		w.add(p.String())
	}
	if err != nil {
		return nil, err
	}
	return cfg, nil
}

// reread reads the PEM files of a configuration again, and says what is wrong with certificates that can be used all the same.
func reread(cfg *config.Config, log *slog.Logger) (*config.Config, error) {
	next, _, err := cfg.Source().Parse()
	if err != nil {
		return nil, err
	}
	logRenewed(log, next, time.Now())
	return next, nil
}

// What is renewed.
const (
	renewedFiles = "certificates"
	renewedKeys  = "keys of session tickets"
)

// logRenewal says how setting TLS up anew went, each problem in a line of its own.
func logRenewal(log *slog.Logger, what string, err error) {
	logOutcome(log, "kroxy-ev: new "+what+" are in service", "kroxy-ev: new "+what+" cannot be taken up, the old ones stay in service", err)
}

// logReload says how a reload went, each problem in a line of its own.
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

// finish stops accepting, lets sessions finish for shutdown_timeout, and then ends them. A second signal exits at once.
func (s *Single) finish() error {
	s.desk.become(deskStopping)
	shared := s.doors.shared()
	s.doors.remove() // the reactors close theirs when nobody is on the way to them any more
	done := s.Leave(shared)
	var deadline <-chan time.Time
	if timeout := s.Config().ShutdownTimeout; timeout > 0 {
		deadline = time.After(timeout)
	} else {
		s.Abort()
	}
	for {
		select {
		case <-done:
			s.log.Info("kroxy-ev: stopped")
			return nil
		case <-deadline:
			s.log.Warn("kroxy-ev: shutdown_timeout is over, ending the sessions that are left", "sessions", s.Active())
			s.Abort()
		case err := <-s.Failed():
			return err
		case <-s.signals.reopen:
			s.Reopen()
			s.errors.reopen()
		case <-s.signals.debug:
			s.errors.toggleDebug()
		case o := <-s.desk.taken():
			o.tell(errStopping)
		case <-s.signals.stop:
			// Nothing is waited for, not even the logs.
			os.Exit(ExitError)
		}
	}
}
