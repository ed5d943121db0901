package enginetest

import (
	"testing"
	"time"

	"kroxy-ev/engine"
)

// Probe is an engine.Handler that counts its calls and passes them on. Its fields belong to the loop's goroutine; set
// the functions before attaching the probe.
type Probe struct {
	// OnReady and OnExpired are called if not nil.
	OnReady   func(*engine.Conn)
	OnExpired func(*engine.Timer)

	Readies, Expiries int

	loop   *Loop
	called chan struct{}
}

// Probe makes a probe for connections and timers of l.
func (l *Loop) Probe() *Probe { return &Probe{loop: l, called: make(chan struct{}, 1)} }

// Ready implements engine.Handler.
func (p *Probe) Ready(c *engine.Conn) {
	p.Readies++
	if p.OnReady != nil {
		p.OnReady(c)
	}
	p.Note()
}

// Expired implements engine.Handler.
func (p *Probe) Expired(t *engine.Timer) {
	p.Expiries++
	if p.OnExpired != nil {
		p.OnExpired(t)
	}
	p.Note()
}

// Note makes Await check its condition again. It may be called from any goroutine.
func (p *Probe) Note() {
	select {
	case p.called <- struct{}{}:
	default:
	}
}

// Await waits until cond, which is called on the loop's goroutine, returns true. It checks at once and then after each call of
// the probe, and fails the test if that takes too long. Only one goroutine may wait at a time.
func (p *Probe) Await(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	late := time.After(Patience)
	for {
		var ok bool
		p.loop.Do(func() { ok = cond() })
		if ok {
			return
		}
		select {
		case <-p.called:
		case <-late:
			tb.Fatalf("enginetest: waited %v in vain: %s", Patience, what)
		}
	}
}
