package resolve

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Name is a host name and its addresses. Its methods may be called from any goroutine.
type Name struct {
	r    *Resolver
	host string
	// literal says that host is an IP address.
	literal bool

	answer atomic.Pointer[answer] // nil until a lookup succeeds
	turn   atomic.Uint32          // counts calls of Turn
	// due is when the next lookup is due, in ns since r.start; never while a lookup is in progress.
	due  atomic.Int64
	used atomic.Int64 // when the name was last used, accurate to a second, on the same clock

	mu      sync.Mutex
	running *lookupCall // the lookup in progress, or nil
	err     error       // of the last lookup; nil if it succeeded, or if there was none
	pause   time.Duration
	waiters map[*waiter]struct{} // empty unless a lookupCall is not settled

	reporting sync.Mutex // locked before mu
	failing   bool       // what was last reported
	excess    bool       // whether there were more addresses than are used
}

const never = math.MaxInt64

// lookupCall is one call of Lookup. It is settled when it returns or when its time is up, whichever comes first; in the latter case the call
// may still be running.
type lookupCall struct {
	how     *lookupMethods
	settled bool // under Name.mu
}

// waiter is one call of Wait. over is set once, by whichever of tell and cancel comes first.
type waiter struct {
	done func([]netip.Addr, error)
	over atomic.Bool
}

func (w *waiter) tell(addrs []netip.Addr, err error) {
	if w.over.CompareAndSwap(false, true) {
		w.done(addrs, err)
	}
}

func newName(r *Resolver, host string) *Name {
	n := &Name{r: r, host: host}
	n.used.Store(-int64(inUse)) // never
	if addr, ok := parseLiteral(host); ok {
		n.answer.Store(&answer{addrs: []netip.Addr{addr}})
		n.literal = true
		n.due.Store(never)
		return n
	}
	n.refresh()
	return n
}

// Host returns the name as it was first requested.
func (n *Name) Host() string { return n.host }

// Literal reports whether the name is an IP address, which never changes.
func (n *Name) Literal() bool { return n.literal }

// Addrs returns the currently known addresses, nil if there are none yet. It never blocks and does not allocate, except to
// start a lookup in the background when the answer has expired or the pause after a failure is over. IPv4 addresses
// are unmapped, there are no duplicates, and the order is Lookup's. The slice must not be changed; if a lookup returns the same addresses,
// Addrs returns the same slice.
func (n *Name) Addrs() []netip.Addr {
	n.use()
	return n.known()
}

// use records that the name is in use, and starts a lookup if one is due.
func (n *Name) use() {
	now := n.now()
	if now-n.used.Load() > int64(time.Second) { // written rarely, because all loops read it
		n.used.Store(now)
	}
	if now >= n.due.Load() {
		n.refresh()
	}
}

// inUse reports whether the name was used recently.
func (n *Name) inUse() bool { return n.now()-n.used.Load() < int64(inUse) }

// expireAnswer makes the next use of the name look it up, unless it is a literal or a lookup is in progress.
func (n *Name) expireAnswer() {
	if due := n.due.Load(); due != never {
		n.due.CompareAndSwap(due, n.now())
	}
}

func (n *Name) known() []netip.Addr {
	if a := n.answer.Load(); a != nil {
		return a.addrs
	}
	return nil
}

// Wait calls done once, on another goroutine: with the addresses as soon as there are any, even expired ones; or
// with the error of the lookup that is in progress or that Wait has started. During the pause after a failure, done gets the error of
// that failure, without a new lookup. done must not block, because other waiters come after it. It is not called after
// cancel, unless the call has already begun.
func (n *Name) Wait(done func([]netip.Addr, error)) (cancel func()) {
	w := &waiter{done: done}
	addrs := n.Addrs() // also starts a lookup if one is due
	n.mu.Lock()
	defer n.mu.Unlock()
	if addrs == nil {
		addrs = n.known()
	}
	if addrs == nil && n.running != nil && !n.running.settled {
		if n.waiters == nil {
			n.waiters = make(map[*waiter]struct{})
		}
		n.waiters[w] = struct{}{}
		return func() {
			w.over.Store(true)
			n.mu.Lock()
			delete(n.waiters, w)
			n.mu.Unlock()
		}
	}
	var err error
	if addrs == nil {
		if err = n.err; err == nil || n.r.ctx.Err() != nil {
			err = ErrClosed // only Close prevents a lookup
		}
	}
	go w.tell(addrs, err)
	return func() { w.over.Store(true) }
}

// now returns the time since r.start on the monotonic clock, in ns.
func (n *Name) now() int64 { return int64(time.Since(n.r.start)) }

// refresh starts a lookup if one is still due.
func (n *Name) refresh() {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.now() < n.due.Load():
	case n.r.ctx.Err() != nil:
		n.due.Store(never)
	case n.running != nil: // the running lookup ignores its timeout; there may be only one
		n.due.Store(n.now() + int64(n.pause))
	default:
		n.running = &lookupCall{how: n.r.how.Load()}
		n.due.Store(never)
		go n.lookup(n.running)
	}
}

