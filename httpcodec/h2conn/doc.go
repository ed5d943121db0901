// Package h2conn carries HTTP/2 (RFC 9113) on connections of a loop, both from clients and to hosts. Each stream is an
// engine.Conn of its own, over which one exchange goes in the form of HTTP/1.1, so the user of the stream need not know which
// protocol was used.
//
// Received data occupies the stream's and the connection's windows until it is read, so no peer can make a buffer grow. When a
// peer does not read, bytes for it are not read from their source. Frames that serve no purpose are counted, and too many of them
// end the connection; package http2 sets the limits.
//
// The package does not decide whether a head is valid (package http1 does), serve requests, choose hosts, or read configuration.
package h2conn
