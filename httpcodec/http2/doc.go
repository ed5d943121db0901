// Package http2 is what bytes mean as HTTP/2 (RFC 9113): frames, heads in header blocks, windows, and the limits that keep a peer from making
// work or memory for nothing.
//
// It is pure: it gets bytes and answers with frames, heads and verdicts, and appends bytes to slices. It has no connection, no timer and no
// goroutine, never waits, and keeps nothing of what it is given but where it says so. Whether a head is one that this proxy takes is decided by
// package http1, which gets it in the form of HTTP/1.1: there is one scan for both.
package http2
