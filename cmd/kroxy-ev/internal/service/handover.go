package service

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-json"
	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/supervise"
)

// handover is what a master passes to its successor. The files that come with it are the counters, the rows of metrics, the sockets of the
// admin endpoint, and the listening sockets. The JSON names must not change: the two masters of an upgrade may be of different versions.
type handover struct {
	Registry []byte
	Metrics  []byte // nil if the predecessor's version had no metrics
	Rows     int    // number of files with rows of metrics
	Tickets  proxy.Tickets
	Secret   []byte // signs the cookies of sticky clients
	Services proxy.Services
	Started  time.Time // when the program was first started; zero if the predecessor does not say
	Reloads  []admin.Reload
	Drains   map[int]time.Time // see steering
	Admin    []handoverAdmin
	Ports    []handoverPort `json:"Doors"`
	// These replace Ports if all sockets are on one IPv4 port: older versions knew nothing else.
	Port   uint16
	Shared bool // the sockets came from systemd
	Open   int
}

// handoverPort is a port. The sockets are in the order of the ports.
type handoverPort struct {
	Listen  config.Listen
	Sockets int
	Shared  bool
	Systemd bool `json:"Lent"`
	Open    int
	File    fileID
}

// add adds the ports and returns the files that go with them.
func (h *handover) add(all ports) (files []int) {
	if one := all[0]; len(all) == 1 && one.listen.Key() == (config.Listen{Port: one.listen.Port}).Key() {
		h.Port, h.Shared, h.Open = one.listen.Port, one.shared, one.open
		return one.sockets
	}
	for _, one := range all {
		h.Ports = append(h.Ports, handoverPort{one.listen, len(one.sockets), one.shared, one.systemd, one.open, one.file})
		files = append(files, one.sockets...)
	}
	return files
}

// take returns the ports that a predecessor has passed on. It reports whether they use exactly all files.
func (h *handover) take(files []int) (all ports, ok bool) {
	if h.Ports == nil {
		h.Ports = []handoverPort{{Listen: config.Listen{Port: h.Port}, Sockets: len(files), Shared: h.Shared, Systemd: h.Shared, Open: h.Open}}
	}
	for _, one := range h.Ports {
		if one.Sockets < 1 || one.Sockets > len(files) {
			return nil, false
		}
		all = append(all, &port{listen: one.Listen, sockets: files[:one.Sockets:one.Sockets], shared: one.Shared, systemd: one.Systemd, open: one.Open, want: one.Open, file: one.File})
		files = files[one.Sockets:]
	}
	return all, len(files) == 0
}

// IsInit reports whether this is the first process of its PID namespace, as in a container. When that process ends, all others there end.
func IsInit() bool { return os.Getpid() == 1 }

// smallInits are programs that run another program as the first process of a container and end with it: inits, and shells that run scripts.
var smallInits = []string{"tini", "docker-init", "dumb-init", "catatonit", "podman-init", "sh", "bash", "dash", "ash", "busybox"}

// startedBy is the PID of the parent, or 0 if the parent is outside of this PID namespace. It is read early, because this process may get
// another parent later.
var startedBy = os.Getppid()

// firstProcess returns the name of the program that runs as the first process of this PID namespace; "" if that is unknown.
func firstProcess() string {
	if exe, err := os.Readlink("/proc/1/exe"); err == nil { // for a script, this is the shell
		return filepath.Base(exe)
	}
	name, _ := os.ReadFile("/proc/1/comm")
	return string(bytes.TrimSpace(name))
}

// mayHandOver returns an error if this master cannot hand over to a successor.
func mayHandOver() error {
	const remedy = "start a container of the new version beside this one, then stop this one; for a new configuration a reload is enough"
	if IsInit() {
		return errors.New("this master is process 1, and the container ends when it does, so it cannot hand over to another one; " + remedy)
	}
	switch name := firstProcess(); {
	case startedBy == 0:
		return errors.New("this master was started from outside of its PID namespace, as the main process of a container is, and the container ends when it does, so it cannot hand over to another one; " + remedy)
	case startedBy == 1 && slices.Contains(smallInits, name):
		return fmt.Errorf("this master cannot hand over to another one: %s, which started it, ends the container when this master ends; %s", name, remedy)
	}
	return nil
}

