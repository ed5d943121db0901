// Package http2 interprets bytes as HTTP/2 (RFC 9113): frames, heads in header blocks, windows, and limits that keep a peer from
// wasting work or memory.
//
// It is pure code: it is given bytes and returns frames, heads and verdicts, and appends bytes to slices. It has no connections,
// timers or goroutines, never blocks, and keeps nothing of its arguments except where it says so. Package http1 decides whether a
// head is acceptable: this package gives it heads in the form of HTTP/1.1, so that one scan serves both protocols.
package http2
