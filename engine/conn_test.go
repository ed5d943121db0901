package engine_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// reader reads, like a codec, while the connection is Readable.
type reader struct {
	*enginetest.Probe
	size int // of each read
	got  []byte
	err  error // how the stream ended
}

func newReader(loop *enginetest.Loop, size int) *reader {
	r := &reader{Probe: loop.Probe(), size: size}
	r.OnReady = func(c *engine.Conn) {
		for c.Readable() && r.err == nil {
			n, err := c.Read(loop.Scratch()[:r.size])
			r.got = append(r.got, loop.Scratch()[:n]...)
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				r.err = err
			}
		}
	}
	return r
}

func TestZeroConn(t *testing.T) {
	t.Parallel()
	var c engine.Conn
	if c.Open() || c.Readable() || c.Writable() || c.Errored() {
		t.Error("the zero Conn is open or ready")
	}
	c.Close()
	c.Reset()
}

func TestShortReadClearsReadable(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	peer, c := loop.Attach(t, p)
	p.Await(t, "room to write", c.Writable)
	loop.Do(func() {
		if c.Readable() {
			t.Error("readable before anything came")
		}
	})
	write(t, peer, "hello")
	p.Await(t, "bytes", c.Readable)
	loop.Do(func() {
		buf := make([]byte, 16)
		if n, err := c.Read(buf[:3]); n != 3 || err != nil || !c.Readable() {
			t.Errorf("a full read: %d, %v, readable %v, want 3, none, true", n, err, c.Readable())
		}
		if n, err := c.Read(buf); string(buf[:n]) != "lo" || err != nil || c.Readable() {
			t.Errorf("a short read: %q, %v, readable %v", buf[:n], err, c.Readable())
		}
		if n, err := c.Read(buf); n != 0 || !errors.Is(err, unix.EAGAIN) || c.Readable() {
			t.Errorf("an empty read: %d, %v, readable %v", n, err, c.Readable())
		}
	})
	// A read that takes exactly what is available cannot know that; the next one returns EAGAIN.
	write(t, peer, "four")
	p.Await(t, "more bytes", c.Readable)
	loop.Do(func() {
		buf := make([]byte, 4)
		if n, err := c.Read(buf); n != 4 || err != nil || !c.Readable() {
			t.Errorf("an exact read: %d, %v, readable %v", n, err, c.Readable())
		}
		if _, err := c.Read(buf); !errors.Is(err, unix.EAGAIN) || c.Readable() {
			t.Errorf("after an exact read: %v, readable %v", err, c.Readable())
		}
	})
}

// Bytes and the end of the stream that one event announces are both seen, even though the read of the bytes is short.
func TestBytesAndEndTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(*net.TCPConn) error
		want error
	}{
		{"half-close", (*net.TCPConn).CloseWrite, io.EOF},
		{"close", (*net.TCPConn).Close, io.EOF},
		{"reset", func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() }, unix.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			loop := enginetest.Start(t, engine.Options{})
			peer, fd := enginetest.Pair(t)
			write(t, peer, "last words")
			enginetest.Await(t, fd, unix.POLLIN)
			if err := c.end(peer); err != nil {
				t.Fatal(err)
			}
			enginetest.Await(t, fd, unix.POLLRDHUP)
			r := newReader(loop, 100)
			conn := new(engine.Conn)
			loop.Do(func() {
				if err := loop.Loop.Attach(conn, fd, r); err != nil {
					t.Error(err)
				}
			})
			t.Cleanup(func() { loop.Do(conn.Close) })
			r.Await(t, "the end", func() bool { return r.err != nil })
			loop.Do(func() {
				if string(r.got) != "last words" || !errors.Is(r.err, c.want) || r.Readies != 1 {
					t.Errorf("got %q and %v in %d events, want all, %v, one event", r.got, r.err, r.Readies, c.want)
				}
			})
		})
	}
}

func TestResetIsSeen(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	p := loop.Probe()
	peer, c := loop.Attach(t, p)
	p.Await(t, "room to write", c.Writable)
	reset(t, peer)
	p.Await(t, "an error", c.Errored)
	loop.Do(func() {
		if !c.Readable() || !c.Writable() {
			t.Error("not worth a try after an error")
		}
		if err := c.SocketError(); !errors.Is(err, unix.ECONNRESET) || c.Errored() {
			t.Errorf("SocketError: %v, errored %v", err, c.Errored())
		}
		if err := c.SocketError(); err != nil {
			t.Errorf("a second SocketError: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("writing after a reset: %v, want EPIPE and no signal", err)
		}
	})
}

func TestReadSaysReset(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	r := newReader(loop, 100)
	peer, _ := loop.Attach(t, r)
	reset(t, peer)
	r.Await(t, "an error", func() bool { return r.err != nil })
	loop.Do(func() {
		if !errors.Is(r.err, unix.ECONNRESET) {
			t.Errorf("read: %v", r.err)
		}
	})
}

// A write that the kernel accepts only in part returns EAGAIN, and an event comes when the peer has read and there is room.
func TestWriteIsShortThenGoesOn(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	all := make([]byte, 24<<20)
	fill := rand.NewChaCha8([32]byte{1})
	_, _ = fill.Read(all)
	p := loop.Probe()
	sent, blocked := 0, 0
	p.OnReady = func(c *engine.Conn) {
		for c.Writable() && sent < len(all) {
			chunk := all[sent:min(sent+1<<20, len(all))]
			n, err := c.Write(chunk)
			sent += n
			switch {
			case errors.Is(err, unix.EAGAIN):
				blocked++
				if c.Writable() {
					t.Error("writable after EAGAIN")
				}
			case err != nil || n != len(chunk):
				t.Errorf("wrote %d of %d: %v", n, len(chunk), err)
				sent = len(all)
			}
		}
		if sent == len(all) && c.Open() {
			if err := c.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
			sent++
		}
	}
	peer, _ := loop.Attach(t, p)
	p.Await(t, "a full socket", func() bool { return blocked > 0 })
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, all) {
		t.Errorf("the peer read %d bytes, %v; equal: %v", len(got), err, bytes.Equal(got, all))
	}
}

