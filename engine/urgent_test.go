package engine_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// A receive stops at an urgent byte, so a short read there does not prove the socket empty.
func TestUrgentDataDoesNotStall(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{true, false} {
		name, half, want := "inline", "ab!cdef", "ab!cdef!gh"
		if !inline {
			name, half, want = "out of band", "abcdef", "abcdefgh"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			send := func(t *testing.T, peer *net.TCPConn) {
				write(t, peer, "ab")
				urgent(t, peer, '!')
				write(t, peer, "cdef")
			}
			finish := func(t *testing.T, r *reader, peer *net.TCPConn) {
				// If the first urgent byte is unread when the second is sent, the first becomes an ordinary byte.
				r.Await(t, "the first half", func() bool { return len(r.got) >= len(half) })
				urgent(t, peer, '!')
				write(t, peer, "gh")
				r.Await(t, "all bytes", func() bool { return len(r.got) >= len(want) })
				if string(r.got) != want {
					t.Errorf("got %q, want %q", r.got, want)
				}
			}
			attach := func(t *testing.T) (*enginetest.Loop, *net.TCPConn, int32) {
				loop := enginetest.Start(t, engine.Options{})
				peer, fd := enginetest.Pair(t)
				if !inline {
					if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 0); err != nil {
						t.Fatal(err)
					}
				}
				return loop, peer, fd
			}
			t.Run("before the event", func(t *testing.T) {
				t.Parallel()
				loop, peer, fd := attach(t)
				send(t, peer)
				enginetest.Await(t, fd, unix.POLLPRI)
				r := newReader(loop, 100)
				loop.AttachFD(t, new(engine.Conn), fd, r)
				finish(t, r, peer)
			})
			t.Run("as it comes", func(t *testing.T) {
				t.Parallel()
				loop, peer, fd := attach(t)
				r := newReader(loop, 100)
				loop.AttachFD(t, new(engine.Conn), fd, r)
				send(t, peer)
				finish(t, r, peer)
			})
		})
	}
}

// Once the bytes after the urgent byte were read, a short read proves the socket empty again.
func TestShortReadAfterUrgentData(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	r := newReader(loop, 100)
	peer, c := loop.Attach(t, r)
	write(t, peer, "ab")
	urgent(t, peer, '!')
	write(t, peer, "cd")
	r.Await(t, "all bytes", func() bool { return string(r.got) == "ab!cd" })
	loop.Do(func() {
		if c.Readable() || c.Ending() {
			t.Errorf("readable %v, ending %v", c.Readable(), c.Ending())
		}
		r.OnReady = nil
	})
	write(t, peer, "ef")
	r.Await(t, "more bytes", c.Readable)
	loop.Do(func() {
		buf := make([]byte, 10)
		if n, err := c.Read(buf); n != 2 || err != nil || c.Readable() {
			t.Errorf("a short read: %d, %v, readable %v", n, err, c.Readable())
		}
	})
}

// Many urgent bytes among others, in random order: every byte arrives, in order.
func TestUrgentDataAtRandom(t *testing.T) {
	t.Parallel()
	loop := enginetest.Start(t, engine.Options{})
	r := newReader(loop, 64)
	peer, _ := loop.Attach(t, r)
	var want []byte
	for i := range 300 {
		if b := byte('a' + i%26); rand.IntN(3) == 0 {
			urgent(t, peer, b)
			want = append(want, b)
		} else {
			chunk := bytes.Repeat([]byte{b}, 1+rand.IntN(150))
			write(t, peer, string(chunk))
			want = append(want, chunk...)
		}
	}
	r.Await(t, "all bytes", func() bool { return len(r.got) == len(want) })
	if !bytes.Equal(r.got, want) {
		t.Error("wrong bytes")
	}
}

// urgent sends a byte as urgent data (MSG_OOB, tcp(7)).
func urgent(t *testing.T, c *net.TCPConn, b byte) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.Sendto(int(fd), []byte{b}, unix.MSG_OOB, nil) }); err != nil || sent != nil {
		t.Fatal(err, sent)
	}
}
