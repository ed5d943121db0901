package service

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

// What systemd is told (sd_notify(3)), if it started this process and wants to know.
const (
	notifyReady     = daemon.SdNotifyReady
	notifyReloading = daemon.SdNotifyReloading
	notifyStopping  = daemon.SdNotifyStopping
)

// notify tells systemd; where there is none it does nothing.
func notify(state string) {
	if state == notifyReloading {
		state += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	_, _ = daemon.SdNotify(false, state) // nobody to tell
}

// notifier keeps systemd's watchdog quiet.
type notifier struct{ quit chan struct{} }

// startNotifier tells systemd that this process serves, and that it lives as often as it wants to hear that.
func startNotifier(log *slog.Logger) notifier {
	n := notifier{make(chan struct{})}
	notify(fmt.Sprintf("%s\nMAINPID=%d", notifyReady, os.Getpid()))
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd: the watchdog's settings cannot be read", "error", err)
	}
	if every > 0 {
		go n.run(every / 2)
	}
	return n
}

func (n notifier) run(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			notify(daemon.SdNotifyWatchdog)
		case <-n.quit:
			return
		}
	}
}

func (n notifier) stop() { close(n.quit) }

// childEnv is the environment without what systemd meant for this process alone.
func childEnv(keepNotify bool) []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
			return true
		case "NOTIFY_SOCKET", "WATCHDOG_USEC":
			return !keepNotify
		}
		return false
	})
}

// givenSockets are the listening sockets that systemd has opened for this process (sd_listen_fds(3)) and that cfg has listeners for, by
// their keys. Others are closed here, and the log says which.
func givenSockets(cfg *config.Config, log *slog.Logger) map[string][]int {
	given := make(map[string][]int)
	for _, f := range activation.Files(true) {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		_ = f.Close()
		if err == nil {
			var l config.Listen
			if l, err = listenerFor(cfg, fd, f.Name()); err == nil {
				err = endpoint(l).Adopt(fd)
			}
			if err == nil {
				given[l.Key()] = append(given[l.Key()], fd)
				continue
			}
		}
		log.Warn("kroxy-ev: a socket that systemd has opened is not served, and its clients wait in vain",
			"socket", localAddress(fd), "name", f.Name(), "error", err,
			"remedy", "remove its ListenStream from the socket unit, or have it say what the configuration listens on: "+strings.Join(streamNames(cfg), ", "))
		_ = unix.Close(fd) // fails if there is none
	}
	return given
}

// streamNames are cfg's listeners as ListenStream= of a socket unit has them (systemd.socket(5)).
func streamNames(cfg *config.Config) []string {
	var names []string
	for _, l := range proxy.Listeners(cfg) {
		switch {
		case l.Unix != "":
			names = append(names, l.Unix)
		case !l.Address.IsValid():
			names = append(names, fmt.Sprint(l.Port))
		default:
			names = append(names, listenAddr(l).String())
		}
	}
	return names
}

// listenerFor finds the listener that a socket of systemd's is for: the one that its name (FileDescriptorName=) means, which is a
// server's or its place in the file, or else the one that listens where the socket does. A server's name leaves the choice to
// the address if the server has several listeners.
func listenerFor(cfg *config.Config, fd int, name string) (config.Listen, error) {
	var named []config.Listen
	for _, s := range cfg.Servers {
		for _, l := range s.Listen {
			if name == s.Name || name == l.Path {
				named = append(named, l)
			}
		}
	}
	among := named
	switch len(named) {
	case 0:
		among = proxy.Listeners(cfg)
	case 1:
		return named[0], nil
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return config.Listen{}, os.NewSyscallError("getsockname", err)
	}
	best, fits := config.Listen{}, fitsNot
	for _, l := range among {
		if f := fit(l, sa); f > fits {
			best, fits = l, f
		}
	}
	if fits == fitsNot {
		return best, errors.New("the configuration has no listener there")
	}
	return best, nil
}

// fitness is how well a socket is what a listener asks for.
type fitness int

const (
	fitsNot     fitness = iota
	fitsPort            // it is on the port, and the listener asks for no address in particular
	fitsExactly         // it is where the listener would be
)

// fit compares a listener with where a socket is.
func fit(l config.Listen, sa unix.Sockaddr) fitness {
	var at netip.AddrPort
	switch sa := sa.(type) {
	case *unix.SockaddrUnix:
		if path, err := filepath.Abs(l.Unix); l.Unix != "" && (sa.Name == l.Unix || err == nil && sa.Name == path) {
			return fitsExactly
		}
		return fitsNot
	case *unix.SockaddrInet4:
		at = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		at = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	want := listenAddr(l)
	switch {
	case l.Unix != "" || want.Port() != at.Port():
		return fitsNot
	case want.Addr().WithZone("") == at.Addr():
		return fitsExactly
	case want.Addr() == netip.IPv4Unspecified():
		return fitsPort
	}
	return fitsNot
}

// unserved is the warning that a listener is left where systemd goes on listening.
func unserved(l config.Listen) string {
	return fmt.Sprintf("systemd goes on listening on %s, which is served no more: its clients wait in vain; change ListenStream in the socket unit, and restart", listenName(l))
}

// localAddress is where a socket is bound, for people.
func localAddress(fd int) string {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return err.Error()
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrUnix:
		return sa.Name
	}
	return fmt.Sprintf("an address of another kind, %T", sa)
}

// checkGiven reports an error if there are more sockets than s has slots, which serve one each: clients of the others would wait for
// ever, as systemd keeps them open.
func checkGiven(cfg *config.Config, l config.Listen, given []int, s slots) error {
	if len(given) <= s.n {
		return nil
	}
	return proxy.Problem(cfg, s.key, fmt.Sprintf("systemd has opened %d sockets on %s, and only %d would be served", len(given), listenName(l), s.n),
		fmt.Sprintf("set it to %d or more, or remove a ListenStream", len(given)))
}
