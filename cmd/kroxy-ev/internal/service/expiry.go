package service

import (
	"log/slog"
	"time"

	"kroxy-ev/config"
)

// expiry reminds of certificates that will not be valid for long, or are not. It belongs to the process that reads the
// configuration, so that workers do not repeat it.
type expiry []reminder

// reminder is when a certificate is to be looked at next.
type reminder struct {
	certificate *config.Certificate
	due         time.Time
}

// newExpiry reminds of cfg's certificates after now. What is wrong with them now was said when cfg was read.
func newExpiry(cfg *config.Config, now time.Time) expiry {
	list := cfg.Certificates()
	e := make(expiry, len(list))
	for i := range list {
		e[i] = reminder{&list[i], list[i].NextWarning(now)}
	}
	return e
}

// warnings are what is to be said now, and will be again after a while.
func (e expiry) warnings(now time.Time) []config.Problem {
	var list []config.Problem
	for i := range e {
		r := &e[i]
		if now.Before(r.due) {
			continue
		}
		r.due = r.certificate.NextWarning(now)
		if p, warn := r.certificate.Warning(now); warn {
			list = append(list, p)
		}
	}
	return list
}

// logRenewed says what is wrong with certificates whose files were read again.
func logRenewed(log *slog.Logger, cfg *config.Config, now time.Time) {
	list := cfg.Certificates()
	for i := range list {
		if p, warn := list[i].Warning(now); warn {
			log.Warn("kroxy-ev: " + p.String())
		}
	}
}
