package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

var errStopped = errors.New("the load has ended")

// rawConn is a net.Conn for a socket outside of Go's poller, for crypto/tls on a thread that has its own epoll set. It does not own the socket.
//
// If there is nothing to read and wait is nil, Read returns EAGAIN. To crypto/tls that is a temporary error: the next Read continues. Only during a
// handshake it is final; so a handshake must use a blocking socket or have a wait.
type rawConn struct {
	fd   int
	wait func() bool // returns when there may be something to read; false to give up
}

func (c rawConn) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(c.fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && c.wait != nil:
			if !c.wait() {
				return 0, errStopped
			}
		case err != nil:
			return 0, err // unwrapped, because crypto/tls inspects it
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write returns an error if the socket does not take all of b: requests are small, and there is one at a time.
func (c rawConn) Write(b []byte) (int, error) {
	n, err := unix.Write(c.fd, b)
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	return max(n, 0), err
}

// Close does nothing: the socket belongs to the owner.
func (rawConn) Close() error { return nil }

// LocalAddr returns nil.
func (rawConn) LocalAddr() net.Addr { return nil }

// RemoteAddr returns nil: crypto/tls clients use it only without a server name.
func (rawConn) RemoteAddr() net.Addr { return nil }

// SetDeadline does nothing: the caller of wait limits the time.
func (rawConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (rawConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: a write does not wait.
func (rawConn) SetWriteDeadline(time.Time) error { return nil }

func socketAddress(addr string) (unix.Sockaddr, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, nil
}

// connectSocket returns a connected blocking socket with a receive timeout.
func connectSocket(to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("making a socket: %w", err)
	}
	limit := unix.NsecToTimeval(int64(dialTimeout))
	if err := errors.Join(unix.Connect(fd, to), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connecting to the proxy: %w", err)
	}
	return fd, nil
}
