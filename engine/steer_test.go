package engine_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// sharers is a group of sockets on one port, in the order in which they began to listen.
type sharers struct {
	addr netip.AddrPort
	fds  []int
}

// share opens n sockets on one port of the address, or skips the test if the machine does not have the address.
func share(tb testing.TB, host string, n int) *sharers {
	tb.Helper()
	s := &sharers{addr: enginetest.Reserve(tb, net.JoinHostPort(host, "0"))} // it stays theirs while none of them is open
	tb.Cleanup(func() {
		for _, fd := range s.fds {
			_ = unix.Close(fd)
		}
	})
	for range n {
		s.open(tb)
	}
	return s
}

// open adds a socket.
func (s *sharers) open(tb testing.TB) {
	tb.Helper()
	fd, err := engine.Listen(s.addr)
	if err != nil {
		tb.Fatal(err)
	}
	s.fds = append(s.fds, fd)
}

// close closes the socket at index i of fds and removes it from fds.
func (s *sharers) close(i int) {
	_ = unix.Close(s.fds[i])
	s.fds = slices.Delete(s.fds, i, i+1)
}

// meet makes n connections, one after the other, and counts how many each socket got.
func (s *sharers) meet(tb testing.TB, n int) []int {
	tb.Helper()
	got := make([]int, len(s.fds))
	polls := make([]unix.PollFd, len(s.fds))
	for i, fd := range s.fds {
		polls[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	for range n {
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.addr))
		if err != nil {
			tb.Fatal(err)
		}
		_ = c.SetLinger(0) // no TIME_WAIT, which would use up the ports
		for {
			k, err := unix.Poll(polls, int(enginetest.Patience.Milliseconds()))
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if k != 1 || err != nil {
				tb.Fatalf("%d sockets have a connection, %v", k, err)
			}
			break
		}
		for i := range polls {
			if polls[i].Revents != 0 {
				fd, _, err := unix.Accept4(s.fds[i], unix.SOCK_CLOEXEC)
				if err != nil {
					tb.Fatal(err)
				}
				got[i]++
				_ = c.Close()
				_ = unix.Close(fd)
			}
		}
	}
	return got
}

func (s *sharers) steer(tb testing.TB, via, n int) {
	tb.Helper()
	if err := engine.Steer(s.fds[via], n); err != nil {
		tb.Fatal(err)
	}
}

// expect checks that 200 connections spread evenly over the sockets with these indices, and reach no other socket.
func (s *sharers) expect(tb testing.TB, what string, indices ...int) {
	tb.Helper()
	const n = 200
	got := s.meet(tb, n)
	for i, k := range got {
		if !slices.Contains(indices, i) && k > 0 {
			tb.Errorf("%s: %v, socket %d should have none", what, got, i)
		}
		// At least seven standard deviations from n/len(indices).
		if share := n / len(indices); slices.Contains(indices, i) && (k < share/4 || k > n-(n-share)/4) {
			tb.Errorf("%s: %v, not even", what, got)
		}
	}
}

func TestSteer(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "::1", "::"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := share(t, host, 4)
			s.expect(t, "before", 0, 1, 2, 3)
			s.steer(t, 0, 2)
			s.expect(t, "steered to 2", 0, 1)
			s.steer(t, 3, 1) // through any of them
			s.expect(t, "steered to 1", 0)
			s.steer(t, 1, 4)
			s.expect(t, "steered to 4", 0, 1, 2, 3)
			s.steer(t, 0, 9)
			s.expect(t, "steered to more than there are", 0, 1, 2, 3)

			s.steer(t, 0, 3)
			s.expect(t, "steered to 3", 0, 1, 2)
			if err := engine.Unsteer(s.fds[2]); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
				t.Fatal(err)
			} else if err == nil {
				s.expect(t, "no longer steered", 0, 1, 2, 3)
			}
			if err := engine.Unsteer(s.fds[2]); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
				t.Errorf("the second time: %v", err)
			}
		})
	}
}

