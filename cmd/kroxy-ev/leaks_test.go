package main_test

import (
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// byKind returns a handler that does what the first byte asks for.
func byKind(t *testing.T) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		kind := make([]byte, 1)
		if _, err := io.ReadFull(c, kind); err != nil {
			return
		}
		switch kind[0] {
		case 'e':
			echo(c)
		case 'f':
			flood(c)
		case 'h':
			hold(t)(c)
		case 'r':
			reset(c)
		}
	}
}

// sessionKinds are the ways in which a session may end, from the client's side; see byKind. The test then closes the client's connection.
var sessionKinds = map[string]func(c *net.TCPConn){
	"regular end": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "e")
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	},
	"client resets during a download": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "f")
		_, _ = io.ReadFull(c, make([]byte, 1<<20))
		reset(c)
	},
	"client closes during a download": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "f")
		_, _ = io.ReadFull(c, make([]byte, 1000))
	},
	"client is gone at once": reset,
	"client sends nothing":   func(*net.TCPConn) {},
	"host resets": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "r")
		_, _ = io.Copy(io.Discard, c)
	},
	"host closes": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "c")
		_, _ = io.Copy(io.Discard, c)
	},
	"host closes during an upload": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "c")
		flood(c)
	},
	"send_timeout": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "f")
		time.Sleep(500 * time.Millisecond)
	},
	"proxy_send_timeout": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "h")
		flood(c)
	},
	"proxy_read_timeout": func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "h")
		_, _ = io.Copy(io.Discard, c)
	},
}

// Whichever way sessions end, no descriptors are left.
func TestDescriptorsDoNotLeak(t *testing.T) {
	h := listen(t, "127.0.0.1", byKind(t))
	p := start(t, setup{
		hosts:    []endpoint{h.endpoint, refusing(t), h.endpoint},
		settings: settings{"send_timeout": 200, "proxy_send_timeout": 200, "proxy_read_timeout": 300},
	})
	before := p.descriptors()
	const rounds, total = 5, 500
	for range rounds {
		var running sync.WaitGroup
		for range total / rounds / len(sessionKinds) {
			for _, kind := range sessionKinds {
				c := p.dial()
				running.Go(func() {
					kind(c)
					_ = c.Close()
				})
			}
		}
		running.Wait()
	}
	p.awaitSockets(t, "all sockets of sessions are closed", func(n int) bool { return n <= before["socket"] })
	after := p.descriptors()
	for _, kind := range []string{"anon_inode", "other"} {
		if after[kind] != before[kind] {
			t.Errorf("%d descriptors of kind %s, there were %d", after[kind], kind, before[kind])
		}
	}
	// Each reactor keeps at most 16 pipes, each with two descriptors, for later flows.
	if kept := after["pipe"] - before["pipe"]; kept > runtime.NumCPU()*16*2 {
		t.Errorf("%d descriptors of pipes are left", kept)
	}
}

// The same when no host can be reached.
func TestDescriptorsDoNotLeakWithoutHosts(t *testing.T) {
	t.Parallel()
	p := start(t, setup{hosts: []endpoint{refusing(t), refusing(t)}})
	before := p.sockets()
	for range 200 {
		c := p.dial()
		expectClosed(t, c)
		_ = c.Close()
	}
	p.awaitSockets(t, "all sockets of sessions are closed", func(n int) bool { return n <= before })
}
