// Package tlsconn makes TLS connections on a loop: crypto/tls behind an engine.Layer. A Handshaker makes handshakes,
// as a server (Server) or a client (Client), and then hands each connection to its owner; from then on the
// connection is read and written like any other.
//
// A handshake is a coroutine on the loop's own goroutine (iter.Pull), because crypto/tls cannot resume a handshake after
// EAGAIN: the coroutine waits inside the handshake instead. A server's coroutine starts only when the whole ClientHello has
// arrived, and coroutines are reused. The one operation that would block a loop, a signature with an RSA key, runs on another
// thread (Signers). After the handshake nothing waits: crypto/tls keeps a partial record, and a read that returned EAGAIN can be repeated.
//
// The package does not choose hosts, log, read files, or know the protocol inside TLS.
package tlsconn
