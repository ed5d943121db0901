package resolve

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// Settings say whom names are asked of, and for how long answers are good. They are data, so that two can be compared.
type Settings struct {
	// Servers are asked for names, in turn; none are those of this machine.
	Servers []netip.AddrPort
	// Search are the domains that a name without a dot may be in; others are looked for there if they do not exist by themselves. Nil
	// is this machine's list. With neither Servers nor Search, names are looked up as Lookup does.
	Search []string
	// MinTTL and MaxTTL bound for how long an answer is good, whatever DNS says; 0 is 1 second, and 5 minutes.
	MinTTL, MaxTTL time.Duration
	// Timeout is how long a lookup may take before it counts as failed, its wait for a free slot included; 0 is no limit.
	Timeout time.Duration
}

const (
	defaultMinTTL = time.Second
	defaultMaxTTL = 5 * time.Minute
)

// withDefaults fills in what is not set.
func (s Settings) withDefaults() Settings {
	if s.MinTTL <= 0 {
		s.MinTTL = defaultMinTTL
	}
	if s.MaxTTL <= 0 {
		s.MaxTTL = defaultMaxTTL
	}
	return s
}

// equal reports whether two settings are the same.
func (s Settings) equal(t Settings) bool {
	return slices.Equal(s.Servers, t.Servers) && slices.Equal(s.Search, t.Search) && (s.Search == nil) == (t.Search == nil) &&
		s.MinTTL == t.MinTTL && s.MaxTTL == t.MaxTTL && s.Timeout == t.Timeout
}

// goodFor is for how long an answer with a TTL is used; one that has none is for so long as unknown.
func (s Settings) goodFor(ttl, unknown time.Duration) time.Duration {
	if ttl < 0 {
		return unknown
	}
	return min(max(ttl, s.MinTTL), s.MaxTTL)
}

// asking are settings, and how lookups are made by them.
type asking struct {
	Settings
	addrs   func(ctx context.Context, name string) ([]netip.Addr, time.Duration, error)
	targets func(ctx context.Context, name string) ([]Target, time.Duration, error)
}

// newAsking makes what looks names up by s.
func newAsking(s Settings) *asking {
	a := &asking{Settings: s.withDefaults(), addrs: Lookup, targets: lookupService}
	if len(s.Servers) > 0 || s.Search != nil {
		c := &client{servers: s.Servers, search: s.Search}
		a.addrs, a.targets = c.lookup, c.service
	}
	return a
}
