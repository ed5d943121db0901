package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/goccy/go-json"

	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/supervise"
)

// master is the program with worker processes: it reads the configuration, opens ports, counts, and sees to it that there are
// workers. It serves nobody.
type master struct {
	path    string
	log     *slog.Logger
	errors  *errorLog
	debug   atomic.Bool // everything is to be logged, for workers that are yet to come
	ledger  *ledger
	workers *supervise.Master
	signals signals
	upkeep  upkeep
	desk    *desk // nil if it could not be opened
	pid     pidFile
	now     generation
	gone    departures // of the goroutine that carries out an order
	heir    bool       // a successor serves, and has the listening sockets

	rows map[int]int // of slots, in the counters; of the goroutine that calls Plan.For and Options.Gone
	busy chan outcome
}

// generation is what the workers are: a configuration, its hosts' ids, and its listening sockets.
type generation struct {
	cfg *config.Config
	proxy.Given
	doors doors
}

// workerSlots is how many workers there are to be.
func workerSlots(cfg *config.Config) slots { return slots{cfg.WorkersNum, "workers_num"} }

// brief is what a worker is told. The files that come with it are the counters and its listening sockets.
type brief struct {
	Source  config.Source
	PEM     config.Files // that it names; workers may not be allowed to read them
	IDs     []int        // of the hosts
	Tickets proxy.Tickets
	Row     int // in the counters
	// Debug has everything logged, whatever the configuration says.
	Debug bool
	// Sockets are the keys (config.Listen.Key) of the listening sockets, in the order of the files.
	Sockets []string
	// Shared are those of them that others accept from when this worker does not: it must not have them retired.
	Shared proxy.Keys
}

func (b *brief) given() proxy.Given { return proxy.Given{IDs: b.IDs, Tickets: b.Tickets} }

// ServeMaster runs master and workers until a signal stops them. H is what a predecessor has left, or nil.
func ServeMaster(path string, h *supervise.Handover, stderr io.Writer) error {
	errs := openLog(stderr)
	defer errs.close()
	log := errs.log
	warnWait(log)
	m := &master{path: path, log: log, errors: errs, rows: map[int]int{}, signals: catchSignals()}
	defer m.signals.release()
	w := warnings{log: log}
	err := m.begin(h, &w)
	if h != nil {
		if err != nil {
			_ = h.Fail(err) // whether it is heard or not, this process ends
			return err
		}
		if err := h.Serving(strings.Join(w.list, "\n")); err != nil {
			log.Warn("kroxy-ev: the predecessor has left already", "error", err)
		}
	}
	if err != nil {
		return err
	}
	defer m.leaveDoors()
	m.pid, err = writePIDFile(m.now.cfg)
	switch {
	case err != nil && h == nil:
		m.workers.Stop()
		return err
	case err != nil:
		m.log.Error("kroxy-ev: " + err.Error()) // the predecessor is leaving already
	}
	defer m.pid.remove()
	m.openDesk()
	defer m.closeDesk()
	log.Info("kroxy-ev: serving", append(servingOn(m.now.cfg), "workers", m.now.cfg.WorkersNum, "servers", len(m.now.cfg.Servers))...)
	defer startNotifier(log).stop()
	return m.run()
}

// begin starts the workers.
func (m *master) begin(h *supervise.Handover, w *warnings) error {
	next, err := m.read(w)
	if err != nil {
		return err
	}
	who, err := credential(next.cfg)
	if err != nil {
		return err
	}
	m.errors.owner = workerIdentity(next.cfg, who) // workers write to the same file
	if err = m.errors.follow(next.cfg); err != nil {
		return err
	}
	if m.errors.apart() {
		w.repeat()
	}
	var left doors // by the predecessor
	if h != nil {
		left, err = m.inherit(h, &next, w)
	} else {
		next.Tickets = proxy.Tickets{}.Rotated()
		if m.ledger, err = newLedger(); err == nil {
			next.doors, err = doors(nil).follow(next.cfg, workerSlots(next.cfg), givenSockets(next.cfg, m.log), &m.gone)
		}
	}
	if err != nil {
		return err
	}
	if err := m.startWorkers(&next, who); err != nil {
		return errors.Join(err, next.doors.giveUp(left))
	}
	m.ledger.registry.Commit()
	m.now = next
	m.upkeep.follow(next.cfg)
	return m.now.doors.settle(next.cfg, left, &m.gone, m.log)
}

// startWorkers starts those of a generation, whose hosts get their ids here.
func (m *master) startWorkers(next *generation, who *syscall.Credential) (err error) {
	if next.IDs, err = m.ledger.assign(next.cfg); err != nil {
		return err
	}
	m.workers, err = supervise.Start(supervise.Options{
		Env: childEnv(false), Credential: who, NoNewPrivs: true, Log: m.log,
		Gone: func(e supervise.Exit) { m.clearRow(e.Slot) },
	}, m.plan(*next))
	return err
}

