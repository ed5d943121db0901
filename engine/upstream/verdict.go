package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/tlsconn"
)

// verdict is what an attempt has found out about the leased host.
type verdict struct {
	err  error          // why it could not be reached; nil if it could, or if that was not its fault
	addr netip.AddrPort // the address concerned; invalid if the name could not be resolved, and for a unix socket
}

// Ours reports whether err, from making a connection, is this machine's fault and says nothing about the host: descriptors, memory or
// local ports have run out, or the process is about to stop.
func Ours(err error) bool {
	if errors.Is(err, resolve.ErrClosed) {
		return true
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC, unix.EADDRNOTAVAIL, unix.EADDRINUSE, unix.EAGAIN:
		return true
	}
	return false
}

// failed notes why an address, or the name if addr is invalid, could not be used.
func (a *Attempt) failed(addr netip.AddrPort, err error) {
	a.last = err
	if c := a.claim; c != nil && c.Observer != nil {
		c.Observer.Unreached(a.host(), addr, a.since, err)
	}
	level, what := slog.LevelDebug, "upstream: connecting failed"
	switch {
	case Ours(err):
		level, what = slog.LevelWarn, "upstream: this machine cannot make a connection"
	case errors.Is(err, ErrLoop): // a configuration mistake, which may surface only while another address of the host is down
		level, what = slog.LevelWarn, "upstream: refusing to connect to a host"
	case !addr.IsValid() && a.host().Unix == "":
		what = "upstream: resolving failed"
	}
	if !Ours(err) {
		a.verdict = verdict{err, addr}
		if addr.IsValid() {
			a.host().Name.Failed(addr.Addr())
		}
	}
	a.log(level, what, verdict{err, addr})
}

// reached reports to balance and the log that the leased host is reachable.
func (a *Attempt) reached() {
	k, host := a.connector, a.lease.Host()
	k.logChange(a.group, host, a.lease.Reached(k.loop.Monotonic()), Report{verdict: verdict{addr: a.addr}})
	if a.verdict.err != nil {
		a.log(slog.LevelWarn, "upstream: an address of a host cannot be reached, but another can", a.verdict)
	}
}

// unreachable releases the lease of a host that could not be reached. If that was the host's fault, it tells all processes.
func (a *Attempt) unreachable() {
	k := a.connector
	if a.verdict.err == nil {
		k.Release(a.group, a.lease, Report{})
		return
	}
	k.Host(a.group, a.lease.Host()).Failures.Count(a.fault())
	a.lease.Blame(a.cause())
	k.logChange(a.group, a.lease.Host(), a.lease.Unreachable(k.loop.Monotonic()), Report{verdict: a.verdict})
	k.Release(a.group, a.lease, failed)
}

// fault returns how the verdict, which must have an error, is counted.
func (a *Attempt) fault() metrics.Fault {
	switch v := &a.verdict; {
	case errors.Is(v.err, ErrHandshake), errors.Is(v.err, tlsconn.ErrHandshakeTimeout):
		return metrics.FaultTLS
	case errors.Is(v.err, ErrConnectTimeout), errors.Is(v.err, unix.ETIMEDOUT):
		return metrics.FaultConnectTimeout
	case !v.addr.IsValid() && a.host().Unix == "":
		return metrics.FaultResolve
	}
	return metrics.FaultConnect
}

// cause returns the verdict, which must have an error, as a balance.Cause.
func (a *Attempt) cause() balance.Cause {
	if a.fault() == metrics.FaultResolve && !errors.Is(a.verdict.err, ErrLoop) {
		return balance.Cause{Kind: balance.UnresolvedName}
	}
	return CauseOf(a.verdict.err)
}

// CauseOf classifies err, for which a host could not be reached or failed a check.
func CauseOf(err error) balance.Cause {
	var dns *net.DNSError
	var errno unix.Errno
	switch {
	case errors.As(err, &dns), errors.Is(err, ErrResolveTimeout):
		return balance.Cause{Kind: balance.UnresolvedName}
	case errors.Is(err, ErrHandshake), errors.Is(err, tlsconn.ErrHandshakeTimeout):
		return balance.Cause{Kind: balance.FailedHandshake}
	case errors.Is(err, ErrConnectTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return balance.Cause{Kind: balance.TimedOut}
	case errors.As(err, &errno):
		return balance.Cause{Kind: balance.SystemError, Number: uint16(errno)}
	case errors.Is(err, errEnded):
		return balance.Cause{Kind: balance.CutConnection}
	case errors.Is(err, ErrSession):
		return balance.Cause{Kind: balance.MalformedResponse}
	}
	return balance.Cause{}
}

// log logs a message about the leased host.
func (a *Attempt) log(level slog.Level, what string, v verdict) {
	logHost(a.connector.log, level, what, a.group, a.lease.Host(), v)
}
