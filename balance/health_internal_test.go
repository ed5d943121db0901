package balance

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever a damaged table says of a host, choices are made, nothing panics, and after one success all is well; a host whose pause ends impossibly
// late may be probed now.
func TestDamagedWordsAreHarmless(t *testing.T) {
	t.Parallel()
	c := NewCounters(1, 2)
	g := NewGroup(2, first{}, c)
	const now = 1_000_000
	words := []uint64{0, 1, 255, 256, 1 << 8, math.MaxUint64, 1 << 63, (now + maxAhead) << 8, (now + maxAhead + 1) << 8, now << 8}
	for range 20_000 {
		for word := lineTurn + 1; word < hostWords; word++ {
			c.line(0)[word] = words[rand.IntN(len(words))]
			if rand.IntN(3) == 0 {
				c.line(0)[word] = rand.Uint64()
			}
		}
		damaged := health(*c.word(0, lineHealth))
		var seen Tried
		l, ok := g.Acquire(0, nil, &seen, now)
		if !ok || (l.Host() == 0) != damaged.up() {
			t.Fatalf("health %#x: host %d, %v", damaged, l.Host(), ok)
		}
		l.Release(Outcome{Class: Unused}, 0)
		if until := int64(damaged >> 8); !damaged.up() && until > now+maxAhead {
			if _, due := seen.Due(); !due {
				t.Fatalf("health %#x: the host will not be probed before %v", damaged, time.Duration(until-now)*time.Millisecond)
			}
		}
		probe, ok := g.Probe(0, 0, now, time.Second)
		if ok {
			if change := probe.Unreachable(now); change.Since < 0 || change.Pause < 0 || change.Pause > maxPause*time.Millisecond {
				t.Fatalf("health %#x: %+v", damaged, change)
			}
			if h := health(*c.word(0, lineHealth)); h.up() || int64(h>>8) > now+maxPause {
				t.Fatalf("health %#x: became %#x", damaged, h)
			}
			probe.Release(Outcome{Class: Unused}, 0)
		}
		var other Tried
		other.Add(1)
		if l, ok = g.Acquire(0, nil, &other, now); !ok {
			t.Fatal("the last host was given up")
		}
		if change := l.Reached(now); change.Since < 0 || !health(*c.word(0, lineHealth)).up() {
			t.Fatalf("health %#x: %+v after a success", damaged, change)
		}
		l.Release(Outcome{Class: Unused}, 0)
	}
}

// A failure between the change of a host's health and the update of the words that describe it is not described by the words of the previous
// downtime.
func TestNoReminderOfAnotherDowntime(t *testing.T) {
	t.Parallel()
	c := NewCounters(1, 1)
	g := NewGroup(1, first{}, c)
	lease := func(now int64) *Lease {
		var seen Tried
		l, ok := g.Acquire(0, nil, &seen, now)
		if !ok {
			t.Fatal("no host")
		}
		return &l
	}
	const began, hour = 1_000_000, 60 * 60 * 1000
	if got := lease(began).Unreachable(began); got.State != WentDown {
		t.Fatalf("the first failure: %+v", got)
	}
	if got := lease(began).Reached(began + 5000); got.State != CameUp || got.Since != 5*time.Second || got.Failed != 1 {
		t.Fatalf("the first success: %+v", got)
	}
	const now = began + 3*hour
	for what, pause := range map[string]int64{"in its pause": firstPause, "after its pause": 0} {
		*c.word(0, lineHealth) = uint64(downFor(1, now+pause)) // by another process, which has only come this far
		if got := lease(now).Unreachable(now); got != (Change{}) {
			t.Errorf("a failure %s: %+v", what, got)
		}
	}
	if got := lease(now).Reached(now); got.State != CameUp || got.Since != 0 {
		t.Errorf("the next success: %+v", got)
	}
}
