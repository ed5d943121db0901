package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// acceptBatch is how many connections a listener takes before other connections get their turn.
	acceptBatch = 64
	// retryAccept is how long accepting pauses when descriptors or places have run out, in ms.
	retryAccept = 100
	// backlog is asked for; the kernel caps it at net.core.somaxconn.
	backlog = 65535
)

// Listen opens a listening socket on addr that shares its port with others made alike (SO_REUSEPORT, socket(7)). The
// caller owns the descriptor. Options that every accepted connection needs are set here, since accepted sockets inherit
// them: TCP_NODELAY, and SO_OOBINLINE so that an urgent byte is a byte like others.
func Listen(addr netip.AddrPort) (fd int, err error) {
	family, sa := sockaddr(addr)
	fail := func(call string, err error) (int, error) {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return -1, fmt.Errorf("engine: while listening on %s: %w", addr, os.NewSyscallError(call, err))
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return fail("socket", err)
	}
	for _, o := range [...]struct{ level, name int }{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR},
		{unix.SOL_SOCKET, unix.SO_REUSEPORT},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, 1); err != nil {
			return fail("setsockopt", err)
		}
	}
	if err := setListenOptions(fd); err != nil {
		return fail("setsockopt", err)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fail("bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return fail("listen", err)
	}
	return fd, nil
}

// AdoptListener makes a TCP socket that somebody else has opened and that listens on port one as Listen returns it, but that it
// shares its port only if it was made so. The descriptor stays the caller's.
func AdoptListener(fd int, port uint16) error {
	fail := func(err error) error {
		return fmt.Errorf("engine: while taking over a listening socket: %w", err)
	}
	_, at, err := listensOn(int32(fd))
	if err != nil {
		return fail(err)
	}
	if at != int(port) {
		return fail(fmt.Errorf("it is on port %d, not %d", at, port))
	}
	if err := requireListening(fd); err != nil {
		return fail(err)
	}
	if err := setListenOptions(fd); err != nil {
		return fail(os.NewSyscallError("setsockopt", err))
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fail(os.NewSyscallError("fcntl", err))
	}
	return nil
}

// ListensOn answers the addresses that a listening socket accepts connections to. An IPv6 socket for all addresses is there for those
// of IPv4 too, unless it was made not to be (IPV6_V6ONLY, ipv6(7)).
func ListensOn(fd int) ([]netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, fmt.Errorf("engine: while asking for a listener's address: %w", os.NewSyscallError("getsockname", err))
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))}, nil
	case *unix.SockaddrInet6:
		at := netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		if err != nil {
			return nil, fmt.Errorf("engine: while asking for a listener's options: %w", os.NewSyscallError("getsockopt", err))
		}
		if at.Addr().IsUnspecified() && only == 0 {
			return []netip.AddrPort{at, netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())}, nil
		}
		return []netip.AddrPort{at}, nil
	}
	return nil, fmt.Errorf("engine: while asking for a listener's address: %w", unix.EAFNOSUPPORT)
}

// setListenOptions sets what accepted connections inherit.
func setListenOptions(fd int) error {
	for _, o := range [...]struct{ level, name int }{
		{unix.SOL_SOCKET, unix.SO_OOBINLINE},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, 1); err != nil {
			return err
		}
	}
	return nil
}

// CheckFree reports an error if another socket listens on addr. Listen alone would not notice one of our own kind: with
// SO_REUSEPORT the kernel would hand each of two masters a part of the connections.
func CheckFree(addr netip.AddrPort) error {
	family, sa := sockaddr(addr)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("engine: while checking %s: %w", addr, os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	// SO_REUSEADDR lets sockets in TIME_WAIT, and bound ones that do not listen, be passed over.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("engine: while checking %s: %w", addr, os.NewSyscallError("bind", err))
	}
	return nil
}

