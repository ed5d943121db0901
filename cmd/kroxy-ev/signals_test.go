package main_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// awaitRefusal waits until the proxy refuses new connections.
func (p *proxy) awaitRefusal() {
	p.t.Helper()
	eventually(p.t, "new connections are refused", func() bool {
		c, err := p.tryDial()
		if err == nil {
			reset(c) // its session must not delay the shutdown
		}
		return errors.Is(err, unix.ECONNREFUSED)
	})
}

func TestSignalLetsSessionsFinish(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p, client, server := connectedPair(t, nil)
			p.signal(s)
			p.awaitRefusal()
			send(t, client, "still there?")
			expect(t, server, "still there?")
			go func() {
				_ = write(server, bulk)
				_ = server.CloseWrite()
			}()
			expectAll(t, client, bulk)
			_ = client.CloseWrite()
			expectAll(t, server, "")
			if status := p.wait(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
			p.await(p.stderr, `kroxy-ev: stopping.*signal=`+s.String())
			p.await(p.stderr, `kroxy-ev: stopped`)
		})
	}
}

func TestSignalWithoutSessions(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h)})
	p.stop()
}

func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	for _, timeout := range []int{0, 300} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			t.Parallel()
			p, client, server := connectedPair(t, settings{"shutdown_timeout": timeout})
			blocked := p.dial()
			writeUntilFull(t, blocked)
			begin := time.Now()
			p.stop()
			notBefore(t, begin, time.Duration(timeout)*time.Millisecond)
			expectClosed(t, client)
			expectClosed(t, server)
			expectClosed(t, blocked)
		})
	}
}

// A session may end while the proxy is still connecting to its host.
func TestSignalWhileConnecting(t *testing.T) {
	t.Parallel()
	p := start(t, setup{hosts: []endpoint{blackHole(t)}, settings: settings{"shutdown_timeout": 100, "connect_timeout": patience.Milliseconds()}})
	idle := p.sockets()
	c := p.dial()
	p.awaitSockets(t, "a host is being connected to", func(n int) bool { return n >= idle+2 })
	p.stop()
	expectClosed(t, c)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, second := range []os.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(second.String(), func(t *testing.T) {
			t.Parallel()
			p, client, _ := connectedPair(t, settings{"shutdown_timeout": 10 * patience.Milliseconds()})
			p.signal(unix.SIGTERM)
			p.await(p.stderr, `kroxy-ev: stopping`)
			p.signal(second)
			if status := p.wait(); status == 0 {
				t.Error("exit status 0 although a session was cut")
			}
			expectClosed(t, client)
		})
	}
}
