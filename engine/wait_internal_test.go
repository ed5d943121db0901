package engine

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The loop of a process with little to do sleeps at once. A loop that is woken often keeps its processor, and gives it up again when
// no events come, or when another loop keeps one.
func TestWaiter(t *testing.T) {
	if !Tuned {
		t.Skip("this Go has the ordinary wait")
	}
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epfd)
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		t.Fatal(err)
	}
	write := func() {
		if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			t.Error(err)
		}
	}
	clear := func() {
		if _, err := unix.Read(fd, make([]byte, 8)); err != nil {
			t.Error(err)
		}
	}
	events := make([]unix.EpollEvent, 1)
	var w waiter
	wait := func() {
		t.Helper()
		for {
			n, errno := w.wait(epfd, events, time.Now().UnixMilli())
			if n == 1 {
				return
			}
			if errno != unix.EINTR {
				t.Fatalf("wait: %d, %v", n, errno)
			}
		}
	}

	wakeups = wakeCounter{}
	write()
	wait()
	if w.holds {
		t.Error("the first event has the loop keep its processor")
	}
	for i := 0; !w.holds; i++ {
		if wait(); i > 100*wakesToPoll { // on a very busy machine even these may not come within wakeWindow
			t.Fatal("a loop that is woken up often sleeps")
		}
	}
	if n := holders.Load(); n != 1 {
		t.Fatalf("%d loops are counted", n)
	}
	// quiet waits for an event that comes after a while, until the loop does not keep its processor.
	quiet := func(d time.Duration, what string) {
		t.Helper()
		for try := 1; w.holds; try++ {
			clear()
			time.AfterFunc(d, write)
			wait()
			if w.holds && try == 20 { // if this thread stands still, the event comes too soon
				t.Fatal(what)
			}
		}
	}
	quiet(2*maxQuietPolls*quantum*time.Millisecond, "a loop that has nothing to do keeps its processor")
	if n := holders.Load(); n != 0 {
		t.Errorf("%d loops are counted", n)
	}
	for !w.holds {
		wait()
	}
	holders.Add(1)
	quiet(10*quantum*time.Millisecond, "a loop keeps its processor though another does")
	holders.Add(-1)
}
