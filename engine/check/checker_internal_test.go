package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/engine/upstream"
)

// scene is a set of hosts whose checks end as a test says, and records what a Checker reports, on the fake clock of synctest.
type scene struct {
	began time.Time

	mu      sync.Mutex
	results map[string]string // results of a host's checks, by label: + passes, - fails, the last one repeats; none means +
	takes   map[string]time.Duration
	calls   map[string][]time.Duration // when checks began
	told    []string
	log     strings.Builder
	running int
	most    int
}

func newScene() *scene {
	return &scene{began: time.Now(), results: map[string]string{}, takes: map[string]time.Duration{}, calls: map[string][]time.Duration{}}
}

var errScripted = errors.New("scripted failure")

func (s *scene) probe(ctx context.Context, t *Target) error {
	label := t.Host.Label
	s.mu.Lock()
	s.calls[label] = append(s.calls[label], time.Since(s.began))
	s.running++
	s.most = max(s.most, s.running)
	result := byte('+')
	if script := s.results[label]; script != "" {
		if result = script[0]; len(script) > 1 {
			s.results[label] = script[1:]
		}
	}
	takes := s.takes[label]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch result {
	case '-':
		return errScripted
	case '!':
		return fmt.Errorf("making a socket: %w", syscall.EMFILE)
	}
	return nil
}

func (s *scene) report(id int, up bool, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	word := map[bool]string{true: "up", false: "down"}[up]
	s.told = append(s.told, fmt.Sprintf("%d %s", id, word))
}

// Write receives the log.
func (s *scene) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *scene) options() Options {
	plain := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return Options{
		Log: slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{ReplaceAttr: plain})), Report: s.report,
		probe: s.probe, chance: func() float64 { return 0 },
	}
}

// heard returns what was reported since the last call, without repetitions.
func (s *scene) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Compact(s.told)
	s.told = nil
	return strings.Join(list, ", ")
}

// times returns when the checks of a host began.
func (s *scene) times(label string) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[label])
}

func (s *scene) lines() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func target(id int, label string, change func(*config.HealthCheck)) Target {
	t := Target{ID: id, Group: "web", Host: upstream.Host{Label: label}, Check: config.HealthCheck{
		Type: "tcp", Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 3,
	}}
	if change != nil {
		change(&t.Check)
	}
	return t
}

// advance lets time pass, to a moment when no check begins or ends.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func ms(list ...int) []time.Duration {
	var times []time.Duration
	for _, n := range list {
		times = append(times, time.Duration(n)*time.Millisecond)
	}
	return times
}

// A host goes down and comes back according to fall and rise, sooner with the fast interval; the log says why.
func TestChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.results["a"] = "++---+-+++"
		c := Start(s.options(), []Target{target(7, "a", nil)})
		defer c.Close()
		advance(10 * time.Millisecond)
		if got := s.heard(); got != "7 up" {
			t.Errorf("after the first check: %q", got)
		}
		advance(2400 * time.Millisecond) // at 1000 +, 2000 -, 2250 -
		if got := s.heard(); got != "7 up" {
			t.Errorf("before the third failure: %q", got)
		}
		advance(200 * time.Millisecond) // at 2500 -
		if got := s.heard(); got != "7 down" {
			t.Errorf("after the third failure: %q", got)
		}
		advance(2 * time.Second) // at 3500 +, 3750 -
		if got := s.heard(); got != "" {
			t.Errorf("while down: %q", got)
		}
		advance(time.Second) // at 4750 +, 5000 +
		if got := s.heard(); got != "7 up" {
			t.Errorf("after two checks that were passed: %q", got)
		}
		if got, want := s.times("a"), ms(0, 1000, 2000, 2250, 2500, 3500, 3750, 4750, 5000); !slices.Equal(got, want) {
			t.Errorf("checks began after %v, want %v", got, want)
		}
		want := `level=WARN msg="check: a host is down" group=web host=a type=tcp error="scripted failure" failed=3
level=INFO msg="check: a host serves again" group=web host=a type=tcp passed=2 down_for=2.5s
`
		if got := s.lines(); got != want {
			t.Errorf("the log has\n%swant\n%s", got, want)
		}
	})
}

