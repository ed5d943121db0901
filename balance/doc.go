// Package balance chooses which host of an upstream group a connection or request goes to, and counts what each host
// has in hand.
//
// Choosing is pure: an algorithm looks at the counts and answers an index. Counting is outside of it: Group.Acquire
// chooses and counts, and the Lease it returns is released exactly once. Everything is lock-free and may be called from
// any loop. The counts lie in the process's memory or in memory that a master and its workers share (Counters), under ids
// that outlive a configuration (Registry).
//
// What is known of a host lies there too (line.go), so that all who share the counters know it: whether connections to it fail
// (health.go), whether it is ejected since it erred too often (ejection.go), whether it fails its active checks (checked.go). The
// package is told so by Lease.Reached, Lease.Unreachable, Lease.Release and Hosts.SetChecked, which return what is to be told people
// (Change). Hosts.Usable is the one place that decides by all of it.
//
// The package does not resolve names, connect, make checks, or know what a connection is.
package balance
