// Package balance chooses the host of an upstream group for a connection or request, and counts what each host has in hand.
//
// Choosing is pure: an algorithm looks at the counts and returns an index. Counting is separate: Group.Acquire chooses and counts, and
// the Lease that it returns must be released exactly once. Everything is lock-free and may be called from any loop. The counts are in
// the process's memory or in memory that a master and its workers share (Counters), under ids that outlive a configuration (Registry).
//
// The state of a host is there too (line.go), so that all processes know it: whether connections to it fail (health.go), whether it is
// ejected because it erred too often (ejection.go), whether it fails its active checks (checked.go). Callers report events by
// Lease.Reached, Lease.Unreachable, Lease.Release and Hosts.SetChecked, which return what should be logged (Change). Hosts.Usable is the
// only place that decides by all of this.
//
// The package does not resolve names, connect, or run checks, and does not know what a connection is.
package balance
