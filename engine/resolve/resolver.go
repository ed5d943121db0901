// Package resolve answers host names with addresses without ever making an event loop wait.
//
// A [Name] is looked up in the background, once when it is first asked for and again whenever its answer has grown old, for
// as long as somebody uses it. How old an answer may get is what DNS says of it. Reading the current answer is one atomic load. An
// answer is kept while later lookups fail, and names do not wait for each other. A name with several addresses gives each
// its turn, and tries those last that have lately failed.
//
// Names are asked of the servers that Settings name, or else of this machine's, by Go's resolver. [Services] follow SRV records in the
// same way, and tell of changes.
//
// It does not cache on disk, and it makes no connections to hosts: its users say how these went.
package resolve

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a resolver is made with.
type Options struct {
	// Settings are those to begin with, see Resolver.Follow.
	Settings
	// Refresh is how old a good answer gets before it is looked up again, if Lookup does not know its TTL; 0 is 30 seconds. A few
	// percent are added by chance, so that names, and processes, that began together do not go on asking together.
	Refresh time.Duration
	// Retry is the pause after a failed lookup. It doubles with each further failure, up to Refresh. 0 is one second.
	Retry time.Duration
	// Lookup finds the addresses of a name and for how long they are good, UnknownTTL if nobody said. It should return
	// when ctx is done; if it does not, the name fails in time all the same, and is not looked up again before it
	// returns. nil is what Settings say.
	Lookup func(ctx context.Context, name string) (addrs []netip.Addr, ttl time.Duration, err error)
	// Report, if not nil, is told when a name begins to fail and, with a nil error, when it works again: changes only,
	// in order, one call at a time for a name. It is called from a goroutine of the resolver.
	Report func(name string, err error)
	// Excess, if not nil, is told when a name begins to have more addresses than are used. It is called as Report is.
	Excess func(name string, found, used int)
}

const (
	defaultRefresh = 30 * time.Second
	defaultRetry   = time.Second
	// inUse is for how long after it was last used a name is looked up again by itself, and not forgotten; longer than any answer is
	// good for by default.
	inUse = 10 * time.Minute
	// fewNames is how many names there are at least before any are forgotten.
	fewNames = 256
	// maxAddrs is how many addresses of a name are used.
	maxAddrs = 256
	// maxLookups is how many lookups run at once. One that ignores its timeout does not count beyond it: a name has
	// one lookup at most, so these are bounded by the number of names.
	maxLookups = 64
)

// ErrClosed is what waiters are told when the resolver is closed.
var ErrClosed = errors.New("resolve: resolver closed")

// Resolver holds names. Its methods may be called from any goroutine.
type Resolver struct {
	opts  Options
	how   atomic.Pointer[asking]
	start time.Time // what Name.due counts from
	slots chan struct{}
	ctx   context.Context // done: closed
	close context.CancelCauseFunc

	mu    sync.Mutex
	names map[string]*Name
	many  int // with so many names, those that nobody uses are forgotten
}

// New makes a resolver, which the caller has to Close.
func New(opts Options) *Resolver {
	if opts.Refresh <= 0 {
		opts.Refresh = defaultRefresh
	}
	if opts.Retry <= 0 {
		opts.Retry = defaultRetry
	}
	r := &Resolver{
		opts:  opts,
		start: time.Now(),
		slots: make(chan struct{}, maxLookups),
		names: make(map[string]*Name),
		many:  fewNames,
	}
	r.follow(opts.Settings)
	r.ctx, r.close = context.WithCancelCause(context.Background())
	return r
}

// Follow has names looked up by other settings from now on. Those that are known are looked up anew with their next use; a lookup that
// is on its way ends as it has begun, and is not relied on for long.
func (r *Resolver) Follow(s Settings) {
	if r.how.Load().equal(s.withDefaults()) {
		return
	}
	r.follow(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.names {
		n.hasten()
	}
}

func (r *Resolver) follow(s Settings) {
	how := newAsking(s)
	if r.opts.Lookup != nil {
		how.addrs = r.opts.Lookup
	}
	r.how.Store(how)
}

// Close ends lookups, tells those who wait ErrClosed, and starts no more lookups. Answers stay readable. It does not
// wait for a Lookup to return.
func (r *Resolver) Close() { r.close(ErrClosed) }

// Name answers the one Name of a host, in any letter case, and begins to look it up if it is new. An IP address, an IPv6
// one with or without brackets and zone, is its own answer and is never looked up.
func (r *Resolver) Name(host string) *Name {
	key := host
	if _, ok := parseLiteral(host); !ok { // a zone has a letter case
		key = strings.ToLower(host)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.names[key]
	if n == nil {
		r.forget()
		n = newName(r, host)
		r.names[key] = n
	}
	return n
}

// forget forgets the names that nobody uses, if there are many: those of a service's hosts come and go. Whoever holds such a Name may
// go on with it.
func (r *Resolver) forget() {
	if len(r.names) < r.many {
		return
	}
	maps.DeleteFunc(r.names, func(_ string, n *Name) bool { return !n.inUse() })
	r.many = max(fewNames, 2*len(r.names))
}

// parseLiteral reads an IP address. Brackets are for IPv6 (RFC 3986, section 3.2.2); a zone keeps its letter case.
func parseLiteral(host string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return netip.Addr{}, false
		}
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || bracketed && addr.Is4() {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}
