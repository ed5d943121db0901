package upstream_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// suspects makes the connector suspect that a group's first host leads back, whatever the clients of another codec do. It is called on the loop.
func (w *world) suspects(g *upstream.Group) {
	waiting := slices.Repeat([]upstream.Waiting{{Group: g, Client: netip.MustParseAddr("10.0.0.1")}}, 16)
	watch, other := w.Watch(), w.Watch()
	for range 3 { // Crowded does not check on every call
		watch.Crowded(len(waiting), slices.Values(waiting))
		for range 3 {
			other.Crowded(1, slices.Values(waiting[:1]))
		}
	}
}

// chained is a client that runs a function as soon as its outcome is known.
type chained struct {
	*client
	then func()
}

func (chained) Ends() (client, local netip.AddrPort) { return netip.AddrPort{}, netip.AddrPort{} }

func (c chained) Connected(err error) {
	c.client.Connected(err)
	c.then()
}

// An attempt that was held because its host may lead back is refused even if there is another host, because it may be the end of a chain. Later
// attempts are served by the other host, or refused if there is none. No error claims that the host does lead back.
func TestSuspectHost(t *testing.T) {
	t.Parallel()
	for what, hosts := range map[string]int{"alone": 1, "with another": 2} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for range 5 { // on a busy machine a suspicion may become stale
				w := newWorld(t)
				g := w.group([]any{hello(t, enginetest.Loopback, "suspect"), hello(t, enginetest.Loopback, "other")}[:hosts]...)
				held, later := w.client(g), w.client(g)
				w.loop.Do(func() {
					w.suspects(g)
					w.Connect(g, &held.conn, &held.lease, &held.trace, nil, false, chained{held, later.begin})
				})
				later.Await(t, "the outcome", func() bool { return len(later.outcome) > 0 })
				err := held.result()
				if err == nil {
					continue
				}
				if !errors.Is(err, upstream.ErrSuspect) || errors.Is(err, upstream.ErrLoop) {
					t.Errorf("the held attempt: %v", err)
				}
				switch err := later.result(); {
				case hosts == 1 && (!errors.Is(err, upstream.ErrSuspect) || errors.Is(err, upstream.ErrLoop)):
					t.Errorf("a later attempt: %v", err)
				case hosts == 2 && err != nil:
					t.Errorf("a later attempt: %v, want the other host", err)
				case hosts == 2:
					later.greeting("other")
				}
				return
			}
			t.Error("no attempt was refused")
		})
	}
}

// onLog calls a function for each log line.
type onLog func()

func (onLog) Enabled(context.Context, slog.Level) bool    { return true }
func (f onLog) Handle(context.Context, slog.Record) error { f(); return nil }
func (f onLog) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f onLog) WithGroup(string) slog.Handler             { return f }

// The probe of a host that a client gave up on begins while the client's lease is held: a host without leases may lose
// its id to another host.
func TestProbeFollowsTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hole := enginetest.BlackHole(t, enginetest.Loopback)
	g := w.group(hole)
	g.Self = upstream.NewSelf()
	var leases atomic.Int64
	w.Connector = upstream.NewConnector(w.loop.Loop, 1, nil, nil, slog.New(onLog(func() { leases.CompareAndSwap(0, g.Balance.Hosts().Active(0)) })))
	c := w.client(g)
	w.loop.Do(c.begin)
	time.Sleep(1100 * time.Millisecond)   // long enough for the host to be suspected
	g.Self.Listen([]netip.AddrPort{hole}) // so that the probe fails at once, and is logged
	w.loop.Do(func() { c.attempt.Cancel() })
	if n := leases.Load(); n != 2 {
		t.Errorf("%d leases while the host is probed, want the client's and the probe's", n)
	}
	c.expectIdle()
}
