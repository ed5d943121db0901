package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine/resolve"
)

// verdict is what an attempt has found out about the leased host.
type verdict struct {
	err  error          // why it could not be reached; nil if that was not its fault, or it was
	addr netip.AddrPort // at which; invalid if its name could not be resolved, and of a unix socket
}

// Ours reports whether err, of making a connection, tells of this machine and nothing of the host: descriptors, memory or
// ports of its own have run out, or it is about to stop.
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

// failed notes why an address, or the name if addr is not valid, was of no use.
func (a *Attempt) failed(addr netip.AddrPort, err error) {
	a.last = err
	level, what := slog.LevelDebug, "upstream: connecting failed"
	switch {
	case Ours(err):
		level, what = slog.LevelWarn, "upstream: this machine cannot make a connection"
	case errors.Is(err, ErrLoop): // a mistake in the configuration, which may come to light while the host is down anyway
		level, what = slog.LevelWarn, "upstream: a host is not connected to"
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

// reached says that the leased host serves.
func (a *Attempt) reached() {
	if c := a.lease.Reached(a.connector.loop.Monotonic()); c.State == balance.CameUp {
		a.log(slog.LevelInfo, "upstream: a host serves again", verdict{addr: a.addr}, "down_for", seconds(c.Since), "failed", c.Failed)
	}
	if a.verdict.err != nil {
		a.log(slog.LevelWarn, "upstream: an address of a host cannot be reached, but another can", a.verdict)
	}
}

// unreachable gives the lease of a host back that could not be reached, and tells all who choose hosts, if it was its fault.
func (a *Attempt) unreachable() {
	if a.verdict.err == nil {
		a.release(balance.Unused)
		return
	}
	switch c := a.lease.Unreachable(a.connector.loop.Monotonic()); c.State {
	case balance.WentDown:
		a.log(slog.LevelWarn, "upstream: a host is down and is tried last", a.verdict, "for", c.Pause)
	case balance.StillDown:
		a.log(slog.LevelWarn, "upstream: a host is still down", a.verdict, "down_for", seconds(c.Since), "failed", c.Failed)
	}
	a.release(balance.Failed)
}

// log writes a line about the leased host.
func (a *Attempt) log(level slog.Level, what string, v verdict, more ...any) {
	log := a.connector.log
	if !log.Enabled(context.Background(), level) {
		return
	}
	attrs := []any{"group", a.group.Name, "host", a.host().Label}
	if v.addr.IsValid() {
		attrs = append(attrs, "address", v.addr)
	}
	if v.err != nil {
		attrs = append(attrs, "error", v.err)
	}
	log.Log(context.Background(), level, what, append(attrs, more...)...)
}

// seconds is d as people read it.
func seconds(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
