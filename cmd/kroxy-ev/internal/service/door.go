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

// doors are the listening sockets of a process, the master's if there are workers: all that its configuration has, in the order of
// the file, each key (config.Listen.Key) once.
type doors []*door

// door is the listening sockets of one key, one for each slot: a worker's or, without workers, a reactor's. They stay open when
// their worker dies, so that clients in its queue wait for the successor, and when there are fewer workers than there were: only
// the kernel's numbering of a port's sockets tells Steer which is which, and it changes when one is closed.
type door struct {
	listen  config.Listen // as it was last applied
	sockets []int
	// shared says that slots may have to share a socket, and that they cannot be steered: it is a unix socket, or systemd's.
	shared bool
	lent   bool // the sockets are systemd's
	// open is how many slots clients come to, and want how many they will come to from the next steer on.
	open, want int
	// file is the unix socket's in the file system, if this program has made it.
	file fileID
}

// departures are the doors of ports that were closed of late: their sockets may still be accepted from (engine.Listener.Retire), and
// they are not another program's.
type departures struct{ list []departure }

type departure struct {
	listen config.Listen
	at     time.Time
}

// departureTime is longer than any retirement.
const departureTime = 12 * time.Second

// add notes that a door is closed.
func (d *departures) add(l config.Listen) { d.list = append(d.list, departure{l, time.Now()}) }

// overlap reports whether l is for addresses of one that was closed of late.
func (d *departures) overlap(l config.Listen) bool {
	d.list = slices.DeleteFunc(d.list, func(gone departure) bool { return time.Since(gone.at) > departureTime })
	return slices.ContainsFunc(d.list, func(gone departure) bool { return overlap(l, gone.listen) })
}

// slots is for how many workers or reactors there are to be sockets, and the configuration's key that says so.
type slots struct {
	n   int
	key string
}

// endpoint is where a listener listens, as the engine has it.
func endpoint(l config.Listen) engine.Endpoint {
	return engine.Endpoint{
		Addr: listenAddr(l), IPv6Only: l.IPv6Only, Unix: l.Unix, Mode: l.UnixMode, Backlog: l.Backlog, Keepalive: l.TCPKeepalive,
	}
}

// follow returns the doors that cfg asks for: those of d that it has too, and new ones, for which given has sockets of systemd's by
// their keys. Sockets that come into use get no clients before settle, and slots that are to go out of use none from now on. On an error
// everything is as before, and what was not used of given is closed.
func (d doors) follow(cfg *config.Config, s slots, given map[string][]int, gone *departures) (doors, error) {
	var next doors
	err := d.checkFree(cfg, given, gone)
	if err == nil {
		for _, l := range proxy.Listeners(cfg) {
			door := d.find(l.Key())
			switch {
			case door != nil:
				err = door.provide(cfg, s)
			case given[l.Key()] != nil:
				door, err = lentDoor(cfg, l, given[l.Key()], s)
				delete(given, l.Key())
			default:
				door, err = openDoor(cfg, l, s)
				if err == nil && gone.overlap(l) && !door.shared {
					_ = engine.Unsteer(door.sockets[0]) // those that are closing may have been; fails where there is no need
				}
			}
			if err != nil {
				break
			}
			next = append(next, door)
		}
	}
	if err != nil {
		for _, sockets := range given {
			closeAll(sockets)
		}
		return nil, errors.Join(err, next.giveUp(d))
	}
	return next, nil
}

// checkFree reports an error if others listen where cfg asks for a new door. It is done for all before the first is opened, which
// might be in the way of the next.
func (d doors) checkFree(cfg *config.Config, given map[string][]int, gone *departures) error {
	for _, l := range proxy.Listeners(cfg) {
		ours := func(other *door) bool { return overlap(l, other.listen) }
		if given[l.Key()] != nil || slices.ContainsFunc(d, ours) || gone.overlap(l) {
			continue
		}
		if err := endpoint(l).CheckFree(); err != nil {
			return listenProblem(cfg, l, err)
		}
	}
	return nil
}

// overlap reports whether there are addresses that both listeners are for.
func overlap(a, b config.Listen) bool {
	if a.Unix != "" || b.Unix != "" || a.Port != b.Port {
		return a.Key() == b.Key()
	}
	x, y := listenAddr(a).Addr(), listenAddr(b).Addr()
	return x == y || x.IsUnspecified() || y.IsUnspecified()
}

// find returns the door of a key, or nil.
func (d doors) find(key string) *door {
	for _, one := range d {
		if one.listen.Key() == key {
			return one
		}
	}
	return nil
}

// openDoor opens sockets for s.
func openDoor(cfg *config.Config, l config.Listen, s slots) (*door, error) {
	d := &door{listen: l, shared: l.Unix != "", open: s.n, want: s.n}
	n := s.n
	if d.shared {
		n = 1
	}
	var err error
	if d.sockets, err = openSockets(cfg, l, n); err != nil {
		return nil, err
	}
	if l.Unix != "" {
		d.file, _ = identifySocket(l.Unix) // without it the file stays behind
	}
	return d, nil
}