// The last bytes and the end of the stream arrive, whether or not the bytes are accepted in one piece.
func TestWriteLast(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 5000, 12 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			loop := enginetest.Start(t, engine.Options{})
			rest := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			want := bytes.Clone(rest)
			p := loop.Probe()
			p.OnReady = func(c *engine.Conn) {
				for c.Writable() && len(rest) > 0 {
					n, err := c.WriteLast(rest)
					rest = rest[n:]
					switch {
					case len(rest) == 0 && err == nil:
						if err := c.CloseWrite(); err != nil {
							t.Error(err)
						}
					case !errors.Is(err, unix.EAGAIN) || c.Writable():
						t.Errorf("%d bytes are left: %v, writable %v", len(rest), err, c.Writable())
						return
					}
				}
			}
			peer, _ := loop.Attach(t, p)
			_ = peer.SetReadDeadline(time.Now().Add(enginetest.Patience))
			if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the peer read %d bytes of %d, %v", len(got), len(want), err)
			}
		})
	}
}

func TestCloseWriteLeavesTheOtherWay(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	r := newReader(loop, 100)
	peer, c := loop.Attach(t, r)
	loop.Do(func() {
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("writing after CloseWrite: %v", err)
		}
	})
	expectEnd(t, peer, io.EOF)
	write(t, peer, "still here")
	_ = peer.CloseWrite()
	r.Await(t, "the end", func() bool { return r.err != nil })
	loop.Do(func() {
		if string(r.got) != "still here" || !errors.Is(r.err, io.EOF) {
			t.Errorf("got %q, %v", r.got, r.err)
		}
	})
}

func TestWaysToClose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		unread bool
		end    func(*engine.Conn)
		want   error
	}{
		{"close", false, (*engine.Conn).Close, io.EOF},
		{"close with unread bytes", true, (*engine.Conn).Close, unix.ECONNRESET},
		{"reset", false, (*engine.Conn).Reset, unix.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			loop := enginetest.Start(t, engine.Options{})
			p := loop.Probe()
			peer, conn := loop.Attach(t, p)
			if c.unread {
				write(t, peer, "unread")
				p.Await(t, "bytes", conn.Readable)
			}
			loop.Do(func() {
				c.end(conn)
				c.end(conn) // does nothing
				if conn.Open() || conn.Readable() || conn.Writable() {
					t.Error("open or ready after its end")
				}
			})
			expectEnd(t, peer, c.want)
		})
	}
}

// A Conn that was closed can be attached again, and keeps no old state.
func TestConnIsUsedAgain(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	var c engine.Conn
	for range 5 {
		r := newReader(loop, 100)
		peer, fd := enginetest.Pair(t)
		loop.Do(func() {
			if err := loop.Loop.Attach(&c, fd, r); err != nil {
				t.Error(err)
			}
			if !c.Open() || c.Readable() || !c.Writable() || c.Errored() {
				t.Error("not as a new connection is")
			}
		})
		write(t, peer, "hello")
		r.Await(t, "bytes", func() bool { return string(r.got) == "hello" })
		reset(t, peer)
		r.Await(t, "an error", c.Errored)
		loop.Do(c.Close)
	}
}

func TestSetHandler(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	p, r := loop.Probe(), newReader(loop, 100)
	peer, c := loop.Attach(t, p)
	p.Await(t, "room to write", c.Writable)
	loop.Do(func() { c.SetHandler(r) })
	write(t, peer, "hello")
	r.Await(t, "bytes", func() bool { return string(r.got) == "hello" })
	loop.Do(func() {
		if p.Readies != 1 {
			t.Errorf("the former handler was called %d times, want once", p.Readies)
		}
	})
}

func write(t *testing.T, c *net.TCPConn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func reset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_ = c.SetLinger(0)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// expectEnd reads the peer to its end.
func expectEnd(t *testing.T, peer *net.TCPConn, want error) {
	t.Helper()
	_ = peer.SetReadDeadline(time.Now().Add(enginetest.Patience))
	n, err := peer.Read(make([]byte, 10))
	if n != 0 || !errors.Is(err, want) {
		t.Errorf("the peer read %d bytes, %v, want %v", n, err, want)
	}
}
