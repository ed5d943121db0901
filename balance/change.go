package balance

import "time"

// Change says how a report changed a host's state. Of all who report, one gets the Change and should log it.
type Change struct {
	State State
	// Pause is how long the host is tried last from now on, if it went down, or how long it is ejected.
	Pause time.Duration
	// Since is how long the host has been down, ejected or failing its checks. Failed is how many attempts to connect failed meanwhile,
	// or how many failures led to the ejection.
	Since  time.Duration
	Failed int64
	// Panic is Panicked or Calmed if the report changed that, else Unchanged.
	Panic State
}

// State says how a host's state changed.
type State uint8

const (
	// Unchanged means that there is nothing to log.
	Unchanged State = iota
	// WentDown means that the host was up before this failure.
	WentDown
	// StillDown means that the host has been down for long, and a reminder is due.
	StillDown
	// CameUp means that the host was down before this success.
	CameUp
	// Ejected means that the host has erred too often, or erred again in its trial.
	Ejected
	// Returned means that the host's ejection ended because it has served or passed a check.
	Returned
	// CheckFailed means that the host fails its active checks.
	CheckFailed
	// CheckPassed means that the host passes its active checks again.
	CheckPassed
	// Drained means that the drained host has no leases any more.
	Drained
	// Panicked means that so few healthy hosts are left in the group that ejections and failed checks are ignored.
	Panicked
	// Calmed means that Panicked is over.
	Calmed
)

func (s State) String() string {
	return [...]string{
		"unchanged", "went down", "still down", "came up", "ejected", "returned", "fails its checks", "passes its checks", "drained",
		"panicked", "calmed",
	}[s]
}
