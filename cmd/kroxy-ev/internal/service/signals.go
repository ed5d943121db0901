package service

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// signals are the signals that the process acts on, by what they ask for. Further signals of a kind that come while one is being carried
// out count as one; no kind has to wait for another.
type signals struct {
	stop    chan os.Signal // SIGTERM, SIGINT, SIGQUIT: let sessions finish, and end; the second ends at once
	reload  chan os.Signal // SIGHUP
	reopen  chan os.Signal // SIGUSR1
	upgrade chan os.Signal // SIGUSR2
	debug   chan os.Signal // SIGTTIN, which nothing else sends to a program that reads no terminal, and which has one number and name everywhere
}

// catchSignals begins to catch signals. It is called before anything is served; a signal that comes earlier has its usual effect.
func catchSignals() signals {
	one := func() chan os.Signal { return make(chan os.Signal, 1) }
	s := catchStop()
	s.reload, s.reopen, s.upgrade, s.debug = one(), one(), one(), one()
	signal.Notify(s.reload, unix.SIGHUP)
	signal.Notify(s.reopen, unix.SIGUSR1)
	signal.Notify(s.upgrade, unix.SIGUSR2)
	signal.Notify(s.debug, unix.SIGTTIN)
	return s
}

// catchDemoSignals is catchSignals for the demo, which has no files to reload and no log: signals for these are ignored. SIGHUP, which
// comes when its terminal is closed, stops it, unless its parent had it ignored, as nohup(1) does.
func catchDemoSignals() signals {
	ignored := signal.Ignored(unix.SIGHUP)
	s := catchStop()
	if !ignored {
		signal.Notify(s.stop, unix.SIGHUP)
	}
	signal.Ignore(unix.SIGUSR1, unix.SIGUSR2, unix.SIGTTIN)
	return s
}

// catchStop catches the signals to stop.
func catchStop() signals {
	s := signals{stop: make(chan os.Signal, 2)}
	signal.Notify(s.stop, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT)
	return s
}

// SurviveClosedPipes makes a write to a pipe that nobody reads fail with an error. Without it, Go ends the process if that pipe is its
// stdout or stderr. The signal is caught, to no effect, rather than ignored: child processes would inherit the latter.
func SurviveClosedPipes() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// release gives the signals their usual effect again.
func (s signals) release() {
	for _, c := range []chan os.Signal{s.stop, s.reload, s.reopen, s.upgrade, s.debug} {
		signal.Stop(c)
	}
}
