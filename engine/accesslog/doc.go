// Package accesslog writes a line of a log file for each finished session and exchange.
//
// Package logformat makes the lines. Each event loop has a [Buffer] of its own and records into memory; one
// goroutine per [Log] writes what the buffers hold, at most a flush interval later. A producer never waits for a disk or
// for the reader of a pipe: what a bounded buffer cannot hold is lost, counted and reported.
//
// It does not rotate files (see [Log.Reopen]), has no levels, does not sync to disk, and
// does not decide what a session's byte counts or status are.
package accesslog