// upgrade starts the program file again as a master that takes everything over. It returns the PID of the new master and its warnings, which
// have already been logged.
func (m *master) upgrade(now generation) (pid int, remarks []string, err error) {
	if err := mayHandOver(); err != nil {
		return 0, nil, err
	}
	h := handover{
		Registry: m.counters.registry.Snapshot(), Tickets: now.Tickets, Secret: now.Secret, Services: now.services, Started: m.steering.started, Reloads: m.steering.history(), Drains: m.steering.drained(),
	}
	if err := m.counters.reserve(now.cfg.WorkersNum); err != nil {
		return 0, nil, err
	}
	var rows []int
	h.Metrics, rows = m.counters.metrics.Snapshot()
	h.Rows = len(rows)
	var listening []int
	h.Admin, listening = now.admin.handOver()
	files := slices.Concat([]int{m.counters.memory.FD()}, rows, listening, h.add(now.ports))
	body, err := json.Marshal(h)
	if err != nil {
		return 0, nil, err
	}
	pid, err = m.workers.Upgrade(supervise.Successor{
		Env: childEnv(true), Body: body, Files: files,
		Remarks: func(text string) {
			if text != "" {
				remarks = strings.Split(text, "\n")
			}
		},
	})
	if err != nil { // the successor may have steered clients away from some sockets
		err = errors.Join(err, now.ports.restore())
	}
	return pid, remarks, err
}

// inherit takes over what a predecessor passes on. It returns the predecessor's ports, its admin ports, and the decoded handover. Commit
// closes those ports that the configuration does not have.
func (m *master) inherit(h *supervise.Handover, next *generation, w *warnings) (_ ports, _ adminPorts, passed handover, _ error) {
	err := json.Unmarshal(h.Body, &passed)
	var left ports
	rows := 1 + passed.Rows // index of the first file after the metrics
	seen := rows + len(passed.Admin)
	if ok := false; err == nil && passed.Rows >= 0 && len(h.Files) > seen {
		if left, ok = passed.take(h.Files[seen:]); !ok {
			left = nil
		}
	}
	if left == nil {
		closeAll(h.Files)
		return nil, nil, passed, errors.New("kroxy-ev: this version cannot use the data that its predecessor passes on; stop the predecessor, then start this version")
	}
	if m.counters, err = inheritCounters(h.Files[0], passed.Registry, h.Files[1:rows], passed.Metrics, m.log); err != nil {
		left.close()
		return nil, nil, passed, err
	}
	if next.Tickets = passed.Tickets; len(next.Tickets) == 0 {
		next.Tickets = next.Tickets.Rotated()
	}
	m.discovery.Keep(passed.Services)
	if next.Secret = passed.Secret; len(next.Secret) == 0 { // the predecessor had no secret
		next.Secret = proxy.NewSecret()
	}
	if next.ports, err = left.prepare(next.cfg, workerSlots(next.cfg), nil, &m.closed); err != nil {
		return nil, nil, passed, err
	}
	warnUnserved(left, next.ports, "", w)
	return left, takeAdmin(passed.Admin, h.Files[rows:seen]), passed, nil
}

// warnUnserved warns about systemd's sockets that the new configuration does not serve.
func warnUnserved(before, after ports, prefix string, w *warnings) {
	for _, one := range before {
		if one.systemd && !slices.Contains(after, one) {
			w.add(prefix + unserved(one.listen))
		}
	}
}

// controlWait is how long a master waits for its successor to open its control socket.
const controlWait = 5 * time.Second

// passControl hands the control socket's role to the successor and returns when the successor takes orders, so that whoever gave the order
// to upgrade may give the next one at once.
func (m *master) passControl(successor int) {
	if m.control == nil {
		return
	}
	m.control.become(controlLeaves)
	for deadline := time.Now().Add(controlWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if hasControl(m.control.abs, successor) {
			break
		}
	}
	m.closeControl()
}

// hasControl reports whether the process pid takes orders for this configuration.
func hasControl(abs string, pid int) bool {
	all, err := connectAll(controlPrefix(abs)) // greetings are not read: a silent process would delay this
	found := false
	for _, s := range all {
		found = found || s.pid == pid
		s.close()
	}
	return found || err != nil // after an error it is unknown
}

// passReload passes on a pending signal to reload: the successor may have read the configuration before it changed.
func (m *master) passReload(successor int) {
	select {
	case <-m.signals.reload:
		_ = unix.Kill(successor, unix.SIGHUP) // fails if the successor has ended
	default:
	}
}