// read reads the configuration.
func (m *master) read(w *warnings) (generation, error) {
	cfg, err := loadAgain(m.path, 1, w)
	if err == nil && cfg.WorkersNum > maxWorkers {
		err = proxy.Problem(cfg, "workers_num", fmt.Sprintf("%d workers are more than there can be", cfg.WorkersNum), fmt.Sprintf("write at most %d; one per CPU is enough", maxWorkers))
	}
	return generation{cfg: cfg}, err
}

// maxWorkers leaves room for as many workers of a predecessor or successor.
const maxWorkers = balance.MaxRows / 2

// plan is what the workers of a generation are told. What the doors are is noted here: a later reload changes them while a worker
// may be begun by this plan, on another goroutine.
func (m *master) plan(g generation) supervise.Plan {
	p := supervise.Plan{
		Workers:         g.cfg.WorkersNum,
		WatchdogTimeout: orNever(g.cfg.WatchdogTimeout),
		DrainTimeout:    max(g.cfg.ShutdownTimeout, time.Nanosecond), // 0 is at once, not for ever
	}
	shared, doors := g.doors.shared(), g.doors.noted()
	p.For = func(slot int) ([]byte, []int, error) {
		row, ok := m.rows[slot]
		if !ok {
			var err error
			if row, err = m.ledger.counters.TakeRow(); err != nil {
				return nil, nil, err
			}
			m.rows[slot] = row
		}
		b := brief{
			Source: g.cfg.Source(), PEM: g.cfg.Files(), IDs: g.IDs, Tickets: g.Tickets, Row: row, Debug: m.debug.Load(),
			Shared: shared,
		}
		files := []int{m.ledger.counters.FD()}
		for i := range doors {
			b.Sockets = append(b.Sockets, doors[i].listen.Key())
			files = append(files, doors[i].of(slot))
		}
		body, err := json.Marshal(b)
		return body, files, err
	}
	return p
}

// orNever turns the configuration's "no limit", 0, into supervise's.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// clearRow forgets what a worker that is gone had in hand.
func (m *master) clearRow(slot int) {
	if row, ok := m.rows[slot]; ok {
		m.ledger.counters.ClearRow(row)
		delete(m.rows, slot)
	}
}

// outcome is how a reload or an upgrade ended.
type outcome struct {
	order order // if somebody waits for it
	next  generation
	heir  int // the process id of the successor that serves, 0 if there is none
	err   error

	warnings []string

	files bool // the configuration or its files were taken up,
	keys  bool // and new keys of session tickets
}

// run does what signals and orders ask for until one ends the program. Reloads and upgrades run beside it, one at a time, so
// that a signal to stop is heard meanwhile.
func (m *master) run() error {
	for {
		reload, upgrade, orders, tick := m.signals.reload, m.signals.upgrade, m.desk.taken(), m.upkeep.tick()
		if m.busy != nil {
			reload, upgrade, orders, tick = nil, nil, nil, nil
		}
		select {
		case sig := <-m.signals.stop:
			notify(notifyStopping)
			m.log.Info("kroxy-ev: stopping", "signal", sig.String(), "timeout", m.now.cfg.ShutdownTimeout)
			return m.finish()
		case <-m.signals.reopen:
			m.reopen()
		case <-m.signals.debug:
			m.toggleDebug()
		case <-reload:
			m.start(order{verb: VerbReload})
		case <-upgrade:
			m.start(order{verb: VerbUpgrade})
		case o := <-orders:
			m.start(o)
		case <-tick:
			m.upkeep.remind(m.log)
			if files, keys := m.upkeep.due(); files || keys {
				m.start(order{verb: verbRenew, files: files, keys: keys})
			}
		case o := <-m.busy:
			m.busy = nil
			if o.keys {
				m.upkeep.rotated(o.next.cfg)
			}
			if o.files {
				m.upkeep.follow(o.next.cfg)
			}
			m.now = o.next
			m.heir = o.heir != 0
			if m.heir {
				m.passDesk(o.heir)
			}
			o.order.tell(o.err, o.warnings...)
			if m.heir {
				m.workers.Broadcast(noticeReplaced)
				m.passReload(o.heir)
				m.log.Info("kroxy-ev: a new master serves, this one leaves", "timeout", m.now.cfg.ShutdownTimeout)
				return m.finish()
			}
		case <-m.workers.Done():
			return errors.New("kroxy-ev: the master of the workers has stopped by itself")
		}
	}
}

// reopen has the log files opened anew: the master's first, for it to be there when workers open it.
func (m *master) reopen() {
	m.errors.reopen()
	m.workers.Broadcast(supervise.ReopenLogs)
}

// toggleDebug has everything logged, or no longer.
func (m *master) toggleDebug() {
	on := m.errors.toggleDebug()
	m.debug.Store(on)
	if on {
		m.workers.Broadcast(noticeDebugOn)
	} else {
		m.workers.Broadcast(noticeDebugOff)
	}
}