// lookup makes the lookup of a lookupCall. It runs on its own goroutine.
func (n *Name) lookup(f *lookupCall) {
	ctx, cancel := n.context(f.how.Timeout)
	defer cancel()
	select {
	case n.r.slots <- struct{}{}:
	case <-ctx.Done():
		n.finish(f, nil, 0, context.Cause(ctx))
		return
	}
	release := sync.OnceFunc(func() { <-n.r.slots })
	stop := context.AfterFunc(ctx, func() {
		release()
		n.expire(f, ctx)
	})
	addrs, ttl, err := f.how.addrs(ctx, n.host)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	stop()
	release()
	n.finish(f, addrs, ttl, err)
}

func (n *Name) context(t time.Duration) (context.Context, context.CancelFunc) {
	if t <= 0 {
		return context.WithCancel(n.r.ctx)
	}
	return context.WithTimeoutCause(n.r.ctx, t, noAnswerWithin(t))
}

func noAnswerWithin(t time.Duration) error {
	return fmt.Errorf("no answer within %v: %w", t, context.DeadlineExceeded)
}

// expire settles a lookupCall whose time is up, unless it has finished.
func (n *Name) expire(f *lookupCall, ctx context.Context) {
	n.mu.Lock()
	if n.running != f {
		n.mu.Unlock()
		return
	}
	n.settle(f, nil, 0, context.Cause(ctx))
}

// finish ends a lookupCall. If its time was up, a failure is ignored, but addresses are used.
func (n *Name) finish(f *lookupCall, found []netip.Addr, ttl time.Duration, err error) {
	addrs := normalize(found)
	if err == nil && addrs == nil {
		err = errors.New("no addresses")
	}
	if err == nil {
		n.reportExcess(len(found), len(addrs))
	}
	n.mu.Lock()
	n.running = nil
	if f.settled && err != nil {
		n.mu.Unlock()
		return
	}
	n.settle(f, addrs, ttl, err)
}

// settle stores the result and tells the waiters. n.mu must be held; settle unlocks it.
func (n *Name) settle(f *lookupCall, addrs []netip.Addr, ttl time.Duration, err error) {
	f.settled = true
	if err == nil {
		if old := n.answer.Load(); old != nil && slices.Equal(old.addrs, addrs) {
			addrs = old.addrs
		} else {
			n.answer.Store(newAnswer(addrs, old))
		}
		n.err, n.pause = nil, 0
		n.next(f.how.goodFor(ttl, n.r.opts.Refresh))
	} else {
		if !errors.Is(err, ErrClosed) {
			err = fmt.Errorf("resolve: looking up %s: %w", n.host, err)
		}
		addrs = nil // those known stay; with an answer there are no waiters
		n.err = err
		n.pause = max(n.r.opts.Retry, min(2*n.pause, n.r.opts.Refresh))
		n.next(n.pause)
	}
	if f.how != n.r.how.Load() { // the settings have changed since
		n.due.Store(n.now())
	}
	waiters := n.waiters
	n.waiters = nil
	n.mu.Unlock()

	for w := range waiters {
		w.tell(addrs, err)
	}
	n.report()
}

// next schedules a lookup after d or a little more. If the name is not in use then, the lookup is made at the next use instead.
func (n *Name) next(d time.Duration) {
	if d > 20 {
		d += rand.N(d / 20)
	}
	n.due.Store(n.now() + int64(d))
	time.AfterFunc(d, func() {
		if n.inUse() && n.now() >= n.due.Load() {
			n.refresh()
		}
	})
}

// report reports a change of the current state. It reads the state under a lock, so that concurrent calls report nothing false.
func (n *Name) report() {
	if n.r.opts.Report == nil {
		return
	}
	n.reporting.Lock()
	defer n.reporting.Unlock()
	n.mu.Lock()
	err := n.err
	n.mu.Unlock()
	if errors.Is(err, ErrClosed) || (err != nil) == n.failing {
		return
	}
	n.failing = err != nil
	n.r.opts.Report(n.host, err)
}

// reportExcess reports when a name begins to have more addresses than are used.
func (n *Name) reportExcess(found, used int) {
	if n.r.opts.Excess == nil {
		return
	}
	n.reporting.Lock()
	defer n.reporting.Unlock()
	before := n.excess
	if n.excess = used == maxAddrs && found > used; n.excess && !before {
		n.r.opts.Excess(n.host, found, used)
	}
}

// normalize returns a copy with IPv4 addresses unmapped, without duplicates and invalid addresses, and limited to maxAddrs. It returns nil if no
// address is left.
func normalize(found []netip.Addr) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range found {
		if len(addrs) == maxAddrs {
			break
		}
		if a = a.Unmap(); a.IsValid() && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
