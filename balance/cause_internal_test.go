package balance

import (
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
)

// What is noted is what is read back. Any damaged word yields a text or nothing, and each kind has a text.
func TestBlame(t *testing.T) {
	t.Parallel()
	for what := FailingChecks; what <= Out; what++ {
		for kind := range causeKinds {
			for _, number := range []uint16{0, 503, math.MaxUint16} {
				why := Cause{kind, number}
				if gotWhat, gotWhy := problemIn(uint64(problemFor(what, why))); gotWhat != what || gotWhy != why {
					t.Errorf("%v, %+v became %v, %+v", what, why, gotWhat, gotWhy)
				}
				if (why.String() == "") != (kind == UnknownCause) {
					t.Errorf("%+v is %q", why, why)
				}
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 7))
	for range 10000 {
		for _, word := range []uint64{rng.Uint64(), uint64(problemMark) | uint64(rng.Uint32())} {
			what, why := problemIn(word)
			_, _ = what.String(), why.String()
			if what == Well && why != (Cause{}) {
				t.Fatalf("%#x: %v, %v", word, what, why)
			}
		}
	}
	for why, want := range map[Cause]string{
		{SystemError, uint16(syscall.ECONNREFUSED)}: "connection refused", {BadStatus, 503}: "status 503", {TimedOut, 0}: "timed out", {causeKinds, 0}: "",
	} {
		if why.String() != want {
			t.Errorf("%+v is %q, want %q", why, why, want)
		}
	}
}

// The cause of an ejection stays known when the host has returned; the next host with the same id inherits nothing.
func TestBlameOfTheEjected(t *testing.T) {
	t.Parallel()
	c := NewCounters(1, 1)
	g := newTestGroup(t, c, Options{Algorithm: "first", Hosts: specs(1), Passive: Passive{Failures: 1}})
	check := func(want Condition, cause Cause) {
		t.Helper()
		if what, why := g.Hosts().Blamed(0); what != want || why != cause {
			t.Errorf("%v, %v; want %v, %v", what, why, want, cause)
		}
	}
	check(Well, Cause{})
	const now = 1_000_000
	cause := Cause{BadStatus, 502}
	var seen Tried
	l, _ := g.Acquire(0, nil, &seen, now)
	if c := l.Release(Outcome{Class: Erred, Cause: cause}, now); c.State != Ejected {
		t.Fatalf("%+v", c)
	}
	check(Out, cause)
	g.Hosts().SetChecked(0, true, now+1)
	if what, _ := g.Hosts().Condition(0, now+2); what != Well {
		t.Errorf("it has returned, and is %v", what)
	}
	check(Out, cause)
	c.forget(0)
	check(Well, Cause{})
}
