package balance

import "time"

// Change is what has become of a host by a report, for one of those who reported to tell people of.
type Change struct {
	State State
	// Pause is how long the host is tried last from now on, if it went down, or how long it is ejected.
	Pause time.Duration
	// Since is how long it has been down, ejected or failing its checks, and Failed how many attempts to connect have failed
	// meanwhile, or how many failures had it ejected.
	Since  time.Duration
	Failed int64
	// Panic is Panicked or Calmed if that has come of it, else Unchanged.
	Panic State
}

// State says what has become of a host.
type State uint8

const (
	// Unchanged means that there is nothing to tell.
	Unchanged State = iota
	// WentDown means that the host was up before this failure.
	WentDown
	// StillDown means that the host has been down for long, and that nobody was told lately.
	StillDown
	// CameUp means that the host was down before this success.
	CameUp
	// Ejected means that the host has erred too often, or again when it was tried.
	Ejected
	// Returned means that the host was ejected, and has served or passed a check.
	Returned
	// CheckFailed means that the host fails its active checks.
	CheckFailed
	// CheckPassed means that the host passes its active checks again.
	CheckPassed
	// Drained means that nobody holds the drained host any more.
	Drained
	// Panicked means that so few hosts of the group are left that ejections and failed checks count for nothing.
	Panicked
	// Calmed means that this is over.
	Calmed
)

func (s State) String() string {
	return [...]string{
		"unchanged", "went down", "still down", "came up", "ejected", "returned", "fails its checks", "passes its checks", "drained",
		"panicked", "calmed",
	}[s]
}
