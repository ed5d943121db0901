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

// States for systemd (sd_notify(3)).
const (
	notifyReady     = daemon.SdNotifyReady
	notifyReloading = daemon.SdNotifyReloading
	notifyStopping  = daemon.SdNotifyStopping
)

// notify tells systemd a state. Without systemd it does nothing.
func notify(state string) {
	if state == notifyReloading {
		state += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	_, _ = daemon.SdNotify(false, state) // nobody to report an error to
}

// notifier tells systemd's watchdog that this process is alive.
type notifier struct{ quit chan struct{} }

// startNotifier tells systemd that this process serves, and from then on its watchdog, as often as that requires.
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

// childEnv returns the environment without the variables that systemd meant for this process only.
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

// systemdSockets returns the listening sockets that systemd has opened for this process (sd_listen_fds(3)), by the keys of cfg's listeners.
// It closes those that cfg has no listener for, and logs them.
func systemdSockets(cfg *config.Config, log *slog.Logger) map[string][]int {
	opened := make(map[string][]int)
	for _, f := range activation.Files(true) {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		_ = f.Close()
		if err == nil {
			var l config.Listen
			if l, err = listenerFor(cfg, fd, f.Name()); err == nil {
				err = endpoint(l).Adopt(fd)
			}
			if err == nil {
				opened[l.Key()] = append(opened[l.Key()], fd)
				continue
			}
		}
		log.Warn("kroxy-ev: systemd has opened a socket that nothing serves, so its clients get no answer",
			"socket", localAddress(fd), "name", f.Name(), "error", err,
			"remedy", "remove its ListenStream from the socket unit, or set it to what the configuration listens on: "+strings.Join(streamNames(cfg), ", "))
		_ = unix.Close(fd) // fails if there is none
	}
	return opened
}

// streamNames returns cfg's listeners in the form of ListenStream= in a socket unit (systemd.socket(5)).
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

// listenerFor finds the listener that a socket from systemd is for. The socket's name (FileDescriptorName=) may be the name of a server or
// the path of a listener in the file; otherwise the address decides. If the name is that of a server with several listeners, the address
// decides between those.
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
		if f := matchSocket(l, sa); f > fits {
			best, fits = l, f
		}
	}
	if fits == fitsNot {
		return best, errors.New("the configuration has no listener there")
	}
	return best, nil
}

// matchQuality says how well the address of a socket matches a listener.
type matchQuality int

const (
	fitsNot     matchQuality = iota
	fitsPort                 // the port is the same, and the listener accepts all addresses
	fitsExactly              // the address is the same
)

// matchSocket compares a listener with the address of a socket.
func matchSocket(l config.Listen, sa unix.Sockaddr) matchQuality {
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

// unserved returns the warning about a listener that is removed while systemd keeps its socket open.
func unserved(l config.Listen) string {
	return fmt.Sprintf("systemd still listens on %s, but nothing serves it any more, so its clients get no answer; change ListenStream in the socket unit, and restart", listenName(l))
}

// localAddress returns the address of a socket for messages.
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

// checkSystemd returns an error if there are more sockets than slots. Each slot serves one socket, and the clients of the other sockets would
// wait forever, because systemd keeps the sockets open.
func checkSystemd(cfg *config.Config, l config.Listen, sockets []int, s slots) error {
	if len(sockets) <= s.n {
		return nil
	}
	return cfg.KeyError(nil, s.key, fmt.Sprintf("systemd has opened %d sockets on %s, and only %d would be served", len(sockets), listenName(l), s.n),
		fmt.Sprintf("set it to %d or more, or remove a ListenStream", len(sockets)))
}
