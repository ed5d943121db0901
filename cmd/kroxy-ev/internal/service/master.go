package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/goccy/go-json"

	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/supervise"
)

// master is the program with worker processes: it reads the configuration, opens ports and keeps the workers running. It serves no clients.
type master struct {
	path      string
	log       *slog.Logger
	errors    *errorLog
	debug     atomic.Bool // the log level is debug; for workers that start later
	counters  *counters
	checks    *proxy.Checks
	workers   *supervise.Master
	signals   signals
	renewal   renewal
	discovery discovery
	steering  *steering
	control   *control // nil if it could not be opened
	pid       pidFile
	now       generation
	closed    closedPorts // used only by the goroutine that carries out an order
	successor bool        // a successor has taken over and owns the listening sockets

	rows map[int]row // by slot; used only by the goroutine that calls Plan.For and Options.Gone
	busy chan outcome
}

// row is where a worker counts.
type row struct {
	number int
	*metrics.Row
}

// generation is what the workers serve by: a configuration, the services that it was expanded with, its resources and its listening
// sockets.
type generation struct {
	cfg      *config.Config
	services proxy.Services
	proxy.Resources
	ports ports
	admin adminPorts
}

// workerSlots returns how many workers cfg asks for.
func workerSlots(cfg *config.Config) slots { return slots{cfg.WorkersNum, "workers_num"} }

// assignment is what the master sends a worker to serve by. The files that come with it are the counters, the worker's own row of
// metrics, and the listening sockets.
type assignment struct {
	Source config.Source
	PEM    config.Files // the PEM files that Source names; workers may not be allowed to read them
	// Services are the addresses of the services that Source names: all workers must know the same hosts.
	Services proxy.Services
	IDs      []int           // ids of the hosts
	Places   []metrics.Place // the places in the metrics
	Tickets  proxy.Tickets
	Secret   []byte // signs the cookies of sticky clients
	Row      int    // in the counters
	// Debug sets the log level to debug, overriding the configuration.
	Debug bool
	// Sockets are the keys (config.Listen.Key) of the listening sockets, in the order of the files.
	Sockets []string
	// Shared are those of Sockets that other workers accept from too: a leaving worker closes them at once.
	Shared proxy.Keys
}

func (a *assignment) resources() proxy.Resources {
	return proxy.Resources{IDs: a.IDs, Places: a.Places, Tickets: a.Tickets, Secret: a.Secret}
}

// ServeMaster runs a master and its workers until a signal stops them. The handover h comes from a predecessor; it is nil if there is none.
func ServeMaster(path string, h *supervise.Handover, stderr io.Writer) error {
	errs := openLog(stderr)
	defer errs.close()
	log := errs.log
	warnWait(log)
	m := &master{path: path, log: log, errors: errs, rows: map[int]row{}, signals: catchSignals(), discovery: newDiscovery(log)}
	defer m.discovery.Close()
	defer m.signals.release()
	w := warnings{log: log}
	err := m.begin(h, &w)
	if h != nil {
		if err != nil {
			_ = h.Fail(err) // this process ends in any case
			return err
		}
		if err := h.Serving(strings.Join(w.list, "\n")); err != nil {
			log.Warn("kroxy-ev: the predecessor has ended already", "error", err)
		}
	}
	if err != nil {
		return err
	}
	defer m.checks.Close()
	defer m.steering.close()
	defer m.closePorts()
	defer m.closeAdmin()
	m.pid, err = writePIDFile(m.now.cfg)
	switch {
	case err != nil && h == nil:
		m.workers.Stop()
		return err
	case err != nil:
		m.log.Error("kroxy-ev: " + err.Error()) // too late to fail: the predecessor is leaving already
	}
	defer m.pid.remove()
	m.openControl()
	defer m.closeControl()
	m.now.admin.announce(log)
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
	if err = m.errors.start(next.cfg); err != nil {
		return err
	}
	if m.errors.separate() {
		w.repeat()
	}
	var left ports // those of the predecessor
	var leftAdmin adminPorts
	var passed handover
	if h != nil {
		left, leftAdmin, passed, err = m.inherit(h, &next, w)
	} else {
		next.Tickets, next.Secret = proxy.Tickets{}.Rotated(), proxy.NewSecret()
		if m.counters, err = newCounters(m.log); err == nil {
			next.ports, err = ports(nil).prepare(next.cfg, workerSlots(next.cfg), systemdSockets(next.cfg, m.log), &m.closed)
		}
	}
	if err != nil {
		return err
	}
	if next.admin, err = leftAdmin.prepare(next.cfg, slices.Concat(left, next.ports), &m.closed, w); err != nil {
		return errors.Join(err, next.ports.abort(left))
	}
	next.services = m.discovery.expand(next.cfg, nil)
	if err := m.startWorkers(&next, who); err != nil {
		next.admin.abort(leftAdmin)
		return errors.Join(err, next.ports.abort(left))
	}
	m.counters.commit()
	m.counters.started()
	if h != nil {
		go m.counters.reclaimAfter(startedBy)
	} else if err := m.counters.reserve(next.cfg.WorkersNum); err != nil {
		m.log.Warn("kroxy-ev: rows of metrics for a successor's workers cannot be made yet", "error", err)
	}
	m.now = next
	m.steering = newSteering(m.path, m.counters, m.log)
	m.steering.workers, m.steering.reloads = m.workers.Workers, passed.Reloads
	if !passed.Started.IsZero() {
		m.steering.started = passed.Started
	}
	if m.counters.inherited { // otherwise the ids have changed
		m.steering.drains = passed.Drains
	}
	m.steering.follow(next.cfg, &next.Resources)
	m.checks = proxy.NewChecks(m.counters.memory, m.counters.inherited, m.log)
	m.errors.switched = m.checks.Forget
	m.checkHosts()
	m.renewal.watch(next.cfg)
	m.steering.setState(stateServing) // the successor is asked from commit on, and the predecessor was ready
	return errors.Join(m.now.ports.commit(next.cfg, left, &m.closed, m.log), m.now.admin.commit(leftAdmin, m.steering, &m.closed, m.log))
}

