package proxy

import (
	"sync/atomic"

	"kroxy-ev/engine/accesslog"
)

// sharedLog is an access log. It stays open while a snapshot holds it, or a listener whose server is gone.
type sharedLog struct {
	*accesslog.Log
	proxy *Proxy
	users atomic.Int32
}

// openLog opens the access log at path, which nobody holds yet.
func (p *Proxy) openLog(path string) (*sharedLog, error) {
	log, err := accesslog.Open(path, accesslog.Options{Report: func(err error) {
		p.log.Error("access log: lines are being lost or writing fails", "error", err)
	}})
	return &sharedLog{Log: log, proxy: p}, err
}

func (l *sharedLog) hold() { l.users.Add(1) }

// release closes the log if nobody holds it any more.
func (l *sharedLog) release() {
	if l.users.Add(-1) == 0 {
		l.close()
	}
}

// releaseBeside is release for a loop, which must not wait for a disk.
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
