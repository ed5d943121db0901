// Package syslog sends log lines to a syslog: messages of RFC 5424 in datagrams, by UDP (RFC 5426) or to a unix socket such as /dev/log.
//
// A [Header] begins each message; a [Writer] sends them. The writer connects by itself, again and again, and never waits for the
// reader, but it may wait for a name: it is for a goroutine beside the loops, such as that of an accesslog.Log, which buffers and
// tries again.
package syslog
