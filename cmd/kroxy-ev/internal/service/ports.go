package service

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// ports are the listening sockets of a process, which is the master if there are workers: one port per config.Listen.Key of its
// configuration, in the order of the file. A change takes two phases: prepare, then commit or abort.
type ports []*port

// port is the listening sockets of one key, one per slot: a worker's or, without workers, a reactor's. A socket stays open when its worker
// dies, so that the clients in its accept queue wait for the next worker. It also stays open when the number of workers decreases: Steer
// identifies the sockets by the kernel's numbering, which changes when one is closed.
type port struct {
	listen  config.Listen // as it was last applied
	sockets []int
	// shared: slots may share a socket, and clients cannot be steered. The port is a Unix socket, or systemd has opened it.
	shared  bool
	systemd bool // systemd has opened the sockets
	// open is the number of slots that clients are sent to; want is that number from the next steer on.
	open, want int
	// file identifies the file of a Unix socket that this program has made.
	file fileID
}

// closedPorts are recently closed ports. Workers may still accept from their sockets (engine.Listener.Retire), so an address in use may be
// ours.
type closedPorts struct{ list []closedPort }

type closedPort struct {
	listen config.Listen
	at     time.Time
}

// retirementTime is longer than any listener takes to retire.
const retirementTime = 12 * time.Second

// add notes that a port was closed.
func (c *closedPorts) add(l config.Listen) { c.list = append(c.list, closedPort{l, time.Now()}) }

// overlap reports whether l shares an address with a recently closed port.
func (c *closedPorts) overlap(l config.Listen) bool {
	c.list = slices.DeleteFunc(c.list, func(old closedPort) bool { return time.Since(old.at) > retirementTime })
	return slices.ContainsFunc(c.list, func(old closedPort) bool { return overlap(l, old.listen) })
}

// slots is how many workers or reactors need sockets, and the configuration key that sets that number.
type slots struct {
	n   int
	key string
}

// endpoint converts a listener to the form that the engine uses.
func endpoint(l config.Listen) engine.Endpoint {
	return engine.Endpoint{
		Addr: listenAddr(l), IPv6Only: l.IPv6Only, Unix: l.Unix, Mode: l.UnixMode, Backlog: l.Backlog, Keepalive: l.TCPKeepalive,
	}
}

// prepare returns the ports that cfg asks for: those that ps has already, and new ones. Activated are the sockets that systemd has opened,
// by key. New slots get no clients before commit; slots that are no longer wanted get no clients from now on. On an error everything is as
// before, and unused sockets in activated are closed.
func (ps ports) prepare(cfg *config.Config, s slots, activated map[string][]int, closed *closedPorts) (ports, error) {
	var next ports
	err := ps.checkFree(cfg, activated, closed)
	if err == nil {
		for _, l := range proxy.Listeners(cfg) {
			p := ps.find(l.Key())
			switch {
			case p != nil:
				err = p.resize(cfg, s)
			case activated[l.Key()] != nil:
				p, err = systemdPort(cfg, l, activated[l.Key()], s)
				delete(activated, l.Key())
			case ps.systemdHas(l):
				err = cfg.ErrorAt(l.Path, "systemd has opened this socket, and its socket unit decides whether it accepts IPv4", "set BindIPv6Only= in the socket unit, and restart it and this program; or leave ipv6_only as it was")
			default:
				p, err = openPort(cfg, l, s)
				if err == nil && closed.overlap(l) && !p.shared {
					_ = engine.Unsteer(p.sockets[0]) // the closed sockets may have been steered; fails if there is nothing to undo
				}
			}
			if err != nil {
				break
			}
			next = append(next, p)
		}
	}
	if err != nil {
		for _, sockets := range activated {
			closeAll(sockets)
		}
		return nil, errors.Join(err, next.abort(ps))
	}
	return next, nil
}

