// Package check finds out whether hosts serve before clients do: it connects to each of them at intervals, asks those that speak HTTP
// for a path, and reports when a host is to have no clients any more and when it may have them again.
//
// It runs beside the loops, on goroutines of its own, of which there are as many as there are checks on their way and never more than a
// bound. It does not choose hosts, and keeps nothing that workers read: who starts it passes on what it reports.
package check
