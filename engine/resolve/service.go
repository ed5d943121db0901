package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Target is a location of a service: an SRV record (RFC 2782).
type Target struct {
	Name     string // absolute, without the final dot
	Port     uint16
	Priority uint16 // the lowest is preferred; the others are backups
	Weight   uint16 // relative to targets of the same priority
}

const (
	// maxTargets bounds how many targets of a service are used.
	maxTargets = 1000
	// changeSpacing is the minimum time between two notifications of changes, because each may cause a reload.
	changeSpacing = time.Second
	// toldTargets bounds how many refused targets are logged.
	toldTargets = 5
)

// errNotOffered is the error for an answer all of whose targets are refused.
var errNotOffered = errors.New("no host offers the service")

// ServicesOptions configures Services.
type ServicesOptions struct {
	// Lookup finds the targets of a service and how long they are valid, UnknownTTL if that is unknown. It must return when ctx is
	// done. nil means that Settings decide.
	Lookup func(ctx context.Context, name string) (targets []Target, ttl time.Duration, err error)
	// Log gets changes; nil means no log.
	Log *slog.Logger
}

// Services are the services whose SRV records a configuration refers to. Each is looked up in the background whenever its answer has
// expired, and keeps its last answer while lookups fail. The methods may be called from any goroutine.
type Services struct {
	opts    ServicesOptions
	changed chan struct{}
	slots   chan struct{}

	mu    sync.Mutex
	how   *lookupMethods
	known map[string]*service
	kept  map[string][]Target // answers from Keep, for services that are not followed yet
	told  time.Time           // when a change was last signalled
	due   *time.Timer         // signals the next change; nil if none is pending
}

// service is one of the services.
type service struct {
	name    string
	end     context.CancelFunc
	tried   chan struct{} // closed after its first lookup
	targets []Target      // immutable; nil before the first answer

	// What was logged last.
	failing bool
	refused string
	excess  bool
}

// NewServices returns Services that follow no service yet. The caller must close them.
func NewServices(opts ServicesOptions) *Services {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Services{opts: opts, changed: make(chan struct{}, 1), slots: make(chan struct{}, maxLookups), known: make(map[string]*service)}
}

// Keep sets initial answers, from a predecessor. A service has its initial answer until a lookup succeeds.
func (s *Services) Keep(answers map[string][]Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = answers
}

// Follow makes Services follow exactly these services, with these settings. Services that were followed before keep their answers.
func (s *Services) Follow(names []string, set Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	anew := s.how == nil || !s.how.equal(set.withDefaults())
	if anew {
		s.how = newLookupMethods(set)
		if s.opts.Lookup != nil {
			s.how.targets = s.opts.Lookup
		}
	}
	for name, one := range s.known {
		if wanted := slices.Contains(names, name); anew || !wanted {
			one.end()
			if !wanted {
				delete(s.known, name)
			}
		}
	}
	for _, name := range names {
		one := s.known[name]
		if one != nil && !anew {
			continue
		}
		if one == nil {
			one = &service{name: name, targets: s.kept[name]}
			s.known[name] = one
		}
		ctx, cancel := context.WithCancel(context.Background())
		one.end, one.tried = cancel, make(chan struct{})
		go s.follow(ctx, one, s.how, one.tried)
	}
}

// Wait waits until each service was looked up once, successfully or not, or until ctx is done.
func (s *Services) Wait(ctx context.Context) {
	s.mu.Lock()
	all := make([]<-chan struct{}, 0, len(s.known))
	for _, one := range s.known {
		all = append(all, one.tried)
	}
	s.mu.Unlock()
	for _, tried := range all {
		select {
		case <-tried:
		case <-ctx.Done():
			return
		}
	}
}

// Answers returns the targets of each service that has an answer, sorted by ascending priority and then by descending weight. They must not be
// changed.
func (s *Services) Answers() map[string][]Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]Target, len(s.known))
	for name, one := range s.known {
		if one.targets != nil {
			all[name] = one.targets
		}
	}
	return all
}

// Changed returns a channel that receives a value after Answers have changed, at most once per second.
func (s *Services) Changed() <-chan struct{} { return s.changed }

// Again makes Changed signal again after a while, for a caller that could not act on a change.
func (s *Services) Again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signalChange(changeSpacing * 5)
}

