// Package enginetest is what the tests of the engine and of the codecs share: a running loop, connected sockets, hosts
// that follow a script, and a child process for tests that need one to themselves.
//
// It asserts nothing about the engine, and nothing but tests may import it. Everything it opens is closed when the test
// ends. Ports are chosen by the kernel.
package enginetest
