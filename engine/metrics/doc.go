// Package metrics counts events, at a cost of one or two nanoseconds each, so that another process can read the counts at any time: counters,
// gauges and histograms of servers, routes, groups, hosts and processes.
//
// The fields of the structs in columns.go declare the metrics. Such a struct is a view of a place in a Row: a run of
// words in shared memory that has one writer, a loop. A Table holds all rows, in the process that reads the configuration; its sums
// are structs of the same types. It assigns each series (a server, a route, a group, a host) a place, which is the same in all rows and
// stays the same across reloads, worker restarts and upgrades.
//
// The package knows nothing of HTTP, of Prometheus's formats, or of processes: it does not expose metrics, log, or pass descriptors on. It does
// not trust rows: their writers may be compromised, so every value in a row can be added up safely.
package metrics
