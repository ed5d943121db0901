package upstream

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/metrics"
)

// Report says how a use of a host ended. It goes to balance and to the metrics, and to the log if it changes the host's state.
type Report struct {
	balance.Outcome
	// Asked says that the host got a request or a session. Status is the status of its response; 0 if there was none, or if the protocol
	// has no status.
	Asked  bool
	Status int
	// If the outcome is balance.Erred, Why says why, in words, and Fault is how it is counted. Why is empty if Status is the reason.
	Why   string
	Fault metrics.Fault

	verdict verdict // for a host that could not be reached, or was reached
}

// failed is the report on a host that could not be reached, for a reason that must not be held against it.
var failed = Report{Outcome: balance.Outcome{Class: balance.Failed}}

// Release releases a lease on a host of g, if it is held, with report r. An attempt that waits in the group's queue gets the place and
// continues after Release has returned.
func (k *Connector) Release(g *Group, lease *balance.Lease, r Report) {
	if !lease.Held() {
		return
	}
	host := lease.Host()
	k.Count(g, host, &r)
	if r.Class == balance.Erred {
		r.Cause = r.cause()
	}
	c := lease.Release(r.Outcome, k.loop.Monotonic())
	k.logChange(g, host, c, r)
	k.freed(g)
}

// Count counts a finished use of a host of g whose lease continues. Release calls it by itself.
func (k *Connector) Count(g *Group, host int, r *Report) {
	m := k.Host(g, host)
	if r.Asked {
		m.Requests.Count(r.Status)
		if r.Status != 0 {
			m.FirstByte.Observe(int64(r.Latency))
		}
	}
	if r.Class == balance.Erred {
		m.Failures.Count(r.Fault)
	}
}

// Host returns the metrics of the host of g with that index.
func (k *Connector) Host(g *Group, host int) *metrics.Host {
	return k.metrics.Host(g.Hosts[host].Place)
}

// logFindings logs what the last choice of a host of g has found out in passing.
func (k *Connector) logFindings(g *Group, tried *balance.Tried) {
	host, c := tried.News()
	k.logChange(g, host, c, Report{})
}

// logChange logs a change of a host of g and its reason, if there is a change.
func (k *Connector) logChange(g *Group, host int, c balance.Change, r Report) {
	if c != (balance.Change{}) { // hardly ever
		LogChange(k.log, g, host, c, r)
	}
}

// LogChange logs a change c of a host of g, caused by r. It does not log that a host fails or passes its checks; the checker does.
func LogChange(log *slog.Logger, g *Group, host int, c balance.Change, r Report) {
	switch c.State {
	case balance.WentDown:
		logHost(log, slog.LevelWarn, "upstream: a host is down and is tried last", g, host, r.verdict, "for", c.Pause)
	case balance.StillDown:
		logHost(log, slog.LevelWarn, "upstream: a host is still down", g, host, r.verdict, "down_for", seconds(c.Since), "failed", c.Failed)
	case balance.CameUp:
		logHost(log, slog.LevelInfo, "upstream: a host serves again", g, host, r.verdict, "down_for", seconds(c.Since), "failed", c.Failed)
	case balance.Ejected:
		logHost(log, slog.LevelWarn, "upstream: a host fails its clients and is tried last (passive_check)", g, host, r.verdict, "reason", r.reason(), "failed", c.Failed, "for", c.Pause)
	case balance.Returned:
		logHost(log, slog.LevelInfo, "upstream: a host serves its clients again (passive_check)", g, host, r.verdict, "tried_last_for", seconds(c.Since))
	case balance.Drained:
		logHost(log, slog.LevelInfo, "upstream: a drained host has no clients left", g, host, r.verdict)
	}
	switch c.Panic {
	case balance.Panicked:
		log.Warn("upstream: fewer than half of a group's hosts are usable; their ejections and failed checks do not count meanwhile", "group", g.Name)
	case balance.Calmed:
		log.Info("upstream: half of a group's hosts or more are usable again; ejections and failed checks count", "group", g.Name)
	}
}

// reason returns why the host erred, in words.
func (r *Report) reason() string {
	if r.Why == "" {
		return "status " + strconv.Itoa(r.Status)
	}
	return r.Why
}

// cause returns why the host erred, as a balance.Cause.
func (r *Report) cause() balance.Cause {
	switch r.Fault {
	case metrics.FaultStatus:
		return balance.Cause{Kind: balance.BadStatus, Number: uint16(r.Status)}
	case metrics.FaultTimeout:
		return balance.Cause{Kind: balance.TimedOut}
	case metrics.FaultBadResponse:
		return balance.Cause{Kind: balance.MalformedResponse}
	case metrics.FaultReset:
		return balance.Cause{Kind: balance.CutConnection}
	}
	return balance.Cause{}
}

// logHost writes a line about a host.
func logHost(log *slog.Logger, level slog.Level, what string, g *Group, host int, v verdict, more ...any) {
	if !log.Enabled(context.Background(), level) {
		return
	}
	attrs := []any{"group", g.Name, "host", g.Hosts[host].Label}
	if v.addr.IsValid() {
		attrs = append(attrs, "address", v.addr)
	}
	if v.err != nil {
		attrs = append(attrs, "error", v.err)
	}
	log.Log(context.Background(), level, what, append(attrs, more...)...)
}

// seconds rounds d for the log.
func seconds(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
