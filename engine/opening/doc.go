// Package opening takes a client's connection from the moment it was accepted to the one in which its codec may read from it: a
// PROXY header if there has to be one, then a TLS handshake, or a look at the client's hello. What is known then of the client is
// its Peer.
//
// It does not accept connections, and closes none: a codec does, which also says in its logs why.
package opening
