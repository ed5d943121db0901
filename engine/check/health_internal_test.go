package check

import (
	"math/rand/v2"
	"testing"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	// Results are + for a pass and - for a failure; states are the first letters of the state after each.
	for what, c := range map[string]struct {
		from       health
		rise, fall int
		results    string
		states     string
	}{
		"one success is enough at the start": {rise: 3, fall: 3, results: "+", states: "u"},
		"one failure as well":                {rise: 3, fall: 3, results: "-", states: "d"},
		"one that never was up":              {rise: 3, fall: 3, results: "---+", states: "dddu"},
		"fall":                               {rise: 2, fall: 3, results: "+--+---", states: "uuuuuud"},
		"rise":                               {rise: 2, fall: 1, results: "+-+-++", states: "uddddu"},
		"flapping":                           {rise: 2, fall: 3, results: "+-+-+--+--+-+", states: "uuuuuuuuuuuuu"},
		"flapping while down":                {rise: 2, fall: 1, results: "+-+-+-+", states: "udddddd"},
		"at once":                            {rise: 1, fall: 1, results: "+-+-", states: "udud"},
		"known to be up":                     {from: health{state: Up, proven: true}, rise: 2, fall: 2, results: "--", states: "ud"},
	} {
		h := c.from
		var states []byte
		for _, r := range c.results {
			before := h.state
			changed := h.note(r == '+', c.rise, c.fall)
			if changed != (before != h.state) {
				t.Errorf("%s: %q: changed is %v from %v to %v", what, c.results, changed, before, h.state)
			}
			if h.changing() && (h.state == Up) == (r == '+') {
				t.Errorf("%s: %q: a change is near, though the last result fits %v", what, c.results, h.state)
			}
			states = append(states, h.state.String()[0])
		}
		if string(states) != c.states {
			t.Errorf("%s: %q: states %q, want %q", what, c.results, states, c.states)
		}
	}
}

// A state never changes without the required number of results in a row.
func TestHealthNeedsResultsInARow(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		rise, fall := 1+r.IntN(4), 1+r.IntN(4)
		h := health{state: Up, proven: true}
		row, last := 0, true
		for range 200 {
			passed := r.IntN(2) == 0
			if row++; passed != last {
				row = 1
			}
			last = passed
			before, need := h.state, fall
			if passed {
				need = rise
			}
			changed := h.note(passed, rise, fall)
			want := before
			if row >= need {
				want = stateOf(passed)
			}
			if h.state != want || changed != (before != want) {
				t.Fatalf("rise %d, fall %d: %v after %d results %v in a row, was %v", rise, fall, h.state, row, passed, before)
			}
		}
	}
}