// How the kernel orders sockets when they are opened and closed, which Steer's documentation relies on.
func TestSteerWhileSocketsComeAndGo(t *testing.T) {
	t.Parallel()
	s := share(t, "127.0.0.1", 4)
	s.steer(t, 0, 2)
	s.open(t)
	s.expect(t, "a new socket is the last and gets nothing", 0, 1)
	s.close(4)
	s.expect(t, "the last is closed", 0, 1)
	s.close(3)
	s.close(2)
	s.expect(t, "all but the first are closed", 0, 1)
	s.open(t)
	s.open(t)
	s.expect(t, "and opened again", 0, 1)
	s.steer(t, 0, 3)
	s.expect(t, "the first of the new ones", 0, 1, 2)

	// The last socket takes the place of the one that is closed.
	s.steer(t, 0, 2)
	s.close(0) // order is now: 3, 1, 2; fds has 1, 2, 3
	s.expect(t, "the first is closed", 0, 2)
	// If there are fewer sockets than steered to, connections go to all that exist.
	s.close(0)
	s.close(0)
	s.expect(t, "one is left", 0)
}

// The group keeps its program as long as the group exists, whichever socket it was attached through.
func TestSteerOutlivesTheSocketItWasToldThrough(t *testing.T) {
	t.Parallel()
	s := share(t, "127.0.0.1", 3)
	s.steer(t, 2, 1)
	s.close(2)
	s.expect(t, "told through a socket that is closed", 0)
	s.close(0)
	s.close(0)
	s.open(t)
	s.open(t)
	s.expect(t, "a new group on the port", 0, 1)
}

// A socket whose queue is full gets no more connections; the kernel drops the SYN and does not try another socket. The client's next
// attempt finds room, at another socket or at this one.
func TestSteerToAFullQueue(t *testing.T) {
	t.Parallel()
	s := share(t, "127.0.0.1", 2)
	if err := unix.Listen(s.fds[0], 0); err != nil { // room for one
		t.Fatal(err)
	}
	s.steer(t, 0, 1)
	dialled := make(chan error, 2)
	dial := func() {
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.addr))
		dialled <- err
		if err == nil {
			_ = c.Close()
		}
	}
	go dial()
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
	enginetest.Await(t, int32(s.fds[0]), unix.POLLIN)
	go dial()
	select { // there is no event to wait for
	case err := <-dialled:
		t.Fatalf("a second client got through a full queue, or failed: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(s.fds[1]), Events: unix.POLLIN}}, 0); n != 0 {
		t.Error("the other socket got a connection that was not steered to it")
	}
	fd, _, err := unix.Accept4(s.fds[0], unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	select {
	case err := <-dialled:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(enginetest.Patience):
		t.Error("the client's further attempts came to nothing")
	}
}

func TestSteerRefuses(t *testing.T) {
	t.Parallel()
	s := share(t, "127.0.0.1", 2)
	bound, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(bound)
	if err := unix.SetsockoptInt(bound, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil { // so that the kernel would take it
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, n := range []int{0, -1, -1 << 62} {
		if err := engine.Steer(s.fds[0], n); !errors.Is(err, unix.EINVAL) {
			t.Errorf("to %d sockets: %v", n, err)
		}
	}
	for what, fd := range map[string]int{"a socket that does not listen": bound, "a pipe": int(r.Fd()), "nothing": -1} {
		if err := engine.Steer(fd, 1); err == nil {
			t.Errorf("%s was steered", what)
		}
		if err := engine.Unsteer(fd); err == nil {
			t.Errorf("%s was no longer steered", what)
		}
	}
	s.expect(t, "after errors", 0, 1)
}

// The evenness of the distribution and the cost of a connection, compared with the kernel's own hash.
func BenchmarkConnect(b *testing.B) {
	for _, steered := range []bool{false, true} {
		b.Run(map[bool]string{false: "hash", true: "steered"}[steered], func(b *testing.B) {
			s := share(b, "127.0.0.1", 2)
			if steered {
				s.steer(b, 0, 2)
			}
			var before, after unix.Rusage
			_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
			b.ResetTimer()
			got := s.meet(b, b.N)
			b.StopTimer()
			_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
			cpu := after.Stime.Nano() + after.Utime.Nano() - before.Stime.Nano() - before.Utime.Nano()
			b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(got[0])/float64(b.N), "share")
		})
	}
}
