package service

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// signals are the channels of the signals that the process acts on, by purpose. Signals of one kind that arrive while one is being handled
// count as one; no kind waits for another.
type signals struct {
	stop    chan os.Signal // SIGTERM, SIGINT, SIGQUIT: let sessions finish, and end; the second signal ends the process at once
	reload  chan os.Signal // SIGHUP
	reopen  chan os.Signal // SIGUSR1
	upgrade chan os.Signal // SIGUSR2
	debug   chan os.Signal // SIGTTIN: nothing else sends it to a program that reads no terminal, and it has the same number and name everywhere
}

// catchSignals begins to catch signals. It must be called before anything is served; a signal that arrives earlier has its default effect.
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

// catchDemoSignals is catchSignals for the demo, which has no files to reload and no log: signals for these are ignored. SIGHUP, which is
// sent when the terminal is closed, stops the demo, unless SIGHUP was already ignored, as nohup(1) does.
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

// SurviveClosedPipes makes a write to a pipe without readers fail with an error. Without it, Go ends the process if that pipe is stdout or
// stderr. The signal is caught and dropped, not ignored, because child processes would inherit an ignored signal.
func SurviveClosedPipes() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// release restores the default effect of the signals.
func (s signals) release() {
	for _, c := range []chan os.Signal{s.stop, s.reload, s.reopen, s.upgrade, s.debug} {
		signal.Stop(c)
	}
}