// checkFree returns an error if another program listens where cfg asks for a new port. All ports are checked before the first is opened,
// because an opened port could be in the way of the next check.
func (ps ports) checkFree(cfg *config.Config, activated map[string][]int, closed *closedPorts) error {
	for _, l := range proxy.Listeners(cfg) {
		ours := func(other *port) bool { return overlap(l, other.listen) }
		if activated[l.Key()] != nil || slices.ContainsFunc(ps, ours) || closed.overlap(l) {
			continue
		}
		if err := endpoint(l).CheckFree(); err != nil {
			return listenProblem(cfg, l, err)
		}
	}
	return nil
}

// overlap reports whether two listeners share an address.
func overlap(a, b config.Listen) bool {
	if a.Unix != "" || b.Unix != "" || a.Port != b.Port {
		return a.Key() == b.Key()
	}
	x, y := listenAddr(a).Addr(), listenAddr(b).Addr()
	return x == y || x.IsUnspecified() || y.IsUnspecified()
}

// find returns the port with that key, or nil.
func (ps ports) find(key string) *port {
	for _, one := range ps {
		if one.listen.Key() == key {
			return one
		}
	}
	return nil
}

// systemdHas reports whether systemd has opened l's address and port, but with the other value of ipv6_only.
func (ps ports) systemdHas(l config.Listen) bool {
	return slices.ContainsFunc(ps, func(p *port) bool {
		return p.systemd && l.Unix == "" && p.listen.Unix == "" && listenAddr(p.listen) == listenAddr(l)
	})
}

// openPort opens the sockets of l for s.
func openPort(cfg *config.Config, l config.Listen, s slots) (*port, error) {
	p := &port{listen: l, shared: l.Unix != "", open: s.n, want: s.n}
	n := s.n
	if p.shared {
		n = 1
	}
	var err error
	if p.sockets, err = openSockets(cfg, l, n); err != nil {
		return nil, err
	}
	if l.Unix != "" {
		p.file, _ = socketID(l.Unix) // if this fails, the file is left behind
	}
	return p, nil
}

// systemdPort makes a port from sockets that systemd has opened. It takes ownership of them, even if it returns an error.
func systemdPort(cfg *config.Config, l config.Listen, sockets []int, s slots) (*port, error) {
	p := &port{listen: l, sockets: sockets, shared: true, systemd: true}
	if err := p.resize(cfg, s); err != nil {
		closeAll(sockets)
		return nil, err
	}
	return p, nil
}

// resize makes sure that there are sockets for s, and stops sending clients to slots beyond s.
func (p *port) resize(cfg *config.Config, s slots) error {
	if p.shared {
		if p.systemd {
			return checkSystemd(cfg, p.listen, p.sockets, s)
		}
		return nil
	}
	if s.n == p.open {
		p.want = s.n
		return nil
	}
	if err := engine.Steer(p.sockets[0], min(s.n, p.open)); err != nil {
		return err
	}
	p.want = s.n
	if missing := s.n - len(p.sockets); missing > 0 {
		more, err := openSockets(cfg, p.listen, missing)
		if err != nil {
			return errors.Join(err, p.restore())
		}
		p.sockets = append(p.sockets, more...)
	}
	return nil
}

// restore undoes resize, which a successor may have called: clients go to the same slots as before.
func (p *port) restore() error {
	p.want = p.open
	if p.shared {
		return nil
	}
	return engine.Steer(p.sockets[0], p.open)
}

// restore undoes resize for all ports.
func (ps ports) restore() error {
	var errs []error
	for _, one := range ps {
		errs = append(errs, one.restore())
	}
	return errors.Join(errs...)
}

// abort undoes the call of prepare on before that returned ps.
func (ps ports) abort(before ports) error {
	var errs []error
	for _, one := range ps {
		switch {
		case !slices.Contains(before, one):
			one.remove()
		case one.want != one.open:
			errs = append(errs, one.restore())
		}
	}
	return errors.Join(errs...)
}

