package main_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// short is the one short timeout of a session, in ms: longer than a loaded machine stalls.
const short = 1000

func TestTimeouts(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about time")
	const timeout = 3 * short // a stall before the client is silent does not last as long
	for name, test := range map[string]struct {
		setting string
		talk    func(t *testing.T, client, server *net.TCPConn)
	}{
		"client silent from the start": {"read_timeout", func(*testing.T, *net.TCPConn, *net.TCPConn) {}},
		"client falls silent": {"read_timeout", func(t *testing.T, client, server *net.TCPConn) {
			send(t, client, "hello")
			expect(t, server, "hello")
		}},
		"client silent after the host ended": {"read_timeout", func(t *testing.T, client, server *net.TCPConn) {
			_ = server.CloseWrite()
			expectAll(t, client, "")
		}},
		"host silent from the start": {"proxy_read_timeout", func(*testing.T, *net.TCPConn, *net.TCPConn) {}},
		"host does not answer": {"proxy_read_timeout", func(t *testing.T, client, server *net.TCPConn) {
			send(t, client, "hello")
			expect(t, server, "hello")
		}},
		"host does not answer a client that ended": {"proxy_read_timeout", func(t *testing.T, client, server *net.TCPConn) {
			_ = client.CloseWrite()
			expectAll(t, server, "")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", nil)
			p := start(t, setup{hosts: endpoints(h), settings: settings{test.setting: timeout}})
			idle := p.sockets()
			begin := time.Now()
			client := p.dial()
			server := h.accept()
			test.talk(t, client, server)
			expectClosed(t, client)
			expectClosed(t, server)
			notBefore(t, begin, timeout*time.Millisecond)
			p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= idle })
		})
	}
}

// A side that reads nothing times out, although the other side is silent too because it is blocked.
func TestSendTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		setting  string
		fromHost bool
	}{
		"client reads nothing": {"send_timeout", true},
		"host reads nothing":   {"proxy_send_timeout", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, source, sink := connectedPair(t, settings{test.setting: short})
			open := p.sockets()
			if test.fromHost {
				source, sink = sink, source
			}
			begin := time.Now()
			writeUntilCut(source)
			notBefore(t, begin, short*time.Millisecond)
			// The stream was truncated, so it must not look complete.
			if n, err := io.Copy(io.Discard, sink); err == nil {
				t.Errorf("the sink read %d bytes and a regular end of a truncated stream", n)
			}
			p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open-2 })
		})
	}
}

// Bytes that move postpone a timeout.
func TestActivityPostponesTimeouts(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about time")
	const timeout, pause, length = 2 * time.Second, 50 * time.Millisecond, 3 * time.Second
	// drip calls move with pauses, for longer than the timeout.
	drip := func(t *testing.T, move func() error) {
		t.Helper()
		for end := time.Now().Add(length); time.Now().Before(end); {
			begin := time.Now()
			time.Sleep(pause)
			if err := move(); err == nil {
				continue
			} else if stalled := time.Since(begin); stalled > timeout/2 {
				t.Skipf("this machine stalls for %v", stalled)
			} else {
				t.Fatalf("the session ended although bytes moved: %v", err)
			}
		}
	}
	sends := func(t *testing.T, from, to *net.TCPConn) {
		t.Helper()
		drip(t, func() error {
			_, err := from.Write([]byte("drop"))
			_, readErr := io.ReadFull(to, make([]byte, 4))
			return errors.Join(err, readErr)
		})
	}
	takes := func(t *testing.T, sink, source *net.TCPConn) {
		t.Helper()
		go flood(source)
		drip(t, func() error {
			_, err := io.CopyN(io.Discard, sink, 1<<20)
			return err
		})
		_ = source.CloseWrite()
		_, _ = io.Copy(io.Discard, sink)
	}
	ms := timeout.Milliseconds()
	all := settings{"read_timeout": ms, "proxy_read_timeout": ms, "send_timeout": ms, "proxy_send_timeout": ms}
	for name, talk := range map[string]func(t *testing.T, client, server *net.TCPConn){
		"client sends":        func(t *testing.T, client, server *net.TCPConn) { sends(t, client, server) },
		"host sends":          func(t *testing.T, client, server *net.TCPConn) { sends(t, server, client) },
		"client reads slowly": func(t *testing.T, client, server *net.TCPConn) { takes(t, client, server) },
		"host reads slowly":   func(t *testing.T, client, server *net.TCPConn) { takes(t, server, client) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, client, server := connectedPair(t, all)
			talk(t, client, server)
			expectClosed(t, client) // nothing moves any more
			expectClosed(t, server)
		})
	}
}

// Zero means no timeout.
func TestZeroIsNoTimeout(t *testing.T) {
	t.Parallel()
	_, client, server := connectedPair(t, settings{"read_timeout": 0, "proxy_read_timeout": 0, "send_timeout": 0, "proxy_send_timeout": 0, "connect_timeout": 0, "resolve_timeout": 0})
	time.Sleep(300 * time.Millisecond)
	send(t, client, "hello")
	expect(t, server, "hello")
	writeUntilFull(t, client)
	send(t, server, "hello")
	expect(t, client, "hello")
}
