// Package enginetest contains helpers for the tests of the engine and of the codecs: a running loop, connected sockets, hosts
// that follow a script, and a child process for tests that need their own process.
//
// It asserts nothing about the engine, and only tests may import it. Everything that it opens is closed when the test
// ends. The kernel chooses the ports.
package enginetest