// checkHosts starts active checks of the current generation's hosts, for all workers. If the hosts cannot be checked, they count as up.
func (m *master) checkHosts() {
	if err := m.checks.Follow(m.now.cfg, m.now.IDs, m.now.ports.first()); err != nil {
		m.log.Error("kroxy-ev: the hosts of the configuration cannot be checked", "error", err)
	}
}

// startWorkers assigns next its counters and starts its workers.
func (m *master) startWorkers(next *generation, who *syscall.Credential) (err error) {
	if err = m.counters.assign(next.cfg, &next.Resources); err != nil {
		return err
	}
	m.workers, err = supervise.Start(supervise.Options{
		Env: childEnv(false), Credential: who, NoNewPrivs: true, Log: m.log,
		Gone: m.gone,
	}, m.plan(*next))
	return err
}

// read reads the configuration.
func (m *master) read(w *warnings) (generation, error) {
	cfg, err := loadAgain(m.path, 1, true, w)
	if err == nil && cfg.WorkersNum > maxWorkers {
		err = cfg.KeyError(nil, "workers_num", fmt.Sprintf("%d workers are too many", cfg.WorkersNum), fmt.Sprintf("write at most %d; one per CPU is enough", maxWorkers))
	}
	return generation{cfg: cfg}, err
}

// maxWorkers leaves room for as many workers of a predecessor or successor.
const maxWorkers = balance.MaxRows / 2

// plan returns the plan for a generation. The plan has copies of the ports, because a later reload changes the ports while another goroutine
// may start a worker by this plan.
func (m *master) plan(g generation) supervise.Plan {
	p := supervise.Plan{
		Workers:         g.cfg.WorkersNum,
		WatchdogTimeout: timeoutOrNever(g.cfg.WatchdogTimeout),
		DrainTimeout:    max(g.cfg.ShutdownTimeout, time.Nanosecond), // to supervise, 0 means no limit
	}
	shared, ports := g.ports.shared(), g.ports.copies()
	p.For = func(slot int) ([]byte, []int, error) {
		own, ok := m.rows[slot]
		if !ok {
			var err error
			if own.number, own.Row, err = m.counters.take(); err != nil {
				return nil, nil, err
			}
			m.rows[slot] = own
		}
		a := assignment{
			Source: g.cfg.Source(), PEM: g.cfg.Files(), Services: g.services, IDs: g.IDs, Places: g.Places, Tickets: g.Tickets, Secret: g.Secret, Row: own.number, Debug: m.debug.Load(),
			Shared: shared,
		}
		files := []int{m.counters.memory.FD(), own.FD()}
		for i := range ports {
			a.Sockets = append(a.Sockets, ports[i].listen.Key())
			files = append(files, ports[i].of(slot))
		}
		body, err := json.Marshal(a)
		return body, files, err
	}
	return p
}

// timeoutOrNever converts "no limit" from 0 in the configuration to the value that supervise uses.
func timeoutOrNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// gone is called when a worker has ended.
func (m *master) gone(e supervise.Exit) {
	if own, ok := m.rows[e.Slot]; ok {
		m.counters.clear(own.number)
		delete(m.rows, e.Slot)
	}
	if !e.Superfluous {
		m.counters.metrics.Service().Restarts.Add(1)
	}
}

