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

// Name is a host name and what is known of it. Its methods may be called from any goroutine.
type Name struct {
	r    *Resolver
	host string
	// literal says that host is an address, not a name.
	literal bool

	answer atomic.Pointer[answer] // nil until there is a good one
	turn   atomic.Uint32          // whose turn it is among several addresses
	// due is when the next lookup is, in nanoseconds since r.start; never, while one is on its way.
	due  atomic.Int64
	used atomic.Int64 // when somebody last used the name, to a second, on the same clock

	mu      sync.Mutex
	flight  *flight // nil: no Lookup is running
	err     error   // of the last lookup; nil if it was good, or there was none
	pause   time.Duration
	waiters map[*waiter]struct{} // not empty only while a flight is not settled

	reporting sync.Mutex // before mu
	failing   bool       // what Report was last told
	excess    bool       // whether there were more addresses than are used
}

const never = math.MaxInt64

// flight is one call of Lookup. It is settled when it has answered or its time was up, whichever comes first; the call
// may go on after the latter.
type flight struct {
	how     *asking
	settled bool // under Name.mu
}

// waiter is one call of Wait. Whoever sets over, to tell it or to cancel it, has decided.
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
	n.used.Store(-int64(inUse)) // not yet
	if addr, ok := parseLiteral(host); ok {
		n.answer.Store(&answer{addrs: []netip.Addr{addr}})
		n.literal = true
		n.due.Store(never)
		return n
	}
	n.refresh()
	return n
}

// Host answers the name as it was first asked for.
func (n *Name) Host() string { return n.host }

// Literal reports whether the name is an address, which never changes.
func (n *Name) Literal() bool { return n.literal }

// Addrs answers the addresses that are known now, nil if there are none yet. It never blocks or allocates, except to
// start a lookup in the background when the answer has grown old or the pause after a failure is over. IPv4 addresses
// are unmapped, none comes twice, the order is Lookup's. The slice must not be changed; a lookup that answers the same
// leaves the same slice.
func (n *Name) Addrs() []netip.Addr {
	n.use()
	return n.known()
}

// use notes that the name is in use.
func (n *Name) use() {
	now := n.now()
	if now-n.used.Load() > int64(time.Second) { // seldom written: all loops read it
		n.used.Store(now)
	}
	if now >= n.due.Load() {
		n.refresh()
	}
}

// inUse reports whether the name was used of late.
func (n *Name) inUse() bool { return n.now()-n.used.Load() < int64(inUse) }

// hasten has the name looked up anew with its next use, if it is one that is looked up, and no lookup is on its way.
func (n *Name) hasten() {
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

// Wait has done called once, from another goroutine: with the addresses, as soon as there are any, even old ones; or
// with the error of the lookup that was on its way or was started for it. After a failure, until the pause is over, it
// is that failure's error, without a lookup. done must not block: others wait behind it. It is not called after
// cancel, unless the call was already on its way.
func (n *Name) Wait(done func([]netip.Addr, error)) (cancel func()) {
	w := &waiter{done: done}
	addrs := n.Addrs() // which starts a lookup if one is due
	n.mu.Lock()
	defer n.mu.Unlock()
	if addrs == nil {
		addrs = n.known()
	}
	if addrs == nil && n.flight != nil && !n.flight.settled {
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
			err = ErrClosed // nothing else keeps a name from being looked up
		}
	}
	go w.tell(addrs, err)
	return func() { w.over.Store(true) }
}

// now is monotonic.
func (n *Name) now() int64 { return int64(time.Since(n.r.start)) }

// refresh starts a lookup, if it is still due.
func (n *Name) refresh() {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.now() < n.due.Load():
	case n.r.ctx.Err() != nil:
		n.due.Store(never)
	case n.flight != nil: // it ignores its timeout, and there may be only one
		n.due.Store(n.now() + int64(n.pause))
	default:
		n.flight = &flight{how: n.r.how.Load()}
		n.due.Store(never)
		go n.lookup(n.flight)
	}
}

// lookup is the goroutine of a flight.
func (n *Name) lookup(f *flight) {
	ctx, cancel := n.context(f.how.Timeout)
	defer cancel()
	select {
	case n.r.slots <- struct{}{}:
	case <-ctx.Done():
		n.land(f, nil, 0, context.Cause(ctx))
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
	n.land(f, addrs, ttl, err)
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

// expire settles a flight whose time is up, unless it landed meanwhile.
func (n *Name) expire(f *flight, ctx context.Context) {
	n.mu.Lock()
	if n.flight != f {
		n.mu.Unlock()
		return
	}
	n.settle(f, nil, 0, context.Cause(ctx))
}

// land ends a flight. After its time was up, a failure is old news but addresses are good.
func (n *Name) land(f *flight, found []netip.Addr, ttl time.Duration, err error) {
	addrs := normalize(found)
	if err == nil && addrs == nil {
		err = errors.New("no addresses")
	}
	if err == nil {
		n.reportExcess(len(found), len(addrs))
	}
	n.mu.Lock()
	n.flight = nil
	if f.settled && err != nil {
		n.mu.Unlock()
		return
	}
	n.settle(f, addrs, ttl, err)
}

// settle makes the outcome known. n.mu is held, and released.
func (n *Name) settle(f *flight, addrs []netip.Addr, ttl time.Duration, err error) {
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
		addrs = nil // as it was: with an answer nobody waits
		n.err = err
		n.pause = max(n.r.opts.Retry, min(2*n.pause, n.r.opts.Refresh))
		n.next(n.pause)
	}
	if f.how != n.r.how.Load() { // it was not asked as names are now
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

// next plans a lookup in so long, or a little later, which takes place if the name is in use then; else when it is used again.
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

// report tells of a change, and of the state as it is then: calls that overtake each other tell nothing false.
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

// reportExcess tells when there begin to be more addresses than are used.
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

// normalize answers a copy with IPv4 addresses unmapped and without duplicates and zero addresses, nil if none is left, and
// no more than are used.
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
