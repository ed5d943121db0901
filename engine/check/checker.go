package check

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// MaxAtOnce bounds the checks in progress. Each needs a descriptor, and one of a host that answers nothing lasts until its timeout:
// with a lower bound, such hosts would delay the checks of others.
const MaxAtOnce = 256

// Options configures a Checker.
type Options struct {
	// Log gets changes and their reasons; nil means no log.
	Log *slog.Logger
	// Report is called when the host of that ID goes down, with the error of its check, and after each check that it passes while it is up,
	// with a nil error. Calls do not overlap. Report must not block, and must not call the Checker.
	Report func(id int, up bool, err error)
	// Known returns what is known of a host before its first check; nil means nothing is known.
	Known func(id int) State

	probe  func(context.Context, *Target) error // replaced by tests; nil makes real checks
	chance func() float64                       // replaced by tests; nil means random
}

// Checker checks hosts until it is closed. Its methods may be called from any goroutine.
type Checker struct {
	opts   Options
	ctx    context.Context // done when the Checker is closed
	cancel context.CancelFunc
	checks sync.WaitGroup // in progress

	mu      sync.Mutex
	hosts   map[int][]*task // by the targets' IDs
	queue   queue
	running int
	timer   *time.Timer // calls tick when the first check is due; nil until first needed
	closed  bool
}

// Start begins to check the targets, all of which must differ. Without targets nothing runs.
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

// Swap replaces the targets. A target that is the same as before keeps its state and its schedule. Nothing is reported about removed
// targets after Swap has returned.
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

// known returns the initial state of a host that is checked in a new way; before are the tasks that checked it so far.
func (c *Checker) known(id int, before []*task) State {
	if len(before) > 0 {
		return before[0].state
	}
	return c.opts.Known(id)
}

// Close cancels the checks in progress and begins no more. It returns when all have ended; nothing is reported after that.
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

// tick begins the checks that are due.
func (c *Checker) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin()
}

// begin begins the checks that are due, up to MaxAtOnce, and schedules tick for the next. c.mu must be held.
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
	case !ok || c.running == MaxAtOnce: // when a check ends, it begins those that are due then
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(at), c.tick)
	default:
		c.timer.Reset(time.Until(at))
	}
}

// check makes one check for a task.
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

// note records the result of a check. c.mu must be held.
func (c *Checker) note(t *task, err error) {
	if err != nil && ours(t.target, err) {
		c.log(t, slog.LevelWarn, "check: this machine cannot check a host; the host's state stays", "error", err)
		return
	}
	passed := err == nil
	before, since, results := t.state, t.since, t.streak+1
	changed := t.note(passed, t.target.Check.Rise, t.target.Check.Fall)
	if changed {
		t.since = time.Now()
	}
	// Report comes before the log, so that whoever reads the log line can rely on it.
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

// log logs a message about a host. The message itself must say what it is about: package loglimit tells messages apart by their text.
func (c *Checker) log(t *task, level slog.Level, what string, more ...any) {
	about := []any{"group", t.target.Group, "host", t.target.Host.Label, "type", t.target.Check.Type}
	c.opts.Log.Log(context.Background(), level, what, append(about, more...)...)
}

// down reports whether one of the host's targets is down.
func (c *Checker) down(id int) bool {
	return slices.ContainsFunc(c.hosts[id], func(t *task) bool { return t.state == Down })
}
