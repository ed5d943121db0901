package resolve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/resolve"
)

// offers is a scripted lookup of services.
type offers struct {
	mu      sync.Mutex
	answers map[string][]resolve.Target
	calls   map[string]int
	hang    bool
}

func newOffers() *offers {
	return &offers{answers: make(map[string][]resolve.Target), calls: make(map[string]int)}
}

func (o *offers) set(name string, targets ...resolve.Target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers[name] = targets
}

func (o *offers) unset(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.answers, name)
}

func (o *offers) silent(silent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hang = silent
}

func (o *offers) count(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[name]
}

const offerTTL = 10 * time.Second

func (o *offers) lookup(ctx context.Context, name string) ([]resolve.Target, time.Duration, error) {
	o.mu.Lock()
	o.calls[name]++
	targets, known := o.answers[name]
	hang := o.hang
	o.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	if !known {
		return nil, resolve.UnknownTTL, errors.New("no such service")
	}
	return targets, offerTTL, nil
}

// lines records the log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was logged since the last call.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Collect(strings.Lines(l.b.String()))
	l.b.Reset()
	return all
}

func (l *lines) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func (l *lines) expect(t *testing.T, want ...string) {
	t.Helper()
	got := l.take()
	if len(got) != len(want) {
		t.Fatalf("logged %q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("logged %q, want %q", got[i], want[i])
		}
	}
}

// following runs a test with services that are looked up through o.
func following(t *testing.T, test func(t *testing.T, o *offers, s *resolve.Services, log *lines)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, log := newOffers(), new(lines)
		s := resolve.NewServices(resolve.ServicesOptions{Lookup: o.lookup, Log: log.log()})
		defer s.Close()
		test(t, o, s, log)
	})
}

// changes counts the signals on Changed within d.
func changes(s *resolve.Services, d time.Duration) (n int) {
	end := time.After(d)
	for {
		select {
		case <-s.Changed():
			n++
		case <-end:
			return n
		}
	}
}

func offered(t *testing.T, s *resolve.Services, name string, want ...resolve.Target) {
	t.Helper()
	if got := s.Answers()[name]; !slices.Equal(got, want) {
		t.Errorf("%s is at %v, want %v", name, got, want)
	}
}

func target(name string, port, priority, weight uint16) resolve.Target {
	return resolve.Target{Name: name, Port: port, Priority: priority, Weight: weight}
}

func TestServiceIsSorted(t *testing.T) {
	following(t, func(t *testing.T, o *offers, s *resolve.Services, log *lines) {
		o.set("a", target("c", 80, 2, 1), target("B", 80, 1, 1), target("a", 80, 1, 7), target("b", 81, 1, 1), target("b", 80, 3, 9))
		s.Follow([]string{"a", "none"}, resolve.Settings{})
		s.Wait(t.Context())
		offered(t, s, "a", target("a", 80, 1, 7), target("b", 80, 1, 1), target("b", 81, 1, 1), target("c", 80, 2, 1))
		if _, known := s.Answers()["none"]; known {
			t.Error("a service that does not exist has an answer")
		}
		log.expect(t, `the hosts of a service cannot be resolved; the known hosts stay" service=none hosts=0 error="no such service"`)
	})
}

// Only changes are signalled. An answer survives failures, which are logged once.
func TestServiceChanges(t *testing.T) {
	following(t, func(t *testing.T, o *offers, s *resolve.Services, log *lines) {
		one, two := target("a", 80, 0, 0), target("b", 80, 0, 0)
		o.set("x", one)
		s.Follow([]string{"x"}, resolve.Settings{})
		if n := changes(s, time.Hour); n != 1 {
			t.Errorf("%d changes, want that from nothing to something", n)
		}
		if n := o.count("x"); n < 330 || n > 361 {
			t.Errorf("%d lookups in an hour, with a TTL of %v", n, offerTTL)
		}
		o.set("x", two, one) // the order of an answer has no meaning
		if n := changes(s, later(offerTTL)); n != 1 {
			t.Errorf("%d changes", n)
		}
		offered(t, s, "x", one, two)
		o.set("x", one, two)
		if n := changes(s, time.Hour); n != 0 {
			t.Errorf("%d changes by the same in another order", n)
		}
		log.expect(t)
		o.unset("x")
		if n := changes(s, time.Hour); n != 0 {
			t.Errorf("%d changes while lookups fail", n)
		}
		offered(t, s, "x", one, two)
		log.expect(t, "cannot be resolved")
		o.set("x", two)
		if n := changes(s, later(30*time.Second)); n != 1 {
			t.Errorf("%d changes after lookups have failed", n)
		}
		offered(t, s, "x", two)
		log.expect(t, "can be resolved again")
	})
}

