// Package h2conn carries HTTP/2 on connections of a loop (RFC 9113): of clients and to hosts. Each stream is an engine.Conn of its own, over
// which one exchange goes in the form of HTTP/1.1, so whoever serves that need not know which protocol it came by.
//
// What a peer sends takes of its windows until it was read, so no peer makes a buffer grow; what it does not take is not read from where it comes
// from. What a peer does for nothing is counted, and too much of it ends the connection (package http2 says how much).
//
// It does not decide whether a head is one that is taken (package http1 does), serve requests, choose hosts, or read configuration.
package h2conn
