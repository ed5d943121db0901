package proxy

import (
	"slices"
	"sync/atomic"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/syslog"
)

// sharedLog is an access log. It stays open while it is held by a snapshot, or by a listener whose server is gone.
type sharedLog struct {
	*accesslog.Log
	proxy *Proxy
	users atomic.Int32
}

// openLog opens the access log at path. Nobody holds it yet.
func (p *Proxy) openLog(path string) (*sharedLog, error) {
	log, err := accesslog.Open(path, p.logOptions("access log"))
	return &sharedLog{Log: log, proxy: p}, err
}

// openSyslog makes the access log that goes to a syslog. Nobody holds it yet.
func (p *Proxy) openSyslog(to *config.Syslog) *sharedLog {
	header, severity := SyslogHeader(to, "access"), slices.Index(config.SyslogSeverities, to.Severity)
	o := p.logOptions("syslog")
	o.Header = func(dst []byte, at time.Time) []byte { return header.Append(dst, severity, at) }
	return &sharedLog{Log: NewSyslog(to, o), proxy: p}
}

func (p *Proxy) logOptions(what string) accesslog.Options {
	return accesslog.Options{
		Report: func(err error) { p.log.Error(what+": lines are being lost or writing fails", "error", err) },
		Lost:   func(lines int) { p.process.LinesLost.Add(uint64(lines)) },
	}
}

// SyslogHeader returns the header of lines of that kind in a syslog.
func SyslogHeader(to *config.Syslog, kind string) *syslog.Header {
	return syslog.NewHeader(slices.Index(config.SyslogFacilities, to.Facility), to.Tag, kind)
}

// NewSyslog makes a log whose lines go to a syslog.
func NewSyslog(to *config.Syslog, o accesslog.Options) *accesslog.Log {
	var log *accesslog.Log
	w := syslog.NewWriter(to.Address, func(messages int) { log.Lose(messages) })
	o.Close = w.Close
	log = accesslog.New(to.Address, w, o)
	return log
}

func (l *sharedLog) hold() { l.users.Add(1) }

// release closes the log if nobody holds it any more.
func (l *sharedLog) release() {
	if l.users.Add(-1) == 0 {
		l.close()
	}
}

// releaseBeside is release for a loop, which must not wait for a disk: another goroutine closes the log.
func (l *sharedLog) releaseBeside() {
	if l.users.Add(-1) == 0 {
		l.proxy.closing.Go(l.close)
	}
}

func (l *sharedLog) close() {
	if err := l.Close(FlushTimeout); err != nil {
		l.proxy.log.Error("access log: closing failed", "error", err)
	}
}