// Simultaneous changes are signalled together, and continuing changes once per second.
func TestServiceChangesAreSpaced(t *testing.T) {
	following(t, func(t *testing.T, o *offers, s *resolve.Services, _ *lines) {
		var names []string
		for i := range 200 {
			names = append(names, fmt.Sprint(i))
			o.set(names[i], target("a", 80, 0, 0))
		}
		s.Follow(names, resolve.Settings{})
		s.Wait(t.Context())
		if n := changes(s, 10*time.Second-1); n < 1 || n > 2 {
			t.Errorf("200 services are %d changes", n)
		}
		for i, name := range names {
			o.set(name, target("a", uint16(i+1), 0, 0))
		}
		if n := changes(s, 10*time.Second); n < 1 || n > 11 {
			t.Errorf("200 services are %d changes in 10 seconds", n)
		}
		s.Again()
		if n := changes(s, 4*time.Second); n != 0 {
			t.Error("a change that could not be acted upon is told again at once")
		}
		if n := changes(s, 2*time.Second); n != 1 {
			t.Error("a change that could not be acted upon is not told again")
		}
	})
}

// Invalid targets are left out, and the reason is logged; if no target is left, the previous answer stays.
func TestServiceThatPointsAtNothing(t *testing.T) {
	following(t, func(t *testing.T, o *offers, s *resolve.Services, log *lines) {
		good := target("a", 80, 0, 0)
		o.set("x", good, target("", 0, 0, 0), target("b", 0, 0, 0))
		s.Follow([]string{"x"}, resolve.Settings{})
		s.Wait(t.Context())
		offered(t, s, "x", good)
		log.expect(t, `its target is \".\"`, "its target is b, and the port is 0")
		time.Sleep(time.Hour)
		log.expect(t)
		o.set("x", target("", 0, 0, 0))
		time.Sleep(time.Hour)
		offered(t, s, "x", good)
		log.expect(t, `no host offers the service: its target is \".\"`)
		o.set("x", good)
		time.Sleep(time.Hour)
		log.expect(t, "can be resolved again")
	})
}

func TestServiceOfManyHosts(t *testing.T) {
	following(t, func(t *testing.T, o *offers, s *resolve.Services, log *lines) {
		var many []resolve.Target
		for i := range 10000 {
			many = append(many, target(fmt.Sprint("h", i), 80, uint16(i/900), uint16(i%900)))
		}
		o.set("x", many...)
		s.Follow([]string{"x"}, resolve.Settings{})
		s.Wait(t.Context())
		got := s.Answers()["x"]
		if len(got) != 1000 || got[0] != many[899] || got[999] != many[1700] {
			t.Errorf("%d hosts are used, from %v to %v", len(got), got[0], got[len(got)-1])
		}
		log.expect(t, "hosts=10000 used=1000")
		time.Sleep(time.Minute)
		log.expect(t)
	})
}

// A lookup that hangs delays Wait no longer than its caller wants, and a predecessor's answers are used until there are new ones.
func TestServiceThatHangs(t *testing.T) {
	following(t, func(t *testing.T, o *offers, s *resolve.Services, log *lines) {
		o.silent(true)
		s.Keep(map[string][]resolve.Target{"x": {target("old", 80, 0, 0)}, "gone": {target("old", 80, 0, 0)}})
		s.Follow([]string{"x"}, resolve.Settings{Timeout: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		s.Wait(ctx)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("waited for %v", took)
		}
		offered(t, s, "x", target("old", 80, 0, 0))
		offered(t, s, "gone")
		s.Wait(t.Context())
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("the lookup took %v", took)
		}
		log.expect(t, "no answer within 5s")
		o.silent(false)
		o.set("x", target("new", 80, 0, 0))
		if n := changes(s, time.Minute); n != 1 {
			t.Errorf("%d changes", n)
		}
		offered(t, s, "x", target("new", 80, 0, 0))
	})
}

// Services that are no longer followed are not looked up. Services that are looked up with new settings keep their answers until there are new ones.
func TestServicesFollow(t *testing.T) {
	following(t, func(t *testing.T, o *offers, s *resolve.Services, _ *lines) {
		for _, name := range []string{"a", "b", "c"} {
			o.set(name, target(name, 80, 0, 0))
		}
		s.Follow([]string{"a", "b"}, resolve.Settings{})
		s.Wait(t.Context())
		s.Follow([]string{"b", "c"}, resolve.Settings{})
		s.Wait(t.Context())
		offered(t, s, "a")
		offered(t, s, "b", target("b", 80, 0, 0))
		offered(t, s, "c", target("c", 80, 0, 0))
		if o.count("b") != 1 {
			t.Errorf("%d lookups of a service that stays", o.count("b"))
		}
		s.Follow([]string{"b", "c"}, resolve.Settings{MinTTL: time.Minute, MaxTTL: time.Minute})
		offered(t, s, "b", target("b", 80, 0, 0))
		s.Wait(t.Context())
		if o.count("b") != 2 {
			t.Errorf("%d lookups after the settings have changed", o.count("b"))
		}
		time.Sleep(59 * time.Second)
		if o.count("a") != 1 || o.count("b") != 2 {
			t.Errorf("within the new minimum TTL, %d lookups; %d of a service that is not followed", o.count("b"), o.count("a"))
		}
		time.Sleep(5 * time.Second)
		if o.count("b") != 3 {
			t.Errorf("after it, %d lookups", o.count("b"))
		}
	})
}