// start begins to carry out an order.
func (m *master) start(o order) {
	busy := make(chan outcome, 1)
	now := m.now
	switch o.verb {
	case VerbReload:
		go func() {
			notify(notifyReloading)
			w := warnings{log: m.log}
			next, err := m.reload(now, &w)
			logReload(m.log, err)
			notify(notifyReady)
			busy <- outcome{order: o, next: next, err: err, warnings: w.list, files: err == nil}
		}()
	case verbRenew:
		go func() { busy <- m.renew(now, o) }()
	case VerbUpgrade:
		go func() {
			pid, doubts, err := m.upgrade(now)
			if err != nil {
				m.log.Error("kroxy-ev: upgrade failed, everything goes on as before", "error", err)
			}
			busy <- outcome{order: o, next: now, heir: pid, err: err, warnings: doubts}
		}()
	default:
		o.tell(errUnknownOrder)
		return
	}
	m.busy = busy
}

// reload has the workers go over to what the configuration says now, and returns the generation that is in force.
func (m *master) reload(now generation, w *warnings) (generation, error) {
	next, err := m.read(w)
	if err != nil {
		return now, err
	}
	if next.cfg.User != now.cfg.User || next.cfg.GroupName != now.cfg.GroupName {
		w.add("reload: user and group are as they were at the start; it takes an upgrade or a restart")
	}
	if next.cfg.PIDFile != string(m.pid) {
		w.add("reload: pid_file is as it was at the start; it takes an upgrade or a restart")
	}
	next.Tickets = now.Tickets
	if next.IDs, err = m.ledger.assign(next.cfg); err != nil {
		return now, err
	}
	if next.doors, err = now.doors.follow(next.cfg, workerSlots(next.cfg), nil, &m.gone); err != nil {
		return now, err
	}
	warnUnserved(now.doors, next.doors, "reload: ", w)
	out, err := m.errors.prepare(next.cfg)
	if err == nil {
		err = m.workers.Apply(m.plan(next))
	}
	if err != nil {
		m.errors.drop(out)
		return now, errors.Join(err, next.doors.giveUp(now.doors))
	}
	m.errors.take(out, next.cfg)
	m.ledger.registry.Commit()
	return next, next.doors.settle(next.cfg, now.doors, &m.gone, m.log)
}

// renew has the workers set TLS up anew, by the configuration that is in force, as far as that is due.
func (m *master) renew(now generation, o order) outcome {
	done := outcome{order: o, next: now}
	if o.keys {
		next := done.next
		next.Tickets = next.Tickets.Rotated()
		done.keys = m.goOver(&done, next, renewedKeys, nil)
	}
	if o.files {
		next := done.next
		var err error
		next.cfg, err = reread(now.cfg, m.log)
		done.files = m.goOver(&done, next, renewedFiles, err)
	}
	return done
}

// goOver has the workers go over to next, unless there is an error already.
func (m *master) goOver(done *outcome, next generation, what string, err error) bool {
	if err == nil {
		err = m.workers.Apply(m.plan(next))
	}
	logRenewal(m.log, what, err)
	if err != nil {
		return false
	}
	done.next = next
	return true
}

// openDesk begins to take orders.
func (m *master) openDesk() {
	var err error
	if m.desk, err = openDesk(m.path); err != nil {
		warnNoDesk(m.log, err)
	}
}

func (m *master) closeDesk() {
	if m.desk != nil {
		m.desk.close()
		m.desk = nil
	}
}

// leaveDoors closes the listening sockets, for good unless a successor has them.
func (m *master) leaveDoors() {
	if m.heir {
		m.now.doors.close()
	} else {
		m.now.doors.remove()
	}
}

// finish has the workers let sessions finish for shutdown_timeout, and then ends them. A second signal exits at once.
func (m *master) finish() error {
	if m.desk != nil {
		go m.desk.refuse()
	}
	done := make(chan struct{})
	timeout := m.now.cfg.ShutdownTimeout
	go func() {
		if timeout > 0 {
			m.workers.Drain(timeout)
		} else {
			m.workers.Stop()
		}
		close(done)
	}()
	if m.busy == nil {
		m.leaveDoors() // workers close theirs when nobody is on the way to them any more
	}
	for {
		select {
		case o := <-m.busy: // it fails soon: the workers are leaving
			m.busy, m.now = nil, o.next
			m.heir = o.heir != 0
			m.leaveDoors()
			o.order.tell(o.err)
		case <-m.signals.reopen:
			m.reopen()
		case <-m.signals.debug:
			m.toggleDebug()
		case <-done:
			if m.busy != nil {
				o := <-m.busy
				m.now, m.heir = o.next, o.heir != 0
				o.order.tell(o.err)
			}
			m.log.Info("kroxy-ev: stopped")
			return nil
		case <-m.signals.stop:
			// Nothing is waited for, not even the logs. Workers leave when their master does.
			os.Exit(ExitError)
		}
	}
}