// outcome is how a reload or an upgrade ended.
type outcome struct {
	order     order // to be answered
	next      generation
	successor int // the PID of the successor that serves, 0 if there is none
	err       error

	warnings warnings

	files bool // a configuration or new certificates came into force
	keys  bool // new session ticket keys came into force
}

// run carries out signals and orders until one of them ends the program. Reloads and upgrades run on another goroutine, one at a time, so
// that run acts at once on a signal to stop.
func (m *master) run() error {
	for {
		reload, upgrade, orders, tick, changed := m.signals.reload, m.signals.upgrade, m.steering.orders, m.renewal.tick(), m.discovery.Changed()
		if m.busy != nil {
			reload, upgrade, orders, tick, changed = nil, nil, nil, nil, nil
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
			m.start(order{verb: VerbReload, by: bySignal})
		case <-upgrade:
			m.start(order{verb: VerbUpgrade, by: bySignal})
		case o := <-orders:
			m.start(o)
		case <-changed:
			m.start(order{verb: verbUpdate})
		case <-tick:
			m.renewal.remind(m.log)
			if files, keys := m.renewal.due(); files || keys {
				m.start(order{verb: verbRenew, files: files, keys: keys})
			}
		case o := <-m.busy:
			m.busy = nil
			if o.keys {
				m.renewal.rotated(o.next.cfg)
			}
			if o.files {
				m.renewal.watch(o.next.cfg)
			}
			m.now = o.next
			m.successor = o.successor != 0
			if m.successor {
				m.checks.Close() // the successor's checks have begun
				m.passControl(o.successor)
			} else {
				m.checkHosts()
				m.follow(o)
			}
			o.order.reply(o.err, o.warnings)
			if m.successor {
				m.now.admin.close()
				m.workers.Broadcast(noticeReplaced)
				m.passReload(o.successor)
				m.log.Info("kroxy-ev: a new master has taken over, this one stops", "timeout", m.now.cfg.ShutdownTimeout)
				return m.finish()
			}
		case <-m.workers.Done():
			return errors.New("kroxy-ev: the supervisor of the workers has stopped unexpectedly")
		}
	}
}

// follow makes the steering show what an order has brought into force.
func (m *master) follow(o outcome) {
	m.steering.follow(o.next.cfg, &o.next.Resources)
	if o.order.verb == VerbReload {
		if o.err == nil {
			m.steering.forgetOrders()
		}
		m.steering.record(o.order.by, o.err, o.warnings)
	}
	m.steering.setState(stateServing)
}

// reopen reopens the log files, the master's first: the master has the right to create the file that workers then open.
func (m *master) reopen() {
	m.errors.reopen()
	m.workers.Broadcast(supervise.ReopenLogs)
}

// toggleDebug sets the log level to debug, or back to the configured level.
func (m *master) toggleDebug() {
	on := m.errors.toggleDebug()
	m.debug.Store(on)
	if on {
		m.workers.Broadcast(noticeDebugOn)
	} else {
		m.workers.Broadcast(noticeDebugOff)
	}
}

// start begins to carry out an order on another goroutine.
func (m *master) start(o order) {
	busy := make(chan outcome, 1)
	now := m.now
	if o.verb == VerbReload || o.verb == VerbUpgrade {
		m.steering.setState(stateBusy)
	}
	switch o.verb {
	case VerbReload:
		go func() {
			notify(notifyReloading)
			w := warnings{log: m.log}
			next, err := m.reload(now, &w)
			m.counters.reloaded(err)
			logReload(m.log, err)
			notify(notifyReady)
			busy <- outcome{order: o, next: next, err: err, warnings: w, files: err == nil}
		}()
	case verbRenew:
		go func() { busy <- m.renew(now, o) }()
	case verbUpdate:
		go func() { busy <- outcome{order: o, next: m.updateServices(now)} }()
	case VerbUpgrade:
		go func() {
			pid, remarks, err := m.upgrade(now)
			if err != nil {
				m.log.Error("kroxy-ev: upgrade failed, everything goes on as before", "error", err)
				go m.counters.reclaim(0) // the new master was killed
			}
			busy <- outcome{order: o, next: now, successor: pid, err: err, warnings: warnings{list: remarks}}
		}()
	default:
		o.reply(errUnknownOrder, warnings{})
		return
	}
	m.busy = busy
}

