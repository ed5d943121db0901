package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// handshake identifies a TCP handshake in progress: addresses, ports, and the kernel's cookie, which tells it from a later
// one between the same addresses (struct inet_diag_sockid in linux/inet_diag.h).
type handshake [sizeofSockID]byte

// The layout of linux/inet_diag.h and linux/netlink.h.
const (
	sizeofSockID  = 48
	sizeofHeader  = unix.SizeofNlMsghdr
	sizeofRequest = sizeofHeader + 8 + sizeofSockID
	stateSynRecv  = 3
)

// handshakes lists the handshakes in progress with listening sockets of a family on a port; the kernel does not tell which
// socket of a group they belong to. It walks through all TCP connections of the machine, so it must not be called on a loop.
// See sock_diag(7); it needs no privilege, but the kernel may have been built without it.
func handshakes(family byte, port int) (map[handshake]struct{}, error) {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("engine: while looking for handshakes: %w", os.NewSyscallError("socket", err))
	}
	defer unix.Close(s)
	found := make(map[handshake]struct{})
	if err := dumpHandshakes(s, family, port, found); err != nil {
		return nil, fmt.Errorf("engine: while looking for handshakes: %w", err)
	}
	return found, nil
}

// queued reports whether connections wait to be accepted.
func queued(fd int32) bool {
	list := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
	n, err := unix.Poll(list, 0)
	return err == nil && n == 1 && list[0].Revents&unix.POLLIN != 0
}

// listensOn returns the port of a listening socket and its family. For a socket for both families the family is AF_INET6, and the kernel counts
// handshakes of IPv4 clients as IPv6 too. A unix socket has no port.
func listensOn(fd int32) (family byte, port int, err error) {
	sa, err := unix.Getsockname(int(fd))
	if err != nil {
		return 0, 0, fmt.Errorf("engine: while asking for a listener's port: %w", os.NewSyscallError("getsockname", err))
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return unix.AF_INET, sa.Port, nil
	case *unix.SockaddrInet6:
		return unix.AF_INET6, sa.Port, nil
	case *unix.SockaddrUnix:
		return unix.AF_UNIX, 0, nil
	}
	return 0, 0, fmt.Errorf("engine: while asking for a listener's port: %w", unix.EAFNOSUPPORT)
}

// dumpHandshakes adds the handshakes of a family to found.
func dumpHandshakes(s int, family byte, port int, found map[handshake]struct{}) error {
	var q [sizeofRequest]byte
	native := binary.NativeEndian
	native.PutUint32(q[0:], sizeofRequest)
	native.PutUint16(q[4:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(q[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := q[sizeofHeader:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	native.PutUint32(body[4:], 1<<stateSynRecv)
	binary.BigEndian.PutUint16(body[8:], uint16(port))
	if err := unix.Sendto(s, q[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(s, answer, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return os.NewSyscallError("recvfrom", err)
		}
		if done, err := readHandshakes(answer[:n], found); done || err != nil {
			return err
		}
	}
}

// readHandshakes reads the messages of one datagram. It reports whether the last message was among them.
func readHandshakes(b []byte, found map[handshake]struct{}) (done bool, err error) {
	native := binary.NativeEndian
	for len(b) >= sizeofHeader {
		size := int(native.Uint32(b))
		if size < sizeofHeader || size > len(b) {
			break
		}
		body := b[sizeofHeader:size]
		switch native.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return true, unix.EPROTO
			}
			return true, os.NewSyscallError("sock_diag", syscall.Errno(-int32(native.Uint32(body))))
		case unix.SOCK_DIAG_BY_FAMILY:
			// Struct inet_diag_msg: four bytes, then the addresses.
			if len(body) >= 4+sizeofSockID {
				found[handshake(body[4:])] = struct{}{}
			}
		}
		b = b[min((size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
	}
	if len(b) > 0 {
		return true, unix.EPROTO
	}
	return false, nil
}