// Until the first result nothing is reported about a host, and that result decides.
func TestFirstResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.results["bad"] = "-+"
		s.takes["good"], s.takes["bad"] = 500*time.Millisecond, 500*time.Millisecond
		c := Start(s.options(), []Target{target(1, "good", nil), target(2, "bad", nil)})
		defer c.Close()
		advance(400 * time.Millisecond)
		if got := s.heard(); got != "" {
			t.Errorf("before a result: %q", got)
		}
		advance(700 * time.Millisecond) // the second check began after half a second
		if got := s.heard(); got != "1 up, 2 down" {
			t.Errorf("after the first results: %q", got)
		}
		advance(2 * time.Second) // the host was never up, so one pass is enough
		if got := s.heard(); !strings.Contains(got, "2 up") {
			t.Errorf("after the next: %q", got)
		}
	})
}

// One failure does not change a known state.
func TestKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.results["up"], s.results["down"], s.results["still down"] = "-", "+", "-"
		o := s.options()
		o.Known = func(id int) State { return map[int]State{1: Up, 2: Down, 3: Down}[id] }
		c := Start(o, []Target{target(1, "up", func(s *config.HealthCheck) { s.Fall = 4 }), target(2, "down", nil), target(3, "still down", nil)})
		defer c.Close()
		advance(600 * time.Millisecond)
		if got := s.heard(); got != "2 up" {
			t.Errorf("after three failures of the one and a success of the other: %q", got)
		}
		advance(200 * time.Millisecond)
		if got := s.heard(); got != "1 down" {
			t.Errorf("after the fourth: %q", got)
		}
		want := `level=INFO msg="check: a host serves again" group=web host=down type=tcp passed=1 down_for=300ms
level=WARN msg="check: a host is down" group=web host=up type=tcp error="scripted failure" failed=4
`
		if got := s.lines(); got != want {
			t.Errorf("the log has\n%swant\n%s", got, want)
		}
	})
}

// This machine's own troubles say nothing about a host.
func TestOwnTroubles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.results["a"] = "+!"
		c := Start(s.options(), []Target{target(1, "a", nil)})
		defer c.Close()
		advance(10500 * time.Millisecond)
		if got := s.heard(); got != "1 up" {
			t.Errorf("reported: %q", got)
		}
		if n := strings.Count(s.lines(), `level=WARN msg="check: this machine cannot check a host; the host's state stays" group=web host=a`); n != 10 {
			t.Errorf("%d lines about it, want 10:\n%s", n, s.lines())
		}
	})
}

// Targets that stay keep their state and schedule; nothing more is reported about removed ones.
func TestSwap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.results["down"] = "-"
		s.results["slow"], s.takes["slow"] = "-", 700*time.Millisecond
		stays, goes, slow := target(1, "down", nil), target(2, "goes", nil), target(3, "slow", nil)
		c := Start(s.options(), []Target{stays, goes, slow}) // after 0, 333, 666 ms
		defer c.Close()
		advance(800 * time.Millisecond)
		if got := s.heard(); got != "1 down, 2 up" {
			t.Errorf("before: %q", got)
		}
		again := target(1, "down", nil) // an equal target
		c.Swap([]Target{again, target(4, "new", nil)})
		s.mu.Lock()
		s.results["down"] = "+"
		s.mu.Unlock()
		advance(100 * time.Millisecond)
		if got := s.heard(); got != "4 up" {
			t.Errorf("at once: %q", got)
		}
		advance(time.Second)
		if got := s.heard(); got != "1 up, 4 up" { // the host was never up, so one pass is enough
			t.Errorf("later: %q", got)
		}
		if got, want := s.times("down"), ms(0, 1000); !slices.Equal(got, want) {
			t.Errorf("what stays was checked after %v, want %v", got, want)
		}
		if got := s.times("goes"); len(got) != 1 {
			t.Errorf("what goes was checked after %v, want once", got)
		}
		s.mu.Lock()
		s.results["down"] = "-"
		s.mu.Unlock()
		c.Swap([]Target{target(1, "down", func(s *config.HealthCheck) { s.Fall = 2 })}) // with another check, the host keeps its state for now
		advance(100 * time.Millisecond)
		if got := s.heard(); got != "" || len(s.times("down")) != 3 {
			t.Errorf("after the first failure: %q; it was checked after %v", got, s.times("down"))
		}
		advance(200 * time.Millisecond)
		if got := s.heard(); got != "1 down" {
			t.Errorf("after the second failure: %q", got)
		}
		if strings.Contains(s.lines(), "slow") {
			t.Errorf("the log speaks of what has gone:\n%s", s.lines())
		}
		c.Swap(nil)
		s.heard()
		advance(time.Hour)
		if got := s.heard(); got != "" {
			t.Errorf("with nothing to check: %q", got)
		}
	})
}

