//go:build go1.27 || plainwait

package engine

import (
	"errors"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// This file is the wait for Go versions that wait_linux.go was not measured with. The build tag plainwait selects it for any version, for tests.

// Tuned is described in wait_linux.go.
const Tuned = false

func yield() { runtime.Gosched() }

func poll(epfd int, events []unix.EpollEvent, ms int) (int, syscall.Errno) {
	n, err := unix.EpollWait(epfd, events, ms)
	if err == nil {
		return n, 0
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	return n, errno
}

func sleep(epfd int, events []unix.EpollEvent) (int, syscall.Errno) { return poll(epfd, events, -1) }
