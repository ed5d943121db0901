package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// defaultBacklog is asked for where an Endpoint says nothing; the kernel caps it at net.core.somaxconn.
const defaultBacklog = 65535

// keepaliveProbes is how many probes of TCP keepalive in a row a peer may leave unanswered.
const keepaliveProbes = 3

// MaxUnixPath is how many bytes the path of a unix socket may have (unix(7)).
const MaxUnixPath = 107

// ErrNotSocket is the reason why a unix socket cannot be made where a file of another kind is.
var ErrNotSocket = errors.New("a file that is no socket is there")

// Endpoint is where a listening socket is, and what it is like.
type Endpoint struct {
	// Addr is where a TCP socket listens. The unspecified IPv6 address stands for all addresses of both families, unless
	// IPv6Only is set.
	Addr     netip.AddrPort
	IPv6Only bool
	// Unix is the path of a unix socket, which there is instead of a TCP socket unless it is empty. Mode is the permission
	// that its file gets.
	Unix string
	Mode fs.FileMode
	// Backlog is how many connections may wait to be accepted; 0 is as many as the kernel allows.
	Backlog int
	// Keepalive has TCP find out whether clients are there that have been silent for so long, to the second: it ends those
	// who do not answer three times, with as much time between. 0 is not at all.
	Keepalive time.Duration
}

// String is the address, or the path.
func (e Endpoint) String() string {
	if e.Unix != "" {
		return e.Unix
	}
	return e.Addr.String()
}

// Listen opens a listening TCP socket on addr; see Endpoint.Listen.
func Listen(addr netip.AddrPort) (fd int, err error) { return Endpoint{Addr: addr}.Listen() }

// Listen opens a listening socket, non-blocking and close-on-exec, which the caller owns.
//
// A TCP socket shares its port with others made alike (SO_REUSEPORT, socket(7)). Options that every accepted connection needs
// are set here, since accepted sockets inherit them: TCP_NODELAY, TCP keepalive, and SO_OOBINLINE so that an urgent byte is a
// byte like others.
//
// A unix socket cannot be shared so: there is one, and who is to accept from it gets a duplicate. Its file is made here, in
// place of the socket file of a process that is gone, but never of another file (ErrNotSocket), or of a socket on which
// somebody listens (EADDRINUSE). A path that is too long is ENAMETOOLONG. Removing the file is the caller's affair.
func (e Endpoint) Listen() (fd int, err error) {
	fd, sa, err := e.socket(unix.SOCK_NONBLOCK)
	if err != nil {
		return -1, e.failed("socket", err)
	}
	if call, err := e.open(fd, sa); err != nil {
		_ = unix.Close(fd)
		return -1, e.failed(call, err)
	}
	return fd, nil
}

// failed says that listening failed, in a call.
func (e Endpoint) failed(call string, err error) error {
	return fmt.Errorf("engine: while listening on %s: %w", e, os.NewSyscallError(call, err))
}

// open has a new socket listen. If that fails it says in which call.
func (e Endpoint) open(fd int, sa unix.Sockaddr) (call string, err error) {
	if e.Unix != "" {
		return e.openUnix(fd, sa)
	}
	for _, name := range [...]int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, name, 1); err != nil {
			return "setsockopt", err
		}
	}
	if err := e.setOptions(fd); err != nil {
		return "setsockopt", err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return "bind", err
	}
	return "listen", unix.Listen(fd, e.backlog())
}

// openUnix is open for a unix socket.
func (e Endpoint) openUnix(fd int, sa unix.Sockaddr) (call string, err error) {
	err = unix.Bind(fd, sa)
	if errors.Is(err, unix.EADDRINUSE) {
		if err = removeStale(e.Unix, sa); err == nil {
			err = unix.Bind(fd, sa)
		}
	}
	if err != nil {
		return "bind", err
	}
	// Nobody can connect before it listens.
	if call, err = "chmod", os.Chmod(e.Unix, e.Mode); err == nil {
		call, err = "listen", unix.Listen(fd, e.backlog())
	}
	if err != nil {
		_ = os.Remove(e.Unix)
	}
	return call, err
}

// removeStale removes the file of a unix socket on which nobody listens any more.
func removeStale(path string, sa unix.Sockaddr) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return ErrNotSocket
	}
	// Of the wrong type, so that whoever listens gets no connection: the kernel looks for a socket first.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, sa); {
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, unix.EACCES):
		return err
	}
	return unix.EADDRINUSE
}

