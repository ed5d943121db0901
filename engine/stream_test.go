package engine_test

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// part is a Stream that stores what it is given.
type part struct {
	socket  *engine.Conn
	in, out []byte
	room    int // how many more bytes it accepts
	failure error
	ended   int // calls of CloseWrite
	closed  []bool
}

func (s *part) Read(c *engine.Conn, p []byte) (int, error) {
	if s.failure != nil {
		return 0, s.failure
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	c.HasMore(len(s.in) > 0)
	if n == 0 {
		return 0, unix.EAGAIN
	}
	return n, nil
}

func (s *part) Write(c *engine.Conn, p []byte, _ bool) (int, error) {
	if s.failure != nil {
		return 0, s.failure
	}
	n := min(len(p), s.room)
	s.out, s.room = append(s.out, p[:n]...), s.room-n
	if n < len(p) {
		c.HasRoom(false)
		return n, unix.EAGAIN
	}
	return n, nil
}

func (s *part) CloseWrite(*engine.Conn) error      { s.ended++; return s.failure }
func (s *part) Writable(*engine.Conn)              {}
func (s *part) Unsent() int                        { return 7 }
func (s *part) Closing(_ *engine.Conn, reset bool) { s.closed = append(s.closed, reset) }
func (s *part) Room(n int) int                     { return min(n, 3) }
func (s *part) Failure() error                     { return s.failure }
func (s *part) Socket() *engine.Conn               { return s.socket }

// The Conn of a stream reads, writes and waits like one with a socket; the stream takes the kernel's role.
func TestStreamConn(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	peer, socket := loop.Attach(t, loop.Probe())
	local := netip.MustParseAddrPort(peer.RemoteAddr().String())
	p := loop.Probe()
	loop.Do(func() {
		var c engine.Conn
		s := &part{socket: socket, room: 3}
		loop.AttachStream(&c, s, p)
		if !c.Open() || c.Readable() || !c.Writable() || c.Errored() || c.Ending() || c.Loop() != loop.Loop || c.Layer() != engine.Layer(s) {
			t.Errorf("a new stream: open %v, readable %v, writable %v, errored %v, ending %v", c.Open(), c.Readable(), c.Writable(), c.Errored(), c.Ending())
		}
		if c.LocalAddr() != local || c.Unacknowledged() != 7 || c.SocketError() != nil {
			t.Errorf("at %v, want %v; %d bytes unacknowledged, want 7; failure %v", c.LocalAddr(), local, c.Unacknowledged(), c.SocketError())
		}
		if n, err := c.Write([]byte("abcde")); n != 3 || !errors.Is(err, unix.EAGAIN) || c.Writable() {
			t.Errorf("a write that is too long: %d, %v, writable %v", n, err, c.Writable())
		}
		s.room = 10
		c.HasRoom(true)
		if n, err := c.WriteLast([]byte("de")); n != 2 || err != nil || !c.Writable() || string(s.out) != "abcde" {
			t.Errorf("the rest: %d, %v, writable %v; written %q", n, err, c.Writable(), s.out)
		}
		s.in = []byte("xyz")
		c.HasMore(true)
		c.Notify()
		if p.Readies != 1 || !c.Readable() {
			t.Errorf("told %d times, readable %v", p.Readies, c.Readable())
		}
		b := make([]byte, 2)
		if n, err := c.Read(b); n != 2 || err != nil || !c.Readable() {
			t.Errorf("a short read: %d, %v, readable %v", n, err, c.Readable())
		}
		if n, err := c.Read(b); n != 1 || err != nil || c.Readable() {
			t.Errorf("the rest: %d, %v, readable %v", n, err, c.Readable())
		}
		if _, err := c.Read(b); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("an empty read: %v", err)
		}
		c.QuickAck() // is for sockets
		if c.CloseWrite() != nil || s.ended != 1 {
			t.Error("the stream is not told of the end")
		}
		c.Close()
		c.Close()
		c.Reset()
		if c.Open() || len(s.closed) != 1 || s.closed[0] {
			t.Errorf("open %v; told of the end %v", c.Open(), s.closed)
		}
		if !socket.Open() {
			t.Error("the socket was closed with the stream")
		}
	})
}

// A failed stream reports that in every way, even if its connection is gone.
func TestFailedStream(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	loop.Do(func() {
		var c engine.Conn
		s, lost := &part{}, errors.New("lost")
		loop.AttachStream(&c, s, loop.Probe())
		s.failure = lost
		c.Failed()
		if !c.Readable() || !c.Writable() || !c.Errored() || !c.Ending() {
			t.Errorf("readable %v, writable %v, errored %v, ending %v", c.Readable(), c.Writable(), c.Errored(), c.Ending())
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, lost) {
			t.Errorf("read: %v", err)
		}
		if _, err := c.Write([]byte("a")); !errors.Is(err, lost) {
			t.Errorf("write: %v", err)
		}
		if err := c.SocketError(); !errors.Is(err, lost) || c.Errored() {
			t.Errorf("failure %v, errored %v", err, c.Errored())
		}
		if c.LocalAddr().IsValid() {
			t.Errorf("it is at %v", c.LocalAddr())
		}
		c.Reset()
		if c.Open() || len(s.closed) != 1 || !s.closed[0] {
			t.Errorf("open %v; told of the end %v", c.Open(), s.closed)
		}
	})
}

// A handler that has called Again is called again, but not for a stream that was closed or attached to something else.
func TestStreamAgain(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	p, q := loop.Probe(), loop.Probe()
	var one, two, three engine.Conn
	loop.Do(func() {
		for _, c := range []*engine.Conn{&one, &two, &three} {
			loop.AttachStream(c, &part{}, p)
			loop.Again(c)
			loop.Again(c)
			if !c.Queued() {
				t.Error("it is not in the list")
			}
		}
		two.Close()
		three.Close()
		loop.AttachStream(&three, &part{}, q)
	})
	p.Await(t, "the call", func() bool { return p.Readies > 0 })
	loop.Do(func() {
		if p.Readies != 1 || q.Readies != 0 || one.Queued() {
			t.Errorf("called %d and %d times, in the list %v", p.Readies, q.Readies, one.Queued())
		}
		one.Close()
		three.Close()
	})
}
