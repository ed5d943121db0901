package service

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// scarce is a listener that fails a few times, as if there were too many open files.
type scarce struct {
	net.Listener
	failures int
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.failures > 0 {
		s.failures--
		return nil, &net.OpError{Op: "accept", Err: unix.EMFILE}
	}
	return s.Listener.Accept()
}

// A control socket that has run out of file descriptors continues once there are some again, and ends when it is closed.
func TestControlOutlivesScarcity(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "control")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ct := &control{path: "/", abs: "/", listener: &scarce{ln, 2}, closed: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		ct.serve()
		close(ended)
	}()
	s := connect(path)
	if s == nil {
		t.Fatal("nobody listens")
	}
	defer s.close()
	if s.readGreeting(); s.err != nil || s.State != controlServes.String() {
		t.Errorf("state %q, error %v", s.State, s.err)
	}
	ct.close()
	<-ended
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v after close", err)
	}
}
