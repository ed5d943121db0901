// Package metrics counts what happens, at a nanosecond or two a count, so that another process can read it at any time: counters, gauges
// and histograms of servers, routes, groups, hosts and processes.
//
// What is counted is declared once, by the fields of the structs in columns.go. Such a struct is a view of a place in a Row: a run of
// words in shared memory that has one writer, a loop. A Table is all rows, as the process that reads the configuration has them; its sums
// are structs of the same types. It gives each series (a server, a route, a group, a host) its place, the same in all rows, and
// keeps it while configurations, workers and programs come and go.
//
// The package knows nothing of HTTP, of Prometheus's formats, or of processes: it does not expose, log, or pass descriptors on. And it does
// not trust rows: their writers may have been compromised, so whatever a row holds can be added up.
package metrics
