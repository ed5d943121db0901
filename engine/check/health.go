package check

// State is the result of a host's checks.
type State uint8

const (
	// Unknown means that there is no result yet: the host may have clients.
	Unknown State = iota
	// Up means that the host may have clients.
	Up
	// Down means that the host must not have clients.
	Down
)

func (s State) String() string { return [...]string{"unknown", "up", "down"}[s] }

func stateOf(passed bool) State {
	if passed {
		return Up
	}
	return Down
}

// health is a target's state and the results that contradict it. The zero value knows nothing.
type health struct {
	state  State
	streak int  // how many of the latest results in a row contradict the state
	proven bool // the target has passed before
}

// note records a result, and reports whether it changes the state. The first result decides by itself, and a target that has never passed
// needs to pass only once. Otherwise it takes rise passes in a row to be up, and fall failures in a row to be down.
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

// changing reports whether the latest results contradict the state, so that it may change soon.
func (h *health) changing() bool { return h.streak > 0 }
