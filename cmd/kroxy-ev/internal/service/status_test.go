package service

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

// steeringOf makes the steering of a program that has been running with that configuration for an hour.
func steeringOf(t *testing.T, c *counters, text string) *steering {
	t.Helper()
	s := newSteering("f", c, slog.New(slog.DiscardHandler))
	s.started = time.Now().Add(-time.Hour)
	followText(t, s, text)
	return s
}

func followText(t *testing.T, s *steering, text string) {
	t.Helper()
	cfg, _, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var res proxy.Resources
	if err := s.counters.assign(cfg, &res); err != nil {
		t.Fatal(err)
	}
	s.counters.commit()
	s.follow(cfg, &res)
}

func onlyHost(t *testing.T, s *steering) admin.Host {
	t.Helper()
	st, err := s.Status()
	if err != nil {
		t.Fatal(err)
	}
	return st.Groups[0].Hosts[0]
}

const (
	oneHost    = `{"http":{"proxy_to":"a","servers":{"a":{"hosts":[{"host":"127.0.0.1","port":9}]}}}}`
	oneDrained = `{"http":{"proxy_to":"a","servers":{"a":{"hosts":[{"host":"127.0.0.1","port":9,"drain":true}]}}}}`
)

// The reason for a host being down is shown while it is down, and remains known after it has recovered.
func TestLastError(t *testing.T) {
	t.Parallel()
	s := steeringOf(t, countersOf(t), oneHost)
	row, _, err := s.counters.take()
	if err != nil {
		t.Fatal(err)
	}
	g, _ := s.inForce.Load().overview.Groups[0].Hosts[0].Counted()
	check := func(state, want string) {
		t.Helper()
		if h := onlyHost(t, s); h.State != state || h.LastError != want {
			t.Errorf("%s, %q; want %s, %q", h.State, h.LastError, state, want)
		}
	}
	check(admin.StateUp, "")
	var tried balance.Tried
	l, ok := g.Acquire(row, nil, &tried, balance.Now())
	if !ok {
		t.Fatal("no host")
	}
	l.Blame(balance.Cause{Kind: balance.SystemError, Number: uint16(unix.ECONNREFUSED)})
	l.Unreachable(balance.Now())
	check(admin.StateDown, "connections to it fail: connection refused")
	l.Reached(balance.Now())
	check(admin.StateUp, "connections to it fail: connection refused")
	g.Hosts().Blame(0, balance.FailingChecks, balance.Cause{Kind: balance.BadStatus, Number: 503})
	l.Unreachable(balance.Now())
	check(admin.StateDown, "connections to it fail") // the known cause is that of another host
}

// A drained host shows since when it has been drained: since the order, or since the configuration that drains it came into force; after an
// upgrade, too.
func TestDrainedSince(t *testing.T) {
	t.Parallel()
	s := steeringOf(t, countersOf(t), oneHost)
	yes, no, two := true, false, 2
	order := func(o admin.HostOrder) {
		t.Helper()
		if err := s.SetHost("a", "127.0.0.1:9", o, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if h := onlyHost(t, s); !h.Since.Equal(s.started) {
		t.Errorf("up since %v, want %v", h.Since, s.started)
	}
	before := time.Now()
	order(admin.HostOrder{Drain: &yes})
	h := onlyHost(t, s)
	if h.State != admin.StateDrain || h.Since.Before(before) || h.Since.After(time.Now()) {
		t.Errorf("%s since %v", h.State, h.Since)
	}
	order(admin.HostOrder{Weight: &two})
	followText(t, s, oneDrained) // it has been drained all the time
	if again := onlyHost(t, s); !again.Since.Equal(h.Since) {
		t.Errorf("drained since %v, then since %v", h.Since, again.Since)
	}
	text, err := json.Marshal(handover{Drains: s.drained()})
	if err != nil {
		t.Fatal(err)
	}
	var passed handover
	if err := json.Unmarshal(text, &passed); err != nil {
		t.Fatal(err)
	}
	next := newSteering("f", s.counters, s.log)
	next.drains = passed.Drains
	followText(t, next, oneDrained)
	if again := onlyHost(t, next); !again.Since.Equal(h.Since) {
		t.Errorf("drained since %v, for the successor since %v", h.Since, again.Since)
	}
	order(admin.HostOrder{Drain: &no})
	if h := onlyHost(t, s); h.State != admin.StateUp || !h.Since.Equal(s.started) {
		t.Errorf("%s since %v", h.State, h.Since)
	}
	before = time.Now()
	s.forgetOrders()
	if h := onlyHost(t, s); h.State != admin.StateDrain || h.Since.Before(before) {
		t.Errorf("%s since %v", h.State, h.Since)
	}
}
