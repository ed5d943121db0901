package engine

import (
	"testing"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// epollFD returns the epoll set in which gnet registers descriptors.
func TestEpollFD(t *testing.T) {
	t.Parallel()
	p, err := netpoll.OpenPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	epfd, err := epollFD(p)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Eventfd(1, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := p.AddRead(&netpoll.PollAttachment{FD: fd}, true); err != nil {
		t.Fatal(err)
	}
	events := make([]unix.EpollEvent, 4)
	n, err := unix.EpollWait(epfd, events, 1000)
	if err != nil || n != 1 || int(events[0].Fd) != fd {
		t.Errorf("waiting on it: %d events, %v, the first of %d, want %d", n, err, events[0].Fd, fd)
	}
}
