package main

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// openSockets opens n listening sockets on cfg's port, on which nobody else listens.
func openSockets(cfg *config.Config, n int) ([]int, error) {
	if err := engine.CheckFree(listenAddr(cfg)); err != nil {
		return nil, listenProblem(cfg, err)
	}
	return moreSockets(cfg, n)
}

// moreSockets opens n listening sockets beside others of ours.
func moreSockets(cfg *config.Config, n int) ([]int, error) {
	addr := listenAddr(cfg)
	var list []int
	for range n {
		fd, err := engine.Listen(addr)
		if err != nil {
			closeAll(list)
			return nil, listenProblem(cfg, err)
		}
		list = append(list, fd)
	}
	return list, nil
}

func listenAddr(cfg *config.Config) netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), onlyPort(cfg))
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// listenProblem says why the port cannot be listened on, and what to do.
func listenProblem(cfg *config.Config, err error) error {
	var errno syscall.Errno
	errors.As(err, &errno)
	switch errno {
	case unix.EADDRINUSE:
		return problem(cfg, "port", fmt.Sprintf("port %d is in use by another program", onlyPort(cfg)),
			fmt.Sprintf("choose another port, or stop that program (ss -ltnp 'sport = :%d' names it)", onlyPort(cfg)))
	case unix.EACCES:
		return problem(cfg, "port", fmt.Sprintf("this user may not listen on port %d", onlyPort(cfg)),
			"choose a port from 1024 up, or grant the capability CAP_NET_BIND_SERVICE")
	}
	return problem(cfg, "port", err.Error(), "see the error")
}
