package accesslog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// reportDelay gathers what happens together into one report; reportInterval is the least time between two.
	reportDelay    = 100 * time.Millisecond
	reportInterval = 10 * time.Second
)

// reporter counts lost lines and tells the operator what changed since it last did. It runs on a timer of its own,
// not on the goroutine that writes, which may be stuck.
type reporter struct {
	name   string
	report func(error) // nil: nobody is told
	count  func(lines int)
	lost   atomic.Uint64

	// armed: the timer will run, or report is running and will look again when it is done.
	armed atomic.Bool

	mu      sync.Mutex
	stopped bool
	timer   *time.Timer
	next    time.Time // no report before
	err     error     // why writing fails; nil while it works
	told    bool      // that writing fails
	counted uint64    // of lost, how many were told
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

// fails and works tell how writing goes.
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

// arm sees to it that run runs, soon or as soon as the interval allows.
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
	err := r.news()
	if err != nil {
		r.next = time.Now().Add(reportInterval)
	}
	r.mu.Unlock()
	if err != nil {
		r.report(err)
	}
	// What happened since news() saw armed and left it to us; the order matters: first armed, then the look.
	r.armed.Store(false)
	r.mu.Lock()
	more := (r.err != nil) != r.told || r.lost.Load() != r.counted
	r.mu.Unlock()
	if more {
		r.arm()
	}
}

// news answers what is to be told, nil if nothing, and takes it as told. r.mu is held.
func (r *reporter) news() error {
	if r.stopped {
		return nil
	}
	all := r.lost.Load()
	lost, told := all-r.counted, r.told
	r.counted, r.told = all, r.err != nil
	switch {
	case r.err != nil && lost > 0:
		return fmt.Errorf("accesslog: %s: %d lines lost, %d in all: writing: %w", r.name, lost, all, r.err)
	case r.err != nil && !told:
		return fmt.Errorf("accesslog: %s: writing: %w", r.name, r.err)
	case r.err == nil && told:
		return fmt.Errorf("accesslog: %s: writing works again; %d more lines were lost, %d in all", r.name, lost, all)
	case lost > 0:
		return fmt.Errorf("accesslog: %s: %d lines lost, %d in all: written slower than logged, or not at all",
			r.name, lost, all)
	}
	return nil
}

// stop ends reporting; the rest is for the caller to tell.
func (r *reporter) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// untold answers how many lost lines no report told of, and why writing fails. It is for after stop.
func (r *reporter) untold() (lines uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost.Load() - r.counted, r.err
}
