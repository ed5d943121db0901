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

// errorSyslog is a syslog that gets the lines of the error log.
type errorSyslog struct {
	log    *accesslog.Log
	header *syslog.Header
	to     config.Syslog
}

// leadsTo reports whether s is the syslog that to asks for; both may be nil.
func (s *errorSyslog) leadsTo(to *config.Syslog) bool {
	if s == nil || to == nil {
		return s == nil && to == nil
	}
	return s.to == *to
}

// openSyslog makes a sender to the syslog to, or nil if to is nil. The syslog need not exist yet.
func (l *errorLog) openSyslog(to *config.Syslog) *errorSyslog {
	if to == nil {
		return nil
	}
	o, log := l.options(), slog.New(newOutputHandler(l))
	o.Report = func(err error) { log.Warn("syslog: lines of the error log were lost or sending fails", "error", err) }
	return &errorSyslog{log: proxy.NewSyslog(to, o), header: proxy.SyslogHeader(to, "error"), to: *to}
}

// syslogLines sends the lines that handlers make of records. A record's time and level go into the message's header.
type syslogLines struct {
	log  *errorLog
	mu   sync.Mutex
	of   *slog.Record // the record being handled
	line []byte
}

// write makes a handler, which writes to s, format r.
func (s *syslogLines) write(ctx context.Context, by slog.Handler, r slog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of = &r
	_ = by.Handle(ctx, r) // lost lines are counted
	s.of = nil
}

// Write is called by the handler.
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

// severity converts a level to a syslog severity.
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

// withoutHeader drops the attributes that the message's header has.
func withoutHeader(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}
