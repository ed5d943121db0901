//go:build !race

package tlsconn_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/tlsconn"
)

// securedPair is a pair of connections on one loop that speak TLS with each other. Everything happens on the loop's goroutine.
type securedPair struct {
	loop           *enginetest.Loop
	client, server engine.Conn
	left           int
	failed         error
	got            []byte
	size, have     int // of what the server must read
	done           chan struct{}
}

// end is the owner of one connection of the pair.
type end struct{ p *securedPair }

func (e end) Secured(_ tlsconn.State, err error) {
	e.p.left--
	e.p.failed = errors.Join(e.p.failed, err)
}

// Ready reads what the server has received.
func (e end) Ready(c *engine.Conn) {
	p := e.p
	if c != &p.server || p.left > 0 {
		return
	}
	for c.Readable() {
		n, err := c.Read(p.got)
		if p.have += n; p.have == p.size && n > 0 {
			p.have = 0
			p.done <- struct{}{}
		}
		if err != nil {
			return
		}
	}
}

func (end) Expired(*engine.Timer) {}

func newPair(t *testing.T) *securedPair {
	t.Helper()
	ca := newAuthority(t)
	server, err := tlsconn.NewServer(tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{ca.issue(t, ecdsaKey(t), "a.test")}, TicketKeys: ticketKeys})
	if err != nil {
		t.Fatal(err)
	}
	client, err := tlsconn.NewClient(tlsconn.ClientOptions{ServerName: "a.test", Verify: true, CAs: ca.pem})
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &securedPair{loop: enginetest.Start(t, engine.Options{}), left: 2, got: make([]byte, 64<<10), done: make(chan struct{}, 1)}
	set := tlsconn.NewHandshaker(p.loop.Loop)
	p.loop.Do(func() {
		p.failed = errors.Join(p.loop.Loop.Attach(&p.client, int32(fds[0]), end{p}), p.loop.Loop.Attach(&p.server, int32(fds[1]), end{p}))
		set.Accept(&p.server, server, end{p})
		set.Connect(&p.client, client, false, end{p})
	})
	t.Cleanup(func() {
		p.loop.Do(func() {
			p.client.Close()
			p.server.Close()
			set.Close()
		})
	})
	for left := 2; left > 0; {
		p.loop.Do(func() { left = p.left })
	}
	if p.failed != nil {
		t.Fatal(p.failed)
	}
	return p
}

// crypto/tls allocates 24 bytes each time it reads from the socket again. Nothing else is allocated, neither for reading
// nor for writing a record.
func TestRecordsAllocateLittle(t *testing.T) {
	p := newPair(t)
	for _, c := range []struct {
		size, allocs int
	}{
		{100, 1},
		{16 << 10, 1},
		{48 << 10, 4}, // it may read from the socket once more for a partial record
	} {
		sent := make([]byte, c.size)
		write := func() {
			if n, err := p.client.Write(sent); n != len(sent) || err != nil {
				t.Error(n, err)
			}
		}
		p.loop.Do(func() { p.size = c.size })
		carry := func() {
			p.loop.Post(write)
			<-p.done
		}
		for range 50 {
			carry()
		}
		if n := testing.AllocsPerRun(300, carry); n > float64(c.allocs) {
			t.Errorf("%d bytes: %v allocations, want %d at most", c.size, n, c.allocs)
		}
	}
}