// socket makes a socket of the right family, and the address for it.
func (e Endpoint) socket(flags int) (fd int, sa unix.Sockaddr, err error) {
	var family int
	switch {
	case len(e.Unix) > MaxUnixPath:
		return -1, nil, unix.ENAMETOOLONG
	case e.Unix != "":
		name := e.Unix
		if name[0] == '@' { // it would not be a path
			name = "./" + name
		}
		family, sa = unix.AF_UNIX, &unix.SockaddrUnix{Name: name}
	default:
		family, sa = sockaddr(e.Addr)
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0); err != nil {
		return -1, nil, err
	}
	if family == unix.AF_INET6 {
		only := 0
		if e.IPv6Only {
			only = 1
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			_ = unix.Close(fd)
			return -1, nil, err
		}
	}
	return fd, sa, nil
}

func (e Endpoint) backlog() int {
	if e.Backlog > 0 {
		return e.Backlog
	}
	return defaultBacklog
}

// Adopt makes a socket that somebody else has opened and that listens as Listen returns it, but that it shares its port only if it
// was made so, and that a file has the mode that it has. Where it listens is for the caller to know. The descriptor stays the
// caller's.
func (e Endpoint) Adopt(fd int) error {
	fail := func(err error) error {
		return fmt.Errorf("engine: while taking over a listening socket: %w", err)
	}
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return fail(errors.Join(errors.New("it is no stream socket"), err))
	}
	if err := requireListening(fd); err != nil {
		return fail(err)
	}
	if err := e.setOptions(fd); err != nil {
		return fail(os.NewSyscallError("setsockopt", err))
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fail(os.NewSyscallError("fcntl", err))
	}
	return nil
}

// Change gives a socket that Listen returned for the same address the other properties of e; with the mode of its file, if that is
// there.
func (e Endpoint) Change(fd int) error {
	err := e.setOptions(fd)
	if err == nil {
		err = unix.Listen(fd, e.backlog())
	}
	if err == nil && e.Unix != "" {
		err = os.Chmod(e.Unix, e.Mode)
	}
	if err != nil {
		return fmt.Errorf("engine: while changing a listening socket on %s: %w", e, err)
	}
	return nil
}

// setOptions sets what accepted connections inherit.
func (e Endpoint) setOptions(fd int) error {
	if e.Unix != "" {
		return nil
	}
	type option struct{ level, name, value int }
	options := []option{
		{unix.SOL_SOCKET, unix.SO_OOBINLINE, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
	}
	if e.Keepalive > 0 {
		seconds := keepaliveSeconds(e.Keepalive)
		options[2].value = 1
		options = append(options,
			option{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds},
			option{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds},
			option{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepaliveProbes})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// maxKeepalive is the most that the kernel takes: MAX_TCP_KEEPIDLE in net/tcp.h.
const maxKeepalive = 32767 * time.Second

func keepaliveSeconds(d time.Duration) int { return int(max(min(d, maxKeepalive)/time.Second, 1)) }

// CheckFree reports an error if another socket listens on the address. Listen alone would not notice one of our own kind: with
// SO_REUSEPORT the kernel would hand each of two masters a part of the connections. Of a unix socket Listen notices it.
func (e Endpoint) CheckFree() error {
	if e.Unix != "" {
		return nil
	}
	fail := func(call string, err error) error {
		return fmt.Errorf("engine: while checking %s: %w", e, os.NewSyscallError(call, err))
	}
	fd, sa, err := e.socket(0)
	if err != nil {
		return fail("socket", err)
	}
	defer unix.Close(fd)
	// SO_REUSEADDR lets sockets in TIME_WAIT, and bound ones that do not listen, be passed over.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, sa); err != nil {
		return fail("bind", err)
	}
	return nil
}

// ListensOn answers the addresses that a listening socket accepts connections to: none of a unix socket. An IPv6 socket for all
// addresses is there for those of IPv4 too, unless it was made not to be (IPV6_V6ONLY, ipv6(7)).
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
	case *unix.SockaddrUnix:
		return nil, nil
	}
	return nil, fmt.Errorf("engine: while asking for a listener's address: %w", unix.EAFNOSUPPORT)
}

// sockaddr is an address as the kernel takes it. A zone that is no interface's is left out.
func sockaddr(addr netip.AddrPort) (family int, sa unix.Sockaddr) {
	ip := addr.Addr()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16(), ZoneId: zoneIndex(ip)}
}
