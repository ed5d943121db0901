package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// tryTimeout bounds the wait for one server in one try.
	tryTimeout = 2 * time.Second
	// rounds is how often each server is asked if one of them does not answer: a datagram may be lost.
	rounds = 2
	// familyTimeout bounds the wait for the addresses of one family once those of the other have arrived.
	familyTimeout = 3 * time.Second
)

// These are answers of name servers; the lookup then goes on with the next name of the search list.
var (
	errNoName = errors.New("there is no such name")
	errNoData = errors.New("it has no records of this kind")
)

// client queries name servers directly. Its methods may be called from any goroutine.
type client struct {
	servers []netip.AddrPort // if empty, those of resolv.conf
	search  []string         // if nil, that of resolv.conf
	good    atomic.Int32     // index of the server that answered last; it is asked first
}

// inquiry is one lookup, with the servers and the search list in effect when it began.
type inquiry struct {
	*client
	servers []netip.AddrPort // at least one
	search  []string
}

func (c *client) inquire() *inquiry {
	q := &inquiry{c, c.servers, c.search}
	if len(q.servers) > 0 && q.search != nil {
		return q
	}
	servers, search := system()
	if len(q.servers) == 0 {
		q.servers = servers
	}
	if q.search == nil {
		q.search = search
	}
	return q
}

// lookup implements Options.Lookup for IPv4 and IPv6. This machine's files come before or after DNS, as nsswitch.conf
// says.
func (c *client) lookup(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	own, behind := fromFiles(ctx, name)
	if len(own) > 0 && !behind {
		return own, UnknownTTL, nil
	}
	q := c.inquire()
	var addrs []netip.Addr
	ttl, err := q.each(name, func(name dnsmessage.Name) (ttl time.Duration, err error) {
		addrs, ttl, err = q.addrs(ctx, name)
		return ttl, err
	})
	if err != nil && len(own) > 0 {
		return own, UnknownTTL, nil
	}
	return addrs, ttl, err
}

// service implements ServicesOptions.Lookup.
func (c *client) service(ctx context.Context, name string) ([]Target, time.Duration, error) {
	q := c.inquire()
	var targets []Target
	ttl, err := q.each(name, func(name dnsmessage.Name) (time.Duration, error) {
		f, err := q.ask(ctx, name, dnsmessage.TypeSRV)
		targets = f.targets
		return f.ttl, err
	})
	return targets, ttl, err
}

// each calls ask for each candidate of a name until one has an answer.
func (q *inquiry) each(name string, ask func(dnsmessage.Name) (time.Duration, error)) (time.Duration, error) {
	var first error
	for _, absolute := range candidates(name, q.search) {
		n, err := dnsmessage.NewName(absolute)
		if err == nil {
			var ttl time.Duration
			if ttl, err = ask(n); err == nil {
				return ttl, nil
			}
		}
		if first == nil || absolute == name+"." { // the error for the name as it was written says the most
			first = err
		}
		if !errors.Is(err, errNoName) && !errors.Is(err, errNoData) {
			return 0, err // the name may exist: another one must not replace it
		}
	}
	return 0, first
}

// candidates returns the absolute names that a name may stand for, in order. A name with a dot is first tried as it is; a name without a dot
// is first tried with the domains of the search list.
func candidates(name string, search []string) []string {
	bare, absolute := strings.CutSuffix(name, ".")
	if absolute {
		return []string{name}
	}
	var list []string
	for _, suffix := range search {
		list = append(list, bare+"."+strings.Trim(suffix, ".")+".")
	}
	if strings.Contains(bare, ".") {
		return slices.Insert(list, 0, bare+".")
	}
	return append(list, bare+".")
}

// addrs queries both address families at the same time. The addresses of one are enough.
func (q *inquiry) addrs(ctx context.Context, name dnsmessage.Name) ([]netip.Addr, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		found
		err error
	}
	kinds := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
	all, done := make([]outcome, len(kinds)), make(chan int, len(kinds))
	for i, kind := range kinds {
		go func() {
			all[i].found, all[i].err = q.ask(ctx, name, kind)
			done <- i
		}()
	}
	if one := all[<-done]; one.err == nil {
		defer time.AfterFunc(familyWait(ctx), cancel).Stop()
	}
	<-done
	var addrs []netip.Addr
	ttl, err := time.Duration(-1), errNoData
	for _, one := range all {
		switch {
		case one.err == nil:
			addrs = append(addrs, one.addrs...)
			if ttl < 0 || one.ttl < ttl {
				ttl = one.ttl
			}
		case errors.Is(one.err, errNoName) || errors.Is(err, errNoData):
			err = one.err
		}
	}
	if len(addrs) == 0 {
		return nil, 0, err
	}
	return addrs, ttl, nil
}

// familyWait returns how long to wait for the other family.
func familyWait(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(familyTimeout, time.Until(end)/2)
	}
	return familyTimeout
}

// ask queries the servers in turn until one answers. Without records it returns errNoName or errNoData.
func (q *inquiry) ask(ctx context.Context, name dnsmessage.Name, kind dnsmessage.Type) (found, error) {
	n, begin := len(q.servers), int(q.good.Load())
	var last error
	silent := false
	for attempt := range rounds * n {
		if attempt == n && !silent {
			break // all servers responded, and none had an answer
		}
		i := (begin + attempt) % n
		f, err := try(ctx, q.servers[i], name, kind, rounds*n-attempt)
		if err == nil || errors.Is(err, errNoName) || errors.Is(err, errNoData) {
			q.good.Store(int32(i))
			return f, err
		}
		if ctx.Err() != nil {
			if last == nil {
				last = err
			}
			break
		}
		silent = silent || errors.Is(err, errSilent)
		last = err
	}
	return found{}, last
}

// try queries one server. The remaining time is divided by left, the number of tries that are left.
func try(ctx context.Context, server netip.AddrPort, name dnsmessage.Name, kind dnsmessage.Type, left int) (found, error) {
	wait := tryTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/time.Duration(left))
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	f, err := exchange(ctx, server, name, kind)
	if err != nil {
		return f, fmt.Errorf("%s: %w", server, err)
	}
	return f, nil
}
