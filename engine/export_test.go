package engine

// What the black-box tests cannot do without.

// RunAgain serves the again list of a loop that does not run.
func (l *Loop) RunAgain() { l.runAgain() }

// ZoneIndex is zoneIndex.
var ZoneIndex = zoneIndex