// Close ends lookups. Answers stay.
func (s *Services) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.known {
		one.end()
	}
	if s.due != nil {
		s.due.Stop()
	}
}

// follow looks a service up again and again until ctx is done. It runs on its own goroutine.
func (s *Services) follow(ctx context.Context, one *service, how *lookupMethods, tried chan struct{}) {
	pause := time.Duration(0)
	for first := true; ; first = false {
		targets, ttl, err := s.lookup(ctx, one.name, how)
		if ctx.Err() != nil {
			return
		}
		wait := how.goodFor(ttl, defaultRefresh)
		if err = s.settle(ctx, one, targets, err); err != nil {
			pause = max(defaultRetry, min(2*pause, defaultRefresh))
			wait = pause
		} else {
			pause = 0
		}
		if first {
			close(tried)
		}
		select {
		case <-time.After(wait + rand.N(wait/20)):
		case <-ctx.Done():
			return
		}
	}
}

// lookup looks a service up once a slot is free.
func (s *Services) lookup(ctx context.Context, name string, how *lookupMethods) ([]Target, time.Duration, error) {
	if how.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, how.Timeout, noAnswerWithin(how.Timeout))
		defer cancel()
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, UnknownTTL, context.Cause(ctx)
	}
	targets, ttl, err := how.targets(ctx, name)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return targets, ttl, err
}

// settle stores the result of a lookup, and returns its error.
func (s *Services) settle(ctx context.Context, one *service, found []Target, err error) error {
	targets, refused := arrange(found)
	if err == nil && len(targets) == 0 {
		err = errNotOffered
		if len(refused) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(refused[:min(len(refused), toldTargets)], "; "))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil { // the service is followed by another goroutine now, or by none
		return nil
	}
	s.report(one, refused, len(targets), err)
	targets = targets[:min(len(targets), maxTargets)]
	if err == nil && !slices.Equal(targets, one.targets) {
		one.targets = targets
		s.signalChange(0)
	}
	return err
}

// report logs what has changed: that lookups begin to fail or succeed again, or that targets are refused or too many. s.mu must be held.
func (s *Services) report(one *service, refused []string, targets int, err error) {
	log := s.opts.Log.With("service", one.name)
	if failing := err != nil; failing != one.failing {
		one.failing = failing
		if failing {
			log.Warn("resolve: the hosts of a service cannot be resolved; the known hosts stay", "hosts", len(one.targets), "error", err)
		} else {
			log.Info("resolve: the hosts of a service can be resolved again")
		}
	}
	if err != nil {
		return
	}
	if text := strings.Join(refused, "; "); text != one.refused {
		one.refused = text
		for _, reason := range refused[:min(len(refused), toldTargets)] {
			log.Warn("resolve: a host of a service is not used: "+reason, "refused", len(refused))
		}
	}
	if excess := targets > maxTargets; excess != one.excess {
		one.excess = excess
		if excess {
			log.Warn("resolve: a service has more hosts than are used; those with the lowest priority and weight are left out", "hosts", targets, "used", maxTargets)
		}
	}
}

// signalChange schedules a signal on Changed after the given time, but not before changeSpacing has passed since the last. s.mu must be held.
func (s *Services) signalChange(after time.Duration) {
	if s.due != nil {
		return
	}
	after = max(after, time.Until(s.told.Add(changeSpacing)))
	s.due = time.AfterFunc(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.due, s.told = nil, time.Now()
		select {
		case s.changed <- struct{}{}:
		default:
		}
	})
}

// arrange sorts targets and removes duplicates. It leaves out targets that lead nowhere, and returns the reasons.
func arrange(found []Target) (targets []Target, refused []string) {
	for _, t := range found {
		switch {
		case t.Name == "":
			refused = append(refused, `its target is ".", which says that there is none`)
		case t.Port == 0:
			refused = append(refused, fmt.Sprintf("its target is %s, and the port is 0", t.Name))
		default:
			t.Name = strings.ToLower(t.Name)
			targets = append(targets, t)
		}
	}
	slices.Sort(refused)
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port))
	})
	type place struct {
		name string
		port uint16
	}
	seen := make(map[place]bool, len(targets))
	targets = slices.DeleteFunc(targets, func(t Target) bool {
		at := place{t.Name, t.Port}
		again := seen[at]
		seen[at] = true
		return again
	})
	return targets, slices.Compact(refused)
}
