package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/syslog"
)

// errorSyslog is a syslog that lines of the error log go to.
type errorSyslog struct {
	log    *accesslog.Log
	header *syslog.Header
	to     config.Syslog
}

// leadsTo reports whether s, which may be nil, is what to asks for; nil is none.
func (s *errorSyslog) leadsTo(to *config.Syslog) bool {
	if s == nil || to == nil {
		return s == nil && to == nil
	}
	return s.to == *to
}

// openSyslog makes what sends lines there; nil is nowhere. There need be no such syslog yet.
func (l *errorLog) openSyslog(to *config.Syslog) *errorSyslog {
	if to == nil {
		return nil
	}
	o, log := l.options(), slog.New(newOutputHandler(l))
	o.Report = func(err error) { log.Warn("syslog: lines of the error log were lost or sending fails", "error", err) }
	return &errorSyslog{log: proxy.NewSyslog(to, o), header: proxy.SyslogHeader(to, "error"), to: *to}
}

// syslogLines sends the lines that handlers make of records, whose time and level go into a message's header.
type syslogLines struct {
	log  *errorLog
	mu   sync.Mutex
	of   *slog.Record // what is being handled
	line []byte
}

// write has a handler that writes to s make a line of r.
func (s *syslogLines) write(ctx context.Context, by slog.Handler, r slog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of = &r
	_ = by.Handle(ctx, r) // what is lost is counted
	s.of = nil
}

// Write is for the handler.
func (s *syslogLines) Write(p []byte) (int, error) {
	to := s.log.out.Load().syslog
	if to == nil {
		return len(p), nil
	}
	at := s.of.Time
	if at.IsZero() {
		at = time.Now()
	}
	s.line = append(to.header.Append(s.line[:0], severity(s.of.Level), at), p...)
	if _, err := to.log.Write(s.line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// severity is a level as a syslog has it.
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return syslog.Error
	case l >= slog.LevelWarn:
		return syslog.Warning
	case l >= slog.LevelInfo:
		return syslog.Info
	}
	return syslog.Debug
}

// withoutHeader leaves out what a message's header says.
func withoutHeader(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}
