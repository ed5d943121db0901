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

// errorLog is the log of this process's diagnostics: its output and its level. Writing to it never blocks a loop. Prepare, followed by commit
// or discard, changes output and level for a new configuration; such changes must not overlap. The other methods may be called at any time.
type errorLog struct {
	log      *slog.Logger // writes to it
	stderr   io.Writer
	owner    identity // files are opened as this user
	level    slog.LevelVar
	json     atomic.Bool // lines are JSON objects
	out      atomic.Pointer[errorOutput]
	switched func() // called when the output has changed; may be nil

	mu         sync.Mutex
	configured slog.Level
	debug      bool // overrides configured
}

// errorOutput is an open file or, if path is empty, stderr; and a syslog, if lines go there too.
type errorOutput struct {
	*accesslog.Log
	path   string
	syslog *errorSyslog // nil if there is none
}

// openLog makes a log that writes to stderr.
func openLog(stderr io.Writer) *errorLog {
	l := &errorLog{stderr: stderr, owner: thisProcess()}
	l.log = slog.New(newLineHandler(l))
	l.out.Store(l.standard())
	return l
}

func (l *errorLog) options() accesslog.Options {
	return accesslog.Options{FlushInterval: 50 * time.Millisecond, Report: func(err error) {
		if !errors.Is(err, unix.EPIPE) { // if nobody reads stderr, the warning would be lost too
			l.log.Warn("error log: lines were lost or writing fails", "error", err)
		}
	}}
}

func (l *errorLog) standard() *errorOutput {
	return &errorOutput{Log: accesslog.New("stderr", l.stderr, l.options())}
}

// Write is called by the log's handler. A line that arrives while the output changes goes to the new output.
func (l *errorLog) Write(p []byte) (int, error) {
	for {
		out := l.out.Load()
		n, err := out.Write(p)
		if !errors.Is(err, os.ErrClosed) || l.out.Load() == out {
			return n, err
		}
	}
}

// prepare opens the output that cfg asks for, for commit or discard; nothing changes yet. Unchanged parts are shared with the current output.
func (l *errorLog) prepare(cfg *config.Config) (*errorOutput, error) {
	now := l.out.Load()
	out := &errorOutput{Log: now.Log, path: cfg.ErrorLog, syslog: now.syslog}
	if cfg.ErrorLog != now.path {
		if err := l.open(out, cfg); err != nil {
			return nil, err
		}
	}
	if !now.syslog.leadsTo(cfg.Syslog) {
		out.syslog = l.openSyslog(cfg.Syslog)
	}
	return out, nil
}

// open opens the file of out.
func (l *errorLog) open(out *errorOutput, cfg *config.Config) error {
	if out.path == "" {
		out.Log = l.standard().Log
		return nil
	}
	err := l.as(func() (err error) {
		out.Log, err = accesslog.Open(out.path, l.options())
		return err
	})
	if err != nil {
		return cfg.KeyError(nil, "error_log", err.Error(), "name a file in a directory that exists and that "+l.owner.name+" may write to")
	}
	return nil
}

// as calls f as the owner, or as this process if it may not become the owner.
func (l *errorLog) as(f func() error) (err error) {
	if !l.owner.do(func() { err = f() }) {
		err = f()
	}
	return err
}

// commit switches to the output that was prepared for cfg, and to cfg's level.
func (l *errorLog) commit(out *errorOutput, cfg *config.Config) {
	l.mu.Lock()
	l.configured = cfg.LogLevel
	l.json.Store(cfg.ErrorLogJSON)
	l.setLevel()
	l.mu.Unlock()
	if old := l.out.Swap(out); old.Log != out.Log || old.syslog != out.syslog {
		l.announce()
		l.closeOutput(old)
	}
}

// announce calls switched because the output has changed.
func (l *errorLog) announce() {
	if l.switched != nil {
		l.switched()
	}
}

// discard closes a prepared output that is not used; out may be nil.
func (l *errorLog) discard(out *errorOutput) {
	if out != nil {
		l.closeOutput(out)
	}
}

// closeOutput closes an output, except for the parts that the current output uses too.
func (l *errorLog) closeOutput(out *errorOutput) {
	now := l.out.Load()
	if out.Log != now.Log {
		if err := out.Close(proxy.FlushTimeout); err != nil {
			l.log.Error("error log: closing the old one failed", "error", err)
		}
	}
	if out.syslog != nil && out.syslog != now.syslog {
		_ = out.syslog.log.Close(proxy.FlushTimeout) // lines lost with a broken syslog have been reported
	}
}

// start is prepare and commit in one, when the process starts.
func (l *errorLog) start(cfg *config.Config) error {
	out, err := l.prepare(cfg)
	if err == nil {
		l.commit(out, cfg)
	}
	return err
}

// separate reports whether the output is not stderr, which got everything written before the log was set up.
func (l *errorLog) separate() bool {
	path := l.out.Load().path
	return path != "" && path != "/dev/stderr"
}

// reopen reopens the file, after logrotate(8) has moved it away.
func (l *errorLog) reopen() {
	if err := l.as(l.out.Load().Reopen); err != nil {
		l.log.Error("error log: reopening failed", "error", err)
	}
	l.announce()
}

// setDebug sets the level to debug, or back to the configured level. It reports whether that is a change.
func (l *errorLog) setDebug(on bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := l.debug != on
	l.debug = on
	l.setLevel()
	return changed
}

// setLevel sets the level; the caller holds l.mu.
func (l *errorLog) setLevel() {
	if l.debug {
		l.level.Set(slog.LevelDebug)
	} else {
		l.level.Set(l.configured)
	}
}

// toggleDebug sets the level to debug, or back to the configured level, and returns which. It logs the change so that both levels show it.
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

// close flushes and closes the output.
func (l *errorLog) close() {
	out := l.out.Load()
	_ = out.Close(proxy.FlushTimeout) // nobody is left to report an error to
	if out.syslog != nil {
		_ = out.syslog.log.Close(proxy.FlushTimeout)
	}
}
