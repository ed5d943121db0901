package check

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// MaxAtOnce is how many checks are on their way at once at most. Each needs a descriptor, and one of a host that answers nothing takes as
// long as it may: fewer would have such hosts delay the checks of others.
const MaxAtOnce = 256

// Options are what a Checker is started with.
type Options struct {
	// Log is told of changes, and why they came; nil is nobody.
	Log *slog.Logger
	// Report is told that the host of that ID is down, and what its check failed by, and, with each check that it passes while it is up,
	// that it is up; err is nil then. It is called by one goroutine at a time, must not block, and must not call the Checker.
	Report func(id int, up bool, err error)
	// Known is what was known of a host before it is checked for the first time; nil is nothing.
	Known func(id int) State

	probe  func(context.Context, *Target) error // of tests; nil makes real checks
	chance func() float64                       // likewise; nil is by chance
}

// Checker checks hosts until it is closed. Its methods may be called from any goroutine.
type Checker struct {
	opts   Options
	ctx    context.Context // done: closed
	cancel context.CancelFunc
	checks sync.WaitGroup // that are on their way

	mu      sync.Mutex
	hosts   map[int][]*task // by the targets' IDs
	queue   queue
	running int
	timer   *time.Timer // calls tick when the first check is due; nil before it is first needed
	closed  bool
}

// Start begins to check these targets, no two of which are the same. Where there are none, nothing runs.
func Start(o Options, targets []Target) *Checker {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Known == nil {
		o.Known = func(int) State { return Unknown }
	}
	if o.probe == nil {
		o.probe = newProber().check
	}
	if o.chance == nil {
		o.chance = rand.Float64
	}
	c := &Checker{opts: o, hosts: make(map[int][]*task)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.Swap(targets)
	return c
}

// Swap goes over to other targets. Those that are the same are checked when they would have been, and what is known of them stays. Of
// those that are gone nothing is reported once it has returned.
func (c *Checker) Swap(targets []Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	before := c.hosts
	c.hosts = make(map[int][]*task)
	var fresh []*task
	for i := range targets {
		target := &targets[i]
		old := before[target.ID]
		var t *task
		if at := slices.IndexFunc(old, func(t *task) bool { return t.target.Same(target) }); at >= 0 {
			t = old[at]
			t.target = target
			before[target.ID] = slices.Delete(old, at, at+1)
		} else {
			t = &task{target: target, place: -1, since: time.Now()}
			t.state = c.known(target.ID, old)
			t.proven = t.state == Up
			fresh = append(fresh, t)
		}
		c.hosts[target.ID] = append(c.hosts[target.ID], t)
	}
	for _, tasks := range before {
		for _, t := range tasks {
			t.gone = true
			c.queue.remove(t)
		}
	}
	spread(fresh, time.Now())
	for _, t := range fresh {
		c.queue.push(t)
	}
	c.begin()
}

// known is what is known of a host that is checked in a new way, and was checked as these tasks say.
func (c *Checker) known(id int, before []*task) State {
	if len(before) > 0 {
		return before[0].state
	}
	return c.opts.Known(id)
}

// Close ends the checks that are on their way and begins no more. It returns when all have ended; nothing is reported then.
func (c *Checker) Close() {
	c.mu.Lock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	c.cancel()
	c.checks.Wait()
}

// tick begins what is due.
func (c *Checker) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin()
}

// begin begins the checks that are due, as far as there may be more, and has tick called when the next one is. C.mu is held.
func (c *Checker) begin() {
	if c.closed {
		return
	}
	for now := time.Now(); c.running < MaxAtOnce; {
		t := c.queue.pop(now)
		if t == nil {
			break
		}
		c.running++
		target := t.target
		c.checks.Go(func() { c.check(t, target) })
	}
	at, ok := c.queue.next()
	switch {
	case !ok || c.running == MaxAtOnce: // the end of a check begins what is due then
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(at), c.tick)
	default:
		c.timer.Reset(time.Until(at))
	}
}

// check makes one check of a task.
func (c *Checker) check(t *task, target *Target) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(c.ctx, target.Check.Timeout)
	err := c.opts.probe(ctx, target)
	cancel()

	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.closed {
		return
	}
	if !t.gone {
		c.note(t, err)
		t.again(began, time.Now(), c.opts.chance())
		c.queue.push(t)
	}
	c.begin()
}

// note takes the result of a check. C.mu is held.
func (c *Checker) note(t *task, err error) {
	if err != nil && ours(t.target, err) {
		c.log(t, slog.LevelWarn, "check: this machine cannot check a host, which stays what it was", "error", err)
		return
	}
	passed := err == nil
	before, since, results := t.state, t.since, t.streak+1
	changed := t.note(passed, t.target.Check.Rise, t.target.Check.Fall)
	if changed {
		t.since = time.Now()
	}
	// Before the log speaks of it: who reads that may rely on it.
	switch {
	case changed && !passed:
		c.opts.Report(t.target.ID, false, err)
	case passed && t.state == Up && !c.down(t.target.ID):
		c.opts.Report(t.target.ID, true, nil)
	}
	switch {
	case changed && !passed:
		c.log(t, slog.LevelWarn, "check: a host is down", "error", err, "failed", results)
	case changed && before == Down:
		c.log(t, slog.LevelInfo, "check: a host serves again", "passed", results, "down_for", t.since.Sub(since).Round(100*time.Millisecond))
	case changed:
		c.log(t, slog.LevelDebug, "check: a host serves")
	case !passed:
		c.log(t, slog.LevelDebug, "check: a check has failed", "error", err, "state", t.state)
	}
}

// log writes a line about a host. What it is about is in the line itself: package loglimit tells lines apart by that.
func (c *Checker) log(t *task, level slog.Level, what string, more ...any) {
	about := []any{"group", t.target.Group, "host", t.target.Host.Label, "type", t.target.Check.Type}
	c.opts.Log.Log(context.Background(), level, what, append(about, more...)...)
}

// down reports whether one of the targets that are this host is down.
func (c *Checker) down(id int) bool {
	return slices.ContainsFunc(c.hosts[id], func(t *task) bool { return t.state == Down })
}
