package accesslog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// reportDelay collects events into one report; reportInterval is the minimum time between two reports.
	reportDelay    = 100 * time.Millisecond
	reportInterval = 10 * time.Second
)

// reporter counts lost lines and reports to the operator what has changed since its last report. It runs on its own timer,
// not on the goroutine that writes, which may be stuck.
type reporter struct {
	name   string
	report func(error) // nil: no reports
	count  func(lines int)
	lost   atomic.Uint64

	// armed is true while the timer is set, or while run is running and will check again when it is done.
	armed atomic.Bool

	mu              sync.Mutex
	stopped         bool
	timer           *time.Timer
	next            time.Time // no report before this time
	err             error     // why writing fails; nil while it works
	reportedFailing bool      // the last report said that writing fails
	counted         uint64    // how many of lost were reported
}

// lose counts lost lines.
func (r *reporter) lose(lines int) {
	if lines > 0 {
		r.lost.Add(uint64(lines))
		if r.count != nil {
			r.count(lines)
		}
		r.arm()
	}
}

// fails and works record whether writing works.
func (r *reporter) fails(err error) {
	r.mu.Lock()
	r.err = err
	r.mu.Unlock()
	r.arm()
}

func (r *reporter) works() {
	r.mu.Lock()
	was := r.err
	r.err = nil
	r.mu.Unlock()
	if was != nil {
		r.arm()
	}
}

// arm schedules run, soon or as soon as the interval allows.
func (r *reporter) arm() {
	if r.report == nil || r.armed.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || !r.armed.CompareAndSwap(false, true) {
		return
	}
	d := max(reportDelay, time.Until(r.next))
	if r.timer == nil {
		r.timer = time.AfterFunc(d, r.run)
	} else {
		r.timer.Reset(d)
	}
}

func (r *reporter) run() {
	r.mu.Lock()
	err := r.takeChanges()
	if err != nil {
		r.next = time.Now().Add(reportInterval)
	}
	r.mu.Unlock()
	if err != nil {
		r.report(err)
	}
	// What has happened since takeChanges found armed set and did not arm the timer. The order matters: clear armed first, then check.
	r.armed.Store(false)
	r.mu.Lock()
	more := (r.err != nil) != r.reportedFailing || r.lost.Load() != r.counted
	r.mu.Unlock()
	if more {
		r.arm()
	}
}

// takeChanges returns what must be reported, nil if nothing, and marks it as reported. r.mu must be held.
func (r *reporter) takeChanges() error {
	if r.stopped {
		return nil
	}
	all := r.lost.Load()
	lost, told := all-r.counted, r.reportedFailing
	r.counted, r.reportedFailing = all, r.err != nil
	switch {
	case r.err != nil && lost > 0:
		return fmt.Errorf("accesslog: %s: %d lines lost, %d in all: writing: %w", r.name, lost, all, r.err)
	case r.err != nil && !told:
		return fmt.Errorf("accesslog: %s: writing: %w", r.name, r.err)
	case r.err == nil && told:
		return fmt.Errorf("accesslog: %s: writing works again; %d more lines were lost, %d in all", r.name, lost, all)
	case lost > 0:
		return fmt.Errorf("accesslog: %s: %d lines lost, %d in all: the output is slower than the traffic, or stuck",
			r.name, lost, all)
	}
	return nil
}

// stop ends reporting; the caller must report the rest.
func (r *reporter) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// unreported returns how many lost lines were not reported, and why writing fails. It is called after stop.
func (r *reporter) unreported() (lines uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost.Load() - r.counted, r.err
}
