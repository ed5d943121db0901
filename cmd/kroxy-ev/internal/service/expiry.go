package service

import (
	"log/slog"
	"time"

	"kroxy-ev/config"
)

// expiry warns about certificates that have expired or will expire soon. It belongs to the process that reads the configuration, so that
// workers do not repeat the warnings.
type expiry []reminder

// reminder says when the next warning about a certificate is due.
type reminder struct {
	certificate *config.Certificate
	due         time.Time
}

// newExpiry makes the reminders of cfg's certificates after now. Warnings due by now were given when cfg was read.
func newExpiry(cfg *config.Config, now time.Time) expiry {
	list := cfg.Certificates()
	e := make(expiry, len(list))
	for i := range list {
		e[i] = reminder{&list[i], list[i].NextWarning(now)}
	}
	return e
}

// warnings returns the warnings that are due now, and schedules the next ones.
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

// logRenewed logs what is wrong with certificates whose files were read again.
func logRenewed(log *slog.Logger, cfg *config.Config, now time.Time) {
	list := cfg.Certificates()
	for i := range list {
		if p, warn := list[i].Warning(now); warn {
			log.Warn("kroxy-ev: " + p.String())
		}
	}
}
