package service

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// signals are those that the process acts upon, sorted by what they ask for. Signals of one kind that come while one is
// dealt with are one; none keeps another kind waiting.
type signals struct {
	stop    chan os.Signal // SIGTERM, SIGINT, SIGQUIT: let sessions finish, and end; the second ends at once
	reload  chan os.Signal // SIGHUP
	reopen  chan os.Signal // SIGUSR1
	upgrade chan os.Signal // SIGUSR2
	debug   chan os.Signal // SIGTTIN, which nothing else sends to a program that reads no terminal, and which has one number and name everywhere
}

// catchSignals begins to catch. It comes before anything is served: a signal that comes earlier has its usual effect.
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

// catchDemoSignals is catchSignals for a program that has no files to read again or to write, and no log: what asks for that is
// ignored. The end of its terminal, which sends SIGHUP, is its end too, unless whoever started it had the signal ignored, as nohup(1)
// does.
func catchDemoSignals() signals {
	ignored := signal.Ignored(unix.SIGHUP)
	s := catchStop()
	if !ignored {
		signal.Notify(s.stop, unix.SIGHUP)
	}
	signal.Ignore(unix.SIGUSR1, unix.SIGUSR2, unix.SIGTTIN)
	return s
}

// catchStop catches the signals to end.
func catchStop() signals {
	s := signals{stop: make(chan os.Signal, 2)}
	signal.Notify(s.stop, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT)
	return s
}

// SurviveClosedPipes has a write fail to a pipe that nobody reads any more. Without it, Go ends the process if that pipe is its
// stdout or stderr. The signal is caught, by nobody, and not ignored: programs that this one starts would ignore it too.
func SurviveClosedPipes() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// release has the signals have their usual effect again.
func (s signals) release() {
	for _, c := range []chan os.Signal{s.stop, s.reload, s.reopen, s.upgrade, s.debug} {
		signal.Stop(c)
	}
}