// reload switches the workers to the current content of the configuration file, and returns the generation that is in force afterwards.
func (m *master) reload(now generation, w *warnings) (inForce generation, err error) {
	next, err := m.read(w)
	if err != nil {
		return now, err
	}
	next.services = m.discovery.expand(next.cfg, now.services)
	defer func() { m.discovery.follow(inForce.cfg, inForce.services) }()
	if next.cfg.User != now.cfg.User || next.cfg.GroupName != now.cfg.GroupName {
		w.add("reload: user and group stay as they were at the start; to change them, upgrade or restart")
	}
	if next.cfg.PIDFile != string(m.pid) {
		w.add("reload: pid_file stays as it was at the start; to change it, upgrade or restart")
	}
	next.Tickets, next.Secret = now.Tickets, now.Secret
	if err = m.counters.assign(next.cfg, &next.Resources); err != nil {
		return now, err
	}
	if next.ports, err = now.ports.prepare(next.cfg, workerSlots(next.cfg), nil, &m.closed); err != nil {
		return now, err
	}
	warnUnserved(now.ports, next.ports, "reload: ", w)
	if next.admin, err = now.admin.prepare(next.cfg, slices.Concat(now.ports, next.ports), &m.closed, w); err != nil {
		return now, errors.Join(err, next.ports.abort(now.ports))
	}
	out, err := m.errors.prepare(next.cfg)
	if err == nil {
		err = m.workers.Apply(m.plan(next))
	}
	if err != nil {
		m.errors.discard(out)
		next.admin.abort(now.admin)
		return now, errors.Join(err, next.ports.abort(now.ports))
	}
	m.errors.commit(out, next.cfg)
	m.counters.commit()
	w.changes = config.Changes(now.cfg, next.cfg)
	return next, errors.Join(next.ports.commit(next.cfg, now.ports, &m.closed, m.log), next.admin.commit(now.admin, m.steering, &m.closed, m.log))
}

// renew switches the workers to new ticket keys and new certificates, as far as o says that they are due.
func (m *master) renew(now generation, o order) outcome {
	done := outcome{order: o, next: now}
	if o.keys {
		next := done.next
		next.Tickets = next.Tickets.Rotated()
		done.keys = m.apply(&done, next, renewedKeys, nil)
	}
	if o.files {
		next := done.next
		var err error
		next.cfg, err = reread(now.cfg, now.services, m.log)
		done.files = m.apply(&done, next, renewedFiles, err)
	}
	return done
}

// apply switches the workers to next, unless err is set. It reports success.
func (m *master) apply(done *outcome, next generation, what string, err error) bool {
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

// updateServices switches the workers to the current hosts of the services, and returns the generation that is in force afterwards.
func (m *master) updateServices(now generation) generation {
	next, changed, err := now, false, error(nil)
	if next.cfg, next.services, changed, err = m.discovery.update(now.cfg, now.services); !changed {
		return now
	}
	if err == nil {
		err = m.counters.assign(next.cfg, &next.Resources)
	}
	if err == nil {
		err = m.workers.Apply(m.plan(next))
	}
	m.discovery.report(now.services, next.services, err)
	if err != nil {
		return now
	}
	m.counters.commit()
	return next
}

// openControl opens the control socket, which takes orders.
func (m *master) openControl() {
	var err error
	if m.control, err = openControl(m.path, m.steering, m.steering.orders); err != nil {
		warnNoControl(m.log, err)
	}
}

func (m *master) closeControl() {
	if m.control != nil {
		m.control.close()
		m.control = nil
	}
}

// closePorts closes the listening sockets. It leaves the files of Unix sockets in place if a successor uses them.
func (m *master) closePorts() {
	if m.successor {
		m.now.ports.close()
	} else {
		m.now.ports.remove()
	}
}

// closeAdmin ends the admin endpoint. It leaves the files of Unix sockets in place if a successor uses them.
func (m *master) closeAdmin() {
	if m.successor {
		m.now.admin.close()
	} else {
		m.now.admin.remove()
	}
}

// finish gives sessions shutdown_timeout to finish, then ends them. A second signal exits at once.
func (m *master) finish() error {
	m.control.become(controlStopping)
	m.steering.setState(stateStopping)
	go m.steering.refuse()
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
		m.closePorts() // workers close their sockets when all handshakes that have begun are over
	}
	for {
		select {
		case o := <-m.busy: // the order fails soon, because the workers are leaving
			m.busy, m.now = nil, o.next
			m.successor = o.successor != 0
			m.closePorts()
			o.order.reply(o.err, o.warnings)
		case <-m.signals.reopen:
			m.reopen()
		case <-m.signals.debug:
			m.toggleDebug()
		case <-done:
			if m.busy != nil {
				o := <-m.busy
				m.now, m.successor = o.next, o.successor != 0
				o.order.reply(o.err, o.warnings)
			}
			m.log.Info("kroxy-ev: stopped")
			return nil
		case <-m.signals.stop:
			// Wait for nothing, not even the logs. Workers end when their master does.
			os.Exit(ExitError)
		}
	}
}
