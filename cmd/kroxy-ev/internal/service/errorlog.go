package service

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/accesslog"
)

// errorLog is where this process's diagnostics go, and from which level on. Writing to it never blocks a loop. Where and
// which is changed by what prepare and take do, one configuration at a time; the other methods may be called at any time.
type errorLog struct {
	log    *slog.Logger // writes to it
	stderr io.Writer
	owner  identity // whom files are opened as
	level  slog.LevelVar
	out    atomic.Pointer[errorOutput]
	fresh  func() // called when lines go to another place from now on; may be nil

	mu         sync.Mutex
	configured slog.Level
	debug      bool // whatever is configured
}

// errorOutput is an open file, or stderr, whose path is empty.
type errorOutput struct {
	*accesslog.Log
	path string
}

// openLog makes a log that goes to stderr, until close.
func openLog(stderr io.Writer) *errorLog {
	l := &errorLog{stderr: stderr, owner: thisProcess()}
	l.log = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: &l.level}))
	l.out.Store(l.standard())
	return l
}

func (l *errorLog) options() accesslog.Options {
	return accesslog.Options{FlushInterval: 50 * time.Millisecond, Report: func(err error) {
		if !errors.Is(err, unix.EPIPE) { // while nobody reads, that would be lost too
			l.log.Warn("error log: lines were lost or writing fails", "error", err)
		}
	}}
}

func (l *errorLog) standard() *errorOutput {
	return &errorOutput{Log: accesslog.New("stderr", l.stderr, l.options())}
}

// Write is for the log's handler. A line that comes while the output is changed goes to the new one.
func (l *errorLog) Write(p []byte) (int, error) {
	for {
		out := l.out.Load()
		n, err := out.Write(p)
		if !errors.Is(err, os.ErrClosed) || l.out.Load() == out {
			return n, err
		}
	}
}

// prepare opens what cfg asks for, to be taken or dropped; nothing changes yet.
func (l *errorLog) prepare(cfg *config.Config) (*errorOutput, error) {
	now := l.out.Load()
	if cfg.ErrorLog == now.path {
		return now, nil
	}
	if cfg.ErrorLog == "" {
		return l.standard(), nil
	}
	out := &errorOutput{path: cfg.ErrorLog}
	err := l.as(func() (err error) {
		out.Log, err = accesslog.Open(cfg.ErrorLog, l.options())
		return err
	})
	if err != nil {
		return nil, proxy.Problem(cfg, "error_log", err.Error(), "name a file in a directory that exists and that "+l.owner.name+" may write to")
	}
	return out, nil
}

// as calls f as the owner, as far as this process may become it.
func (l *errorLog) as(f func() error) (err error) {
	if !l.owner.do(func() { err = f() }) {
		err = f()
	}
	return err
}

// take goes over to what was prepared for cfg.
func (l *errorLog) take(out *errorOutput, cfg *config.Config) {
	l.mu.Lock()
	l.configured = cfg.LogLevel
	l.setLevel()
	l.mu.Unlock()
	if old := l.out.Swap(out); old != out {
		l.begin()
		l.end(old)
	}
}

// begin tells that lines go to another place from now on.
func (l *errorLog) begin() {
	if l.fresh != nil {
		l.fresh()
	}
}

// drop gives up what was prepared; nil is nothing.
func (l *errorLog) drop(out *errorOutput) {
	if out != nil && out != l.out.Load() {
		l.end(out)
	}
}

func (l *errorLog) end(out *errorOutput) {
	if err := out.Close(proxy.FlushTimeout); err != nil && out != l.out.Load() {
		l.log.Error("error log: closing the old one failed", "error", err)
	}
}

// follow is prepare and take at once, at the start.
func (l *errorLog) follow(cfg *config.Config) error {
	out, err := l.prepare(cfg)
	if err == nil {
		l.take(out, cfg)
	}
	return err
}

// apart reports whether lines go elsewhere than to stderr, which has had what there was to say before the log was set up.
func (l *errorLog) apart() bool {
	path := l.out.Load().path
	return path != "" && path != "/dev/stderr"
}

// reopen opens the file anew, after logrotate(8) has moved it away.
func (l *errorLog) reopen() {
	if err := l.as(l.out.Load().Reopen); err != nil {
		l.log.Error("error log: reopening failed", "error", err)
	}
	l.begin()
}

// setDebug has everything written, or what the configuration says. It reports whether that is a change.
func (l *errorLog) setDebug(on bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := l.debug != on
	l.debug = on
	l.setLevel()
	return changed
}

// setLevel sets the level; l.mu is held.
func (l *errorLog) setLevel() {
	if l.debug {
		l.level.Set(slog.LevelDebug)
	} else {
		l.level.Set(l.configured)
	}
}

// toggleDebug goes to debug, or back to what the configuration says, and returns which. It says so in any case.
func (l *errorLog) toggleDebug() (on bool) {
	l.mu.Lock()
	on = !l.debug
	l.mu.Unlock()
	if !on {
		l.log.Info("kroxy-ev: the log is at the configured level again", "signal", "SIGTTIN")
	}
	l.setDebug(on)
	if on {
		l.log.Info("kroxy-ev: the log is at level debug until the next SIGTTIN", "signal", "SIGTTIN")
	}
	return on
}

// close writes what there is.
func (l *errorLog) close() { _ = l.out.Load().Close(proxy.FlushTimeout) } // there is nowhere left to report to
