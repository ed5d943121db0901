package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kroxy-ev/engine/resolve"
)

var errNoHost = errors.New("no such host")

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// dns is a scripted Lookup: a name returns what was set, after its delay.
type dns struct {
	mu         sync.Mutex
	answers    map[string][]netip.Addr
	calls      map[string]int
	delay      map[string]time.Duration
	ignoresCtx map[string]bool // names whose lookups ignore ctx
	ttl        map[string]time.Duration
	running    atomic.Int32
}

func newDNS() *dns {
	return &dns{
		answers:    make(map[string][]netip.Addr),
		calls:      make(map[string]int),
		delay:      make(map[string]time.Duration),
		ignoresCtx: make(map[string]bool),
		ttl:        make(map[string]time.Duration),
	}
}

func (d *dns) set(name string, list ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[name] = addrs(list...)
}

func (d *dns) unset(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.answers, name)
}

func (d *dns) slow(name string, delay time.Duration, ignoresCtx bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay[name], d.ignoresCtx[name] = delay, ignoresCtx
}

func (d *dns) goodFor(name string, ttl time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ttl[name] = ttl
}

func (d *dns) count(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[name]
}

func (d *dns) lookup(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	d.running.Add(1)
	defer d.running.Add(-1)
	d.mu.Lock()
	d.calls[name]++
	delay, ignoresCtx := d.delay[name], d.ignoresCtx[name]
	d.mu.Unlock()
	if ignoresCtx {
		time.Sleep(delay)
	} else {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if list, ok := d.answers[name]; ok {
		ttl, known := d.ttl[name]
		if !known {
			ttl = resolve.UnknownTTL
		}
		return list, ttl, nil
	}
	return nil, 0, errNoHost
}

// reports records the calls of Report.
type reports struct {
	mu   sync.Mutex
	list []string
}

func (r *reports) add(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, fmt.Sprintf("%s: %v", name, err))
}

func (r *reports) expect(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.list, want) {
		t.Errorf("reports %q, want %q", r.list, want)
	}
}

type outcome struct {
	addrs []netip.Addr
	err   error
}

func wait(n *resolve.Name) (<-chan outcome, func()) {
	got := make(chan outcome, 2) // room for a second value, which would be a bug
	cancel := n.Wait(func(a []netip.Addr, err error) { got <- outcome{a, err} })
	return got, cancel
}

func expect(t *testing.T, n *resolve.Name, want ...string) {
	t.Helper()
	if got := n.Addrs(); !slices.Equal(got, addrs(want...)) {
		t.Fatalf("Addrs of %s: got %v, want %v", n.Host(), got, want)
	}
}
