package check

// State is what the checks of a host have shown.
type State uint8

const (
	// Unknown means that there was no result yet: the host may have clients.
	Unknown State = iota
	// Up means that it may have clients.
	Up
	// Down means that it may not.
	Down
)

func (s State) String() string { return [...]string{"unknown", "up", "down"}[s] }

func stateOf(passed bool) State {
	if passed {
		return Up
	}
	return Down
}

// health is a target's state, and what speaks against it. The zero value knows nothing.
type health struct {
	state  State
	streak int  // the latest results, as far as they contradict the state
	proven bool // it was up
}

// note takes a result, and reports whether the state has changed. The first result decides, and a target that has never passed
// needs to pass once. After that it takes rise results in a row to be up, and fall to be down.
func (h *health) note(passed bool, rise, fall int) bool {
	next := stateOf(passed)
	if next == h.state {
		h.streak = 0
		return false
	}
	h.streak++
	need := fall
	switch {
	case h.state == Unknown, passed && !h.proven:
		need = 1
	case passed:
		need = rise
	}
	if h.streak < need {
		return false
	}
	h.state, h.streak = next, 0
	h.proven = h.proven || passed
	return true
}

// changing reports whether the latest results contradict the state, so that a change may be near.
func (h *health) changing() bool { return h.streak > 0 }
