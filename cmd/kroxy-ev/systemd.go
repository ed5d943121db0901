package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"kroxy-ev/config"
	"kroxy-ev/engine"
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

// givenSockets are the listening sockets on cfg's port that systemd has opened for this process (sd_listen_fds(3)). Others are
// closed here, and the log says which.
func givenSockets(cfg *config.Config, log *slog.Logger) []int {
	var given []int
	for _, f := range activation.Files(true) {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		_ = f.Close()
		if err == nil {
			if err = engine.AdoptListener(fd, onlyPort(cfg)); err == nil {
				given = append(given, fd)
				continue
			}
		}
		log.Warn("kroxy-ev: a socket that systemd has opened is not served, and its clients wait in vain",
			"socket", localAddress(fd), "name", f.Name(), "error", err,
			"remedy", fmt.Sprintf("remove its ListenStream from the socket unit, or have it say %d, which is the configuration's port", onlyPort(cfg)))
		_ = unix.Close(fd) // fails if there is none
	}
	return given
}

// unservedPort is the warning that a port is left on which systemd goes on listening.
func unservedPort(port uint16) string {
	return fmt.Sprintf("systemd goes on listening on port %d, which is served no more: its clients wait in vain; change ListenStream in the socket unit, and restart", port)
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

// checkGiven reports an error if there are more sockets than n, the key's value, which serve one each: clients of the others
// would wait for ever, as systemd keeps them open.
func checkGiven(cfg *config.Config, given []int, n int, key string) error {
	if len(given) <= n {
		return nil
	}
	return problem(cfg, key, fmt.Sprintf("systemd has opened %d sockets on port %d, and only %d would be served", len(given), onlyPort(cfg), n),
		fmt.Sprintf("set it to %d or more, or remove a ListenStream", len(given)))
}

// inheritSockets returns n listening sockets on cfg's port: those that systemd has opened, one for several reactors if there
// are fewer, or new ones. Lent says that they are systemd's.
func inheritSockets(cfg *config.Config, n int, log *slog.Logger) (sockets []int, lent bool, err error) {
	given := givenSockets(cfg, log)
	if len(given) == 0 {
		sockets, err = openSockets(cfg, n)
		return sockets, false, err
	}
	if err := checkGiven(cfg, given, n, "reactors_num"); err != nil {
		closeAll(given)
		return nil, true, err
	}
	for i := 0; len(given) < n; i++ {
		fd, err := unix.FcntlInt(uintptr(given[i]), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			closeAll(given)
			return nil, true, fmt.Errorf("kroxy-ev: duplicating a listening socket: %w", err)
		}
		given = append(given, fd)
	}
	return given, true, nil
}
