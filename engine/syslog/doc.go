// Package syslog sends log lines to a syslog server: RFC 5424 messages in datagrams, over UDP (RFC 5426) or to a unix socket such as /dev/log.
//
// A [Header] begins each message; a [Writer] sends them. The writer connects and reconnects by itself. It never waits for the
// reader, but it may block to resolve a name. It is for a goroutine beside the loops, such as that of an accesslog.Log, which buffers and
// retries.
package syslog