// commit completes the call of prepare on before that returned ps for cfg, once all workers or reactors use cfg: clients are sent to the
// slots in use, sockets get the options of cfg, and ports that cfg does not have are closed.
func (ps ports) commit(cfg *config.Config, before ports, closed *closedPorts, log *slog.Logger) error {
	for _, one := range before {
		if !slices.Contains(ps, one) {
			closed.add(one.listen)
			one.remove()
		}
	}
	var errs []error
	for _, l := range proxy.Listeners(cfg) {
		one := ps.find(l.Key())
		errs = append(errs, one.steer())
		if err := one.update(l); err != nil {
			log.Warn("kroxy-ev: a listener keeps its old options", "listen", listenName(l), "error", err)
		}
	}
	return errors.Join(errs...)
}

// steer sends clients to the wanted slots.
func (p *port) steer() error {
	if p.shared || p.want == p.open {
		return nil
	}
	err := engine.Steer(p.sockets[0], p.want)
	if err == nil {
		p.open = p.want
	}
	return err
}

// update sets l's options on the sockets.
func (p *port) update(l config.Listen) error {
	old := endpoint(p.listen)
	p.listen = l
	if endpoint(l) == old {
		return nil
	}
	var errs []error
	for _, fd := range p.sockets {
		if p.systemd {
			errs = append(errs, endpoint(l).Adopt(fd))
		} else {
			errs = append(errs, endpoint(l).Change(fd))
		}
	}
	return errors.Join(errs...)
}

// copies returns copies of the ports, which later changes do not affect. The sockets are the same.
func (ps ports) copies() []port {
	all := make([]port, len(ps))
	for i, one := range ps {
		all[i] = *one
		all[i].sockets = slices.Clone(one.sockets)
	}
	return all
}

// of returns the socket of a slot.
func (p *port) of(slot int) int { return p.sockets[slot%len(p.sockets)] }

// first returns one socket of each port. The port still owns it.
func (ps ports) first() proxy.Sockets {
	sockets := make(proxy.Sockets, len(ps))
	for _, p := range ps {
		sockets[p.listen.Key()] = p.sockets[:1:1]
	}
	return sockets
}

// duplicates duplicates the sockets of n slots, for the ports that are not in before.
func (ps ports) duplicates(n int, before ports) (proxy.Sockets, error) {
	all := make(proxy.Sockets)
	for _, one := range ps {
		if slices.Contains(before, one) {
			continue
		}
		key := one.listen.Key()
		for slot := range n {
			fd, err := unix.FcntlInt(uintptr(one.of(slot)), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				all.Close()
				return nil, os.NewSyscallError("fcntl", err)
			}
			all[key] = append(all[key], fd)
		}
	}
	return all, nil
}

// shared returns the keys of the ports whose sockets are shared by slots.
func (ps ports) shared() proxy.Keys {
	all := make(proxy.Keys)
	for _, one := range ps {
		if one.shared {
			all[one.listen.Key()] = true
		}
	}
	return all
}

// close closes the sockets in this process only.
func (ps ports) close() {
	for _, one := range ps {
		one.close()
	}
}

// remove closes the sockets and removes the files of Unix sockets.
func (ps ports) remove() {
	for _, one := range ps {
		one.remove()
	}
}

func (p *port) close() {
	closeAll(p.sockets)
	p.sockets = nil
}

// remove closes the sockets. First it removes the file of a Unix socket if the file still belongs to this socket.
func (p *port) remove() {
	if p.file != (fileID{}) {
		if now, err := socketID(p.listen.Unix); err == nil && now == p.file {
			_ = os.Remove(p.listen.Unix) // if this fails, the next start removes the file
		}
		p.file = fileID{}
	}
	p.close()
}

// socketID identifies the socket at path.
func socketID(path string) (fileID, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		err = fs.ErrInvalid
	}
	return fileID{st.Dev, st.Ino}, err
}