// lentDoor is for sockets of systemd's.
func lentDoor(cfg *config.Config, l config.Listen, sockets []int, s slots) (*door, error) {
	d := &door{listen: l, sockets: sockets, shared: true, lent: true}
	if err := d.provide(cfg, s); err != nil {
		closeAll(sockets)
		return nil, err
	}
	return d, nil
}

// provide sees to it that there are sockets for s.
func (d *door) provide(cfg *config.Config, s slots) error {
	if d.shared {
		if d.lent {
			return checkGiven(cfg, d.listen, d.sockets, s)
		}
		return nil
	}
	if s.n == d.open {
		d.want = s.n
		return nil
	}
	if err := engine.Steer(d.sockets[0], min(s.n, d.open)); err != nil {
		return err
	}
	d.want = s.n
	if missing := s.n - len(d.sockets); missing > 0 {
		more, err := openSockets(cfg, d.listen, missing)
		if err != nil {
			return errors.Join(err, d.restore())
		}
		d.sockets = append(d.sockets, more...)
	}
	return nil
}

// restore undoes what provide has changed for clients, be it a successor's.
func (d *door) restore() error {
	d.want = d.open
	if d.shared {
		return nil
	}
	return engine.Steer(d.sockets[0], d.open)
}

// restore has clients come to the slots that have served them.
func (d doors) restore() error {
	var errs []error
	for _, one := range d {
		errs = append(errs, one.restore())
	}
	return errors.Join(errs...)
}

// giveUp undoes the follow that made d of before.
func (d doors) giveUp(before doors) error {
	var errs []error
	for _, one := range d {
		switch {
		case !slices.Contains(before, one):
			one.remove()
		case one.want != one.open:
			errs = append(errs, one.restore())
		}
	}
	return errors.Join(errs...)
}

// settle goes over to d, which follow made of before for cfg, once everybody serves by that: clients come to the slots that are in use,
// sockets get the properties that cfg gives them, and what is served no more is closed.
func (d doors) settle(cfg *config.Config, before doors, gone *departures, log *slog.Logger) error {
	for _, one := range before {
		if !slices.Contains(d, one) {
			gone.add(one.listen)
			one.remove()
		}
	}
	var errs []error
	for _, l := range proxy.Listeners(cfg) {
		one := d.find(l.Key())
		errs = append(errs, one.steer())
		if err := one.change(l); err != nil {
			log.Warn("kroxy-ev: a listener stays as it was", "listen", listenName(l), "error", err)
		}
	}
	return errors.Join(errs...)
}

// steer has clients come to the slots that are wanted.
func (d *door) steer() error {
	if d.shared || d.want == d.open {
		return nil
	}
	err := engine.Steer(d.sockets[0], d.want)
	if err == nil {
		d.open = d.want
	}
	return err
}

// change gives the sockets l's properties.
func (d *door) change(l config.Listen) error {
	var errs []error
	if l.IPv6Only != d.listen.IPv6Only {
		errs = append(errs, errors.New("ipv6_only cannot change while the port is listened on; it takes a restart"))
	}
	old := endpoint(d.listen)
	l.IPv6Only = d.listen.IPv6Only
	d.listen = l
	if endpoint(l) == old {
		return errors.Join(errs...)
	}
	for _, fd := range d.sockets {
		if d.lent {
			errs = append(errs, endpoint(l).Adopt(fd))
		} else {
			errs = append(errs, endpoint(l).Change(fd))
		}
	}
	return errors.Join(errs...)
}

// noted returns copies of the doors as they are now, with the same sockets.
func (d doors) noted() []door {
	all := make([]door, len(d))
	for i, one := range d {
		all[i] = *one
		all[i].sockets = slices.Clone(one.sockets)
	}
	return all
}

// of is the socket of a slot.
func (d *door) of(slot int) int { return d.sockets[slot%len(d.sockets)] }

// duplicates returns duplicates of the sockets of n slots, for the doors that are not among before.
func (d doors) duplicates(n int, before doors) (proxy.Sockets, error) {
	all := make(proxy.Sockets)
	for _, one := range d {
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

// shared are the keys of those whose sockets slots may share.
func (d doors) shared() proxy.Keys {
	all := make(proxy.Keys)
	for _, one := range d {
		if one.shared {
			all[one.listen.Key()] = true
		}
	}
	return all
}

// close closes all, as far as this process is concerned.
func (d doors) close() {
	for _, one := range d {
		one.close()
	}
}

// remove closes all, for good if nobody else has them.
func (d doors) remove() {
	for _, one := range d {
		one.remove()
	}
}

func (d *door) close() {
	closeAll(d.sockets)
	d.sockets = nil
}

// remove is close, and takes the file of a unix socket away before, if it is this one still.
func (d *door) remove() {
	if d.file != (fileID{}) {
		if now, err := identifySocket(d.listen.Unix); err == nil && now == d.file {
			_ = os.Remove(d.listen.Unix) // there is nobody to tell, and the next start does it
		}
		d.file = fileID{}
	}
	d.close()
}

// identifySocket tells which socket is at a path.
func identifySocket(path string) (fileID, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		err = fs.ErrInvalid
	}
	return fileID{st.Dev, st.Ino}, err
}