func TestSame(t *testing.T) {
	t.Parallel()
	a := target(1, "a", func(s *config.HealthCheck) { s.Status = config.Statuses{{Low: 200, High: 399}} })
	same := target(1, "a", func(s *config.HealthCheck) { s.Status = config.Statuses{{Low: 200, High: 399}} })
	if !a.Same(&same) {
		t.Error("equal targets are not the same")
	}
	for what, change := range map[string]func(*Target){
		"id": func(t *Target) { t.ID++ }, "group": func(t *Target) { t.Group += "x" }, "label": func(t *Target) { t.Host.Label += "x" },
		"port": func(t *Target) { t.Host.Port++ }, "proxy protocol": func(t *Target) { t.ProxyProtocol++ },
		"type": func(t *Target) { t.Check.Type = "http" }, "method": func(t *Target) { t.Check.Method = "HEAD" }, "path": func(t *Target) { t.Check.Path = "/x" },
		"protocol": func(t *Target) { t.Protocol = upstream.HTTP2 }, "service": func(t *Target) { t.Check.Service = "x" },
		"authority": func(t *Target) { t.Authority = "x" }, "host": func(t *Target) { t.Check.Host = "x" }, "checked port": func(t *Target) { t.Check.Port = 1 }, "status": func(t *Target) { t.Check.Status = config.Statuses{{Low: 200, High: 200}} }, "body": func(t *Target) { t.Check.Body = "x" },
		"interval": func(t *Target) { t.Check.Interval++ }, "fast interval": func(t *Target) { t.Check.FastInterval++ }, "timeout": func(t *Target) { t.Check.Timeout++ },
		"rise": func(t *Target) { t.Check.Rise++ }, "fall": func(t *Target) { t.Check.Fall++ },
	} {
		b := same
		if change(&b); a.Same(&b) {
			t.Errorf("%s: targets that differ are the same", what)
		}
	}
}

// A host with two targets is up only if both are up.
func TestTwoChecksOfAHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.results["web"], s.results["raw"] = "----+", "+"
		web, raw := target(1, "web", func(s *config.HealthCheck) { s.Fall, s.Rise = 1, 1 }), target(1, "raw", nil)
		c := Start(s.options(), []Target{web, raw})
		defer c.Close()
		advance(3900 * time.Millisecond)
		if got := s.heard(); got != "1 down" {
			t.Errorf("with one failing target: %q", got)
		}
		advance(time.Second)
		if got := s.heard(); got != "1 up" {
			t.Errorf("with both that pass: %q", got)
		}
	})
}

// However many hosts there are and however long their checks take, the number of simultaneous checks is bounded, and all hosts get
// their turn.
func TestManyHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		var targets []Target
		for i := range 3 * MaxAtOnce {
			label := fmt.Sprint(i)
			targets = append(targets, target(i, label, nil))
			s.takes[label] = time.Hour // its timeout is a second
		}
		c := Start(s.options(), targets)
		advance(10 * time.Second)
		s.mu.Lock()
		most, checked := s.most, len(s.calls)
		var fewest, total int
		for calls := range maps.Values(s.calls) {
			if total += len(calls); fewest == 0 || len(calls) < fewest {
				fewest = len(calls)
			}
		}
		s.mu.Unlock()
		if most != MaxAtOnce || checked != len(targets) || fewest < 3 || total > 11*MaxAtOnce {
			t.Errorf("%d at once, %d of %d checked, %d times at least, %d checks", most, checked, len(targets), fewest, total)
		}
		c.Close()
		s.heard()
		advance(10 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running != 0 || len(s.told) != 0 {
			t.Errorf("after Close: %d checks, %v", s.running, s.told)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.takes["a"] = time.Second
		c := Start(s.options(), []Target{target(1, "a", func(s *config.HealthCheck) { s.Timeout = time.Hour })})
		advance(500 * time.Millisecond)
		c.Close()
		c.Close()
		c.Swap([]Target{target(2, "b", nil)})
		advance(time.Hour)
		if got := s.heard(); got != "" || len(s.times("b")) > 0 {
			t.Errorf("after Close: %q, b was checked after %v", got, s.times("b"))
		}
		// The bubble does not end before all goroutines have.
	})
}

// If there is nothing to check, nothing runs, not even a timer.
func TestNothingToCheck(t *testing.T) {
	t.Parallel()
	c := Start(Options{}, nil)
	if c.timer != nil || c.running != 0 {
		t.Error("something runs")
	}
	c.Close()
}
