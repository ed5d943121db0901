// Package resolve resolves host names without making an event loop wait.
//
// A [Name] is looked up in the background: once when it is first requested, and again whenever its answer has expired, for
// as long as it is in use. The DNS TTL says when an answer expires. Reading the current answer is one atomic load. An
// answer is kept while later lookups fail, and names do not wait for each other. The addresses of a name take
// turns, and those that have failed recently are tried last.
//
// Go's resolver asks the servers in Settings or, without any, those of this machine. [Services] follow SRV records in the
// same way, and report changes.
//
// The package does not cache on disk, and makes no connections to hosts: its users report how those went.
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

// Options configures a Resolver.
type Options struct {
	// Settings are the initial settings, see Resolver.Follow.
	Settings
	// Refresh is how old a good answer gets before it is looked up again, if Lookup does not know its TTL; 0 means 30 seconds. A random
	// few percent are added, so that names and processes that began together do not stay synchronized.
	Refresh time.Duration
	// Retry is the pause after a failed lookup. It doubles with each further failure, up to Refresh. 0 means one second.
	Retry time.Duration
	// Lookup finds the addresses of a name and how long they are valid, UnknownTTL if that is unknown. It should return
	// when ctx is done. If it does not, the name still fails in time, and is not looked up again before Lookup
	// returns. nil means that Settings decide.
	Lookup func(ctx context.Context, name string) (addrs []netip.Addr, ttl time.Duration, err error)
	// Report, if not nil, is called when a name begins to fail and, with a nil error, when it works again. It is called only for changes,
	// in order, with one call at a time for a name, from a goroutine of the resolver.
	Report func(name string, err error)
	// Excess, if not nil, is called when a name begins to have more addresses than are used. It is called in the same way as Report.
	Excess func(name string, found, used int)
}

const (
	defaultRefresh = 30 * time.Second
	defaultRetry   = time.Second
	// inUse is how long after its last use a name is refreshed in the background, and not forgotten; longer than the default maximum
	// validity of an answer.
	inUse = 10 * time.Minute
	// fewNames is the number of names below which none is forgotten.
	fewNames = 256
	// maxAddrs bounds how many addresses of a name are used.
	maxAddrs = 256
	// maxLookups bounds the concurrent lookups. A lookup that ignores its timeout stops counting then; a name has
	// at most one lookup, so the number of names bounds these.
	maxLookups = 64
)

// ErrClosed is the error that waiters get when the resolver is closed.
var ErrClosed = errors.New("resolve: resolver closed")

// Resolver holds names. Its methods may be called from any goroutine.
type Resolver struct {
	opts  Options
	how   atomic.Pointer[lookupMethods]
	start time.Time // reference time of Name.due
	slots chan struct{}
	ctx   context.Context // done when the resolver is closed
	close context.CancelCauseFunc

	mu    sync.Mutex
	names map[string]*Name
	many  int // the number of names from which unused ones are forgotten
}

// New makes a resolver. The caller must close it.
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

// Follow makes the resolver use other settings from now on. Known names are looked up again at their next use. A lookup in
// progress ends with the old settings, and its answer expires at once.
func (r *Resolver) Follow(s Settings) {
	if r.how.Load().equal(s.withDefaults()) {
		return
	}
	r.follow(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.names {
		n.expireAnswer()
	}
}

func (r *Resolver) follow(s Settings) {
	how := newLookupMethods(s)
	if r.opts.Lookup != nil {
		how.addrs = r.opts.Lookup
	}
	r.how.Store(how)
}

// Close ends lookups, gives waiters ErrClosed, and starts no more lookups. Answers stay readable. It does not
// wait for a Lookup to return.
func (r *Resolver) Close() { r.close(ErrClosed) }

// Name returns the unique Name of a host, ignoring letter case, and begins to look it up if it is new. An IP address (IPv6
// with or without brackets and zone) is its own answer and is never looked up.
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

// forget forgets unused names if there are many, because the names of a service's hosts come and go. A Name that is forgotten
// remains usable.
func (r *Resolver) forget() {
	if len(r.names) < r.many {
		return
	}
	maps.DeleteFunc(r.names, func(_ string, n *Name) bool { return !n.inUse() })
	r.many = max(fewNames, 2*len(r.names))
}

// parseLiteral parses an IP address. Only IPv6 may have brackets (RFC 3986, section 3.2.2); a zone keeps its letter case.
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
