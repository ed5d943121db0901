// Package httpcodec implements an HTTP proxy on an event loop: client connections, exchanges with hosts, and the proxy's own
// replies. It decides when bytes move and how a failed exchange ends.
//
// It does not interpret bytes. Package http1 does, for HTTP/2 as well: package h2conn turns each stream of an HTTP/2 connection
// into a connection that speaks the HTTP/1.1 form. Packages route and policy decide which route and policies apply; package
// upstream decides which host serves a request and over which connection.
package httpcodec
