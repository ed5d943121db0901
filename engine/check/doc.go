// Package check finds out whether hosts serve before clients do. It connects to each host at intervals, sends a request to those that speak
// HTTP, and reports when a host must get no more clients and when it may get clients again.
//
// It runs beside the loops, on its own goroutines: one per check in progress, up to a bound. It does not choose hosts, and keeps nothing
// that workers read: the caller passes on what it reports.
package check
