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

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/supervise"
)

// legacy is what a master leaves to its successor. The files that come with it are the counters and the listening sockets.
type legacy struct {
	Registry []byte
	Tickets  proxy.Tickets
	Doors    []legacyDoor
	// These are instead of Doors where all sockets are on one port of IPv4, as versions had it that knew no others.
	Port   uint16
	Shared bool // with systemd
	Open   int
}

// legacyDoor is a door, whose sockets come in the order of the doors.
type legacyDoor struct {
	Listen       config.Listen
	Sockets      int
	Shared, Lent bool
	Open         int
	File         fileID
}

// leave makes what a successor is told of doors, and the files that go with it.
func (l *legacy) leave(all doors) (files []int) {
	if one := all[0]; len(all) == 1 && one.listen.Key() == (config.Listen{Port: one.listen.Port}).Key() {
		l.Port, l.Shared, l.Open = one.listen.Port, one.shared, one.open
		return one.sockets
	}
	for _, one := range all {
		l.Doors = append(l.Doors, legacyDoor{one.listen, len(one.sockets), one.shared, one.lent, one.open, one.file})
		files = append(files, one.sockets...)
	}
	return files
}

// doors are what a predecessor has left: all files are in use, or it cannot be understood.
func (l *legacy) doors(files []int) (all doors, ok bool) {
	if l.Doors == nil {
		l.Doors = []legacyDoor{{Listen: config.Listen{Port: l.Port}, Sockets: len(files), Shared: l.Shared, Lent: l.Shared, Open: l.Open}}
	}
	for _, one := range l.Doors {
		if one.Sockets < 1 || one.Sockets > len(files) {
			return nil, false
		}
		all = append(all, &door{listen: one.Listen, sockets: files[:one.Sockets:one.Sockets], shared: one.Shared, lent: one.Lent, open: one.Open, want: one.Open, file: one.File})
		files = files[one.Sockets:]
	}
	return all, len(files) == 0
}

// IsInit reports whether this is the first process of its PID namespace, as in a container: its end is that of all others there.
func IsInit() bool { return os.Getpid() == 1 }

// smallInits are programs that run one other as the first process of a container, and end with it: inits, and the shells of scripts.
var smallInits = []string{"tini", "docker-init", "dumb-init", "catatonit", "podman-init", "sh", "bash", "dash", "ash", "busybox"}

// startedBy is the process that has started this one; 0 is one outside of this PID namespace. Later this process may be somebody
// else's child, whose end is then not due to this one's.
var startedBy = os.Getppid()

// firstProcess is the name of the program that the first process of this PID namespace runs; "" if it is not known.
func firstProcess() string {
	if exe, err := os.Readlink("/proc/1/exe"); err == nil { // of a script it is the shell
		return filepath.Base(exe)
	}
	name, _ := os.ReadFile("/proc/1/comm")
	return string(bytes.TrimSpace(name))
}

// mayLeave reports an error if a master cannot leave to a successor.
func mayLeave() error {
	const remedy = "start a container of the new version beside this one, and stop this one; for a new configuration a reload is enough"
	if IsInit() {
		return errors.New("this master is process 1, with which the container ends, so it cannot leave to another one; " + remedy)
	}
	switch name := firstProcess(); {
	case startedBy == 0:
		return errors.New("this master was started from outside of its PID namespace, as the main process of a container is, with which the container ends; so it cannot leave to another one; " + remedy)
	case startedBy == 1 && slices.Contains(smallInits, name):
		return fmt.Errorf("this master cannot leave to another one: %s, which has started it, ends the container then; %s", name, remedy)
	}
	return nil
}

// upgrade starts the program's file anew as a master that takes everything over, and returns its process id and its warnings, which
// it has logged.
func (m *master) upgrade(now generation) (pid int, doubts []string, err error) {
	if err := mayLeave(); err != nil {
		return 0, nil, err
	}
	l := legacy{Registry: m.ledger.registry.Snapshot(), Tickets: now.Tickets}
	files := append([]int{m.ledger.counters.FD()}, l.leave(now.doors)...)
	body, err := json.Marshal(l)
	if err != nil {
		return 0, nil, err
	}
	pid, err = m.workers.Upgrade(supervise.Successor{
		Env: childEnv(true), Body: body, Files: files,
		Remarks: func(text string) {
			if text != "" {
				doubts = strings.Split(text, "\n")
			}
		},
	})
	if err != nil { // it may have steered clients away from sockets that it had no workers for
		err = errors.Join(err, now.doors.restore())
	}
	return pid, doubts, err
}

// inherit takes over what a predecessor has left, and returns its doors. Those that the configuration has not are to be left when all
// has gone well.
func (m *master) inherit(h *supervise.Handover, next *generation, w *warnings) (doors, error) {
	var l legacy
	err := json.Unmarshal(h.Body, &l)
	var left doors
	if ok := false; err == nil && len(h.Files) > 1 {
		if left, ok = l.doors(h.Files[1:]); !ok {
			left = nil
		}
	}
	if left == nil {
		closeAll(h.Files)
		return nil, errors.New("kroxy-ev: what the predecessor left cannot be understood; stop it and start this version instead")
	}
	if m.ledger, err = inheritLedger(h.Files[0], l.Registry); err != nil {
		left.close()
		return nil, err
	}
	if next.Tickets = l.Tickets; len(next.Tickets) == 0 {
		next.Tickets = next.Tickets.Rotated()
	}
	if next.doors, err = left.follow(next.cfg, workerSlots(next.cfg), nil, &m.gone); err != nil {
		return nil, err
	}
	warnUnserved(left, next.doors, "", w)
	return left, nil
}

// warnUnserved warns of the sockets of systemd's that are served no more.
func warnUnserved(before, after doors, prefix string, w *warnings) {
	for _, one := range before {
		if one.lent && !slices.Contains(after, one) {
			w.add(prefix + unserved(one.listen))
		}
	}
}

// deskWait is how long a master waits for its successor to open its desk.
const deskWait = 5 * time.Second

// passDesk has the successor take the orders, and returns when it does: who was told of the upgrade may give the next one.
func (m *master) passDesk(heir int) {
	if m.desk == nil {
		return
	}
	m.desk.become(deskLeaves)
	for deadline := time.Now().Add(deskWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if hasDesk(m.desk.abs, heir) {
			break
		}
	}
	m.closeDesk()
}

// hasDesk reports whether a process takes orders for this configuration.
func hasDesk(abs string, pid int) bool {
	all, err := meet(deskPrefix(abs)) // none is heard: whoever stays silent would delay this
	found := false
	for _, s := range all {
		found = found || s.pid == pid
		s.close()
	}
	return found || err != nil // it cannot be known
}

// passReload has the successor do what this process was asked for meanwhile: it may have read the configuration before it
// was changed.
func (m *master) passReload(heir int) {
	select {
	case <-m.signals.reload:
		_ = unix.Kill(heir, unix.SIGHUP) // fails if it has ended
	default:
	}
}
