// Package balance chooses which host of an upstream group a connection or request goes to, and counts what each host
// has in hand.
//
// Choosing is pure: an algorithm looks at the counts and answers an index. Counting is outside of it: Group.Acquire
// chooses and counts, and the Lease it returns is released exactly once. Everything is lock-free and may be called from
// any loop. The counts lie in the process's memory or in memory that a master and its workers share (Counters), under ids
// that outlive a configuration (Registry).
//
// A host that a connection could not be made to is down: it is tried last for a while, by all who share the counters, and
// then probed (health.go). The package is told so by Lease.Reached and Lease.Unreachable.
//
// The package does not resolve names, connect, or know what a connection is.
package balance
