// Package accesslog writes a line of a log file for each finished session and exchange.
//
// Package logformat makes the lines. Each event loop has its own [Buffer] and records into memory; one
// goroutine per [Log] writes the buffered lines, at most a flush interval later. A producer never waits for a disk or
// for the reader of a pipe: lines that do not fit into a bounded buffer are lost, counted and reported.
//
// The package does not rotate files (see [Log.Reopen]), has no levels, does not sync to disk, and
// does not determine a session's byte counts or status.
package accesslog
