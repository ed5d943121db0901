package resolve

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// Settings say which servers names are looked up with, and how long answers are valid. They can be compared.
type Settings struct {
	// Servers are the name servers to ask, in turn; if empty, those of this machine.
	Servers []netip.AddrPort
	// Search lists the domains in which a name without a dot is looked up first; a name with a dot is looked up there if it does not exist by
	// itself. Nil means this machine's list. Without Servers and Search, names are looked up as Lookup does.
	Search []string
	// MinTTL and MaxTTL bound how long an answer is valid, whatever its TTL; 0 means 1 second and 5 minutes, respectively.
	MinTTL, MaxTTL time.Duration
	// Timeout bounds a lookup, including its wait for a free slot; 0 means no bound.
	Timeout time.Duration
}

const (
	defaultMinTTL = time.Second
	defaultMaxTTL = 5 * time.Minute
)

// withDefaults returns s with the defaults filled in.
func (s Settings) withDefaults() Settings {
	if s.MinTTL <= 0 {
		s.MinTTL = defaultMinTTL
	}
	if s.MaxTTL <= 0 {
		s.MaxTTL = defaultMaxTTL
	}
	return s
}

// equal reports whether s and t are the same.
func (s Settings) equal(t Settings) bool {
	return slices.Equal(s.Servers, t.Servers) && slices.Equal(s.Search, t.Search) && (s.Search == nil) == (t.Search == nil) &&
		s.MinTTL == t.MinTTL && s.MaxTTL == t.MaxTTL && s.Timeout == t.Timeout
}

// goodFor returns how long an answer with the given TTL is valid; unknown if it has no TTL.
func (s Settings) goodFor(ttl, unknown time.Duration) time.Duration {
	if ttl < 0 {
		return unknown
	}
	return min(max(ttl, s.MinTTL), s.MaxTTL)
}

// lookupMethods holds settings together with the functions that look names up by them.
type lookupMethods struct {
	Settings
	addrs   func(ctx context.Context, name string) ([]netip.Addr, time.Duration, error)
	targets func(ctx context.Context, name string) ([]Target, time.Duration, error)
}

// newLookupMethods returns the lookupMethods for s.
func newLookupMethods(s Settings) *lookupMethods {
	a := &lookupMethods{Settings: s.withDefaults(), addrs: Lookup, targets: lookupService}
	if len(s.Servers) > 0 || s.Search != nil {
		c := &client{servers: s.Servers, search: s.Search}
		a.addrs, a.targets = c.lookup, c.service
	}
	return a
}
