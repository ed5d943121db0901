package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// tuneRuntime sets what the Go runtime cannot know. A proxy's heap is small and its garbage rare, so collecting seldom
// costs little memory and saves CPU. GOGC and GOMEMLIMIT in the environment still rule.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

// catchSignals has the signals that end the program sent over a channel, for supervise. It comes before anything is
// served: a signal that comes earlier ends the program at once.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	return signals
}

// supervise waits for a signal that ends the program, or for a reactor that cannot go on, and sees the sessions out.
// The first SIGINT or SIGTERM stops accepting and lets sessions finish for shutdown_timeout; a second one exits at once.
// When it returns, signals are no longer caught.
func (p *proxy) supervise(signals chan os.Signal) error {
	defer signal.Stop(signals)

	select {
	case err := <-p.failed:
		return err
	case s := <-signals:
		p.log.Info("kroxy-ev: stopping", "signal", s.String(), "sessions", p.active(), "timeout", p.cfg.ShutdownTimeout)
	}
	done := p.drain()
	var deadline <-chan time.Time
	if p.cfg.ShutdownTimeout > 0 {
		deadline = time.After(p.cfg.ShutdownTimeout)
	} else {
		p.abort()
	}
	for {
		select {
		case <-done:
			p.log.Info("kroxy-ev: stopped")
			return nil
		case <-deadline:
			p.log.Warn("kroxy-ev: shutdown_timeout is over, ending the sessions that are left", "sessions", p.active())
			p.abort()
		case err := <-p.failed:
			return err
		case <-signals:
			// Nothing is waited for, not even the logs.
			os.Exit(exitError)
		}
	}
}
