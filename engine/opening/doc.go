// Package opening handles a client's connection from accept until its codec may read from it: a
// PROXY header if one is required, then a TLS handshake, or reading the name in the client's hello. The result is the
// client's Peer.
//
// The package neither accepts nor closes connections: a codec does, and logs why.
package opening