func sockaddr(addr netip.AddrPort) (family int, sa unix.Sockaddr) {
	if addr.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

// ListenerOptions configures a Listener.
type ListenerOptions struct {
	// Limit bounds the connections accepted and not yet released; nil means no bound.
	Limit *Limit
	// Accept gets each new connection and must end by calling l.Release when the connection is over. It owns fd.
	Accept func(l *Listener, fd int32, peer netip.AddrPort)
	// Paused is told why accepting stops; it goes on by itself. Calls are as many as pauses are: the callee limits what
	// it says of them. Nil is allowed.
	Paused func(reason error)
}

// ErrLimit is the reason for a pause when the Limit is reached.
var ErrLimit = errors.New("engine: the limit on connections is reached")

// Listener accepts connections on one loop. When descriptors, memory or places run out it leaves the epoll set, so that
// a waiting client costs no CPU, and tries again when a connection ends or a little later.
type Listener struct {
	conn   Conn
	loop   *Loop
	opts   ListenerOptions
	timer  Timer
	paused bool
	// retiring is not nil from Retire on, until the listener is closed.
	retiring *retirement
}

// NewListener has loop accept from fd, a non-blocking listening socket, which the Listener owns from now on, also when
// an error is returned. A socket that was retired is in use again.
func NewListener(loop *Loop, fd int, o ListenerOptions) (*Listener, error) {
	dropNothing(int32(fd))
	l := &Listener{loop: loop, opts: o}
	l.timer.Handler = l
	if err := loop.watch(&l.conn, int32(fd), l, false); err != nil {
		return nil, err
	}
	return l, nil
}

// Open reports whether the listener has not been closed.
func (l *Listener) Open() bool { return l.conn.Open() }

// Ready implements Handler: it accepts what is waiting.
func (l *Listener) Ready(*Conn) {
	for range acceptBatch {
		if !l.acceptOne() {
			return
		}
	}
}

// acceptOne accepts a connection. It reports whether there may be more.
func (l *Listener) acceptOne() bool {
	if !l.opts.Limit.acquire() {
		l.pause(ErrLimit)
		return false
	}
	fd, peer, errno := accept4(l.conn.fd)
	switch errno {
	case 0:
		if l.retiring != nil {
			l.retiring.accepted(fd)
		}
		l.opts.Accept(l, fd, peer)
		return !l.paused && l.conn.Open()
	case unix.EAGAIN:
		l.opts.Limit.release()
		return false
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		l.opts.Limit.release()
		l.pause(errno)
		if errno == unix.EMFILE {
			l.loop.spent.giveUp()
		}
		return false
	}
	// Errors of the connection that was waiting (accept(2)): the next one may be well.
	l.opts.Limit.release()
	return true
}

// Crowded reports whether places get scarce: more than three quarters of the connections that Limit allows are there.
func (l *Listener) Crowded() bool { return l.opts.Limit.crowded() }

// Release says that a connection from Accept is over.
func (l *Listener) Release() {
	l.opts.Limit.release()
	if l.paused {
		l.resume()
	}
}

// pause leaves the epoll set for a while.
func (l *Listener) pause(reason error) {
	if l.paused {
		return
	}
	l.paused = true
	_ = l.loop.poller.Delete(int(l.conn.fd))
	l.loop.Arm(&l.timer, l.loop.now+retryAccept)
	if l.opts.Paused != nil {
		l.opts.Paused(reason)
	}
}

// resume comes back into the epoll set.
func (l *Listener) resume() {
	if !l.conn.Open() {
		return
	}
	l.paused = false
	l.loop.Disarm(&l.timer)
	if err := l.loop.watchAgain(&l.conn, false); err != nil {
		l.pause(err)
	}
}

// Expired implements Handler: the pause is over.
func (l *Listener) Expired(*Timer) { l.resume() }

// Close accepts what the kernel has already completed, so that no client that got through is reset, and stops listening.
// Clients whose handshakes are not complete are reset, unless another process has the socket too: see Retire.
func (l *Listener) Close() {
	if !l.conn.Open() {
		return
	}
	l.loop.Disarm(&l.timer)
	for !l.paused && l.acceptOne() {
	}
	l.loop.Disarm(&l.timer)
	// Another process may have the socket too, and then closing a descriptor of it does not end its events (epoll(7)).
	_ = l.loop.poller.Delete(int(l.conn.fd))
	l.conn.Close()
	if r := l.retiring; r != nil {
		l.retiring = nil
		r.end()
	}
}
