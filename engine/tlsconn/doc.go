// Package tlsconn speaks TLS on the connections of a loop: crypto/tls behind an engine.Layer. A Handshaker makes handshakes,
// as a server (Server) or a client (Client), and hands each connection to its owner when that is done; from then on the
// connection is read and written like any other.
//
// A handshake is a coroutine on the loop's own goroutine (iter.Pull): crypto/tls cannot resume one that met EAGAIN, so it
// waits inside of it. A coroutine begins only when the whole ClientHello is there, and is used again for other handshakes.
// The one thing in a handshake that would hold a loop up, a signature with an RSA key, is made beside it (Signers). After
// the handshake nothing waits: crypto/tls keeps a partial record and goes on when a read that met EAGAIN is repeated.
//
// The package does not choose hosts, log, read files, or know what is said on a connection.
package tlsconn
