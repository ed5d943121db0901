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

// defaultBacklog is used if an Endpoint has no Backlog; the kernel caps it at net.core.somaxconn.
const defaultBacklog = 65535

// keepaliveProbes is how many TCP keepalive probes in a row a peer may leave unanswered.
const keepaliveProbes = 3

// MaxUnixPath is the maximum length of a unix socket's path, in bytes (unix(7)).
const MaxUnixPath = 107

// ErrNotSocket means that a unix socket cannot be made because a file of another kind exists at its path.
var ErrNotSocket = errors.New("the path is a file that is not a socket")

// Endpoint describes a listening socket: its address and its options.
type Endpoint struct {
	// Addr is the address of a TCP socket. The unspecified IPv6 address stands for all addresses of both families, unless
	// IPv6Only is set.
	Addr     netip.AddrPort
	IPv6Only bool
	// Unix is the path of a unix socket; if it is not empty, there is no TCP socket. Mode is the permission of the socket's
	// file.
	Unix string
	Mode fs.FileMode
	// Backlog is how many connections may wait to be accepted; 0 means as many as the kernel allows.
	Backlog int
	// Keepalive is how long a client may be silent before TCP probes it, to the second. If a client leaves three probes unanswered,
	// sent at the same interval, its connection ends. 0 means no probes.
	Keepalive time.Duration
}

// String returns the address or the path.
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
// A TCP socket shares its port with other sockets from Listen (SO_REUSEPORT, socket(7)). Options that every accepted connection needs
// are set here, because accepted sockets inherit them: TCP_NODELAY, TCP keepalive, and SO_OOBINLINE so that an urgent byte is
// read like any other.
//
// A unix socket cannot be shared this way: there is one socket, of which each loop gets a duplicate. Listen makes its file. It
// replaces the socket file of a process that is gone, but never a file of another kind (ErrNotSocket), nor a socket on which
// a process listens (EADDRINUSE). A path that is too long gives ENAMETOOLONG. The caller must remove the file.
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

// failed wraps an error of the given system call.
func (e Endpoint) failed(call string, err error) error {
	return fmt.Errorf("engine: while listening on %s: %w", e, os.NewSyscallError(call, err))
}

// open makes a new socket listen. If it fails, it returns the system call that failed.
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
	// No client can connect before listen.
	if call, err = "chmod", os.Chmod(e.Unix, e.Mode); err == nil {
		call, err = "listen", unix.Listen(fd, e.backlog())
	}
	if err != nil {
		_ = os.Remove(e.Unix)
	}
	return call, err
}

// removeStale removes the file of a unix socket on which no process listens.
func removeStale(path string, sa unix.Sockaddr) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return ErrNotSocket
	}
	// The type is wrong (SOCK_DGRAM) on purpose, so that a listener gets no connection: the kernel looks for a socket before it compares types.
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

// socket makes a socket of the right family and returns the address to bind.
func (e Endpoint) socket(flags int) (fd int, sa unix.Sockaddr, err error) {
	var family int
	switch {
	case len(e.Unix) > MaxUnixPath:
		return -1, nil, unix.ENAMETOOLONG
	case e.Unix != "":
		name := e.Unix
		if name[0] == '@' { // otherwise it would name an abstract socket
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

// Adopt prepares a listening socket that another process has opened, so that it behaves as one from Listen. It does not change whether
// the socket shares its port, nor the mode of its file. The caller must know where it listens, and keeps the descriptor.
func (e Endpoint) Adopt(fd int) error {
	fail := func(err error) error {
		return fmt.Errorf("engine: while taking over a listening socket: %w", err)
	}
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return fail(errors.Join(errors.New("it is not a stream socket"), err))
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

// Change applies the other properties of e to a socket that Listen returned for the same address, including the mode of its
// file.
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

// setOptions sets the options that accepted connections inherit.
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

// maxKeepalive is the kernel's maximum: MAX_TCP_KEEPIDLE in net/tcp.h.
const maxKeepalive = 32767 * time.Second

func keepaliveSeconds(d time.Duration) int { return int(max(min(d, maxKeepalive)/time.Second, 1)) }

// CheckFree returns an error if another socket listens on the address. Listen alone would not notice another instance of this program:
// with SO_REUSEPORT the kernel would divide the connections between both. For a unix socket Listen notices.
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
	// With SO_REUSEADDR, bind ignores sockets in TIME_WAIT and bound sockets that do not listen.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, sa); err != nil {
		return fail("bind", err)
	}
	return nil
}

// ListensOn returns the addresses on which a listening socket accepts connections; none for a unix socket. A wildcard IPv6 socket
// also accepts IPv4 unless IPV6_V6ONLY is set (ipv6(7)).
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

// sockaddr converts addr for the kernel. It omits a zone that names no interface.
func sockaddr(addr netip.AddrPort) (family int, sa unix.Sockaddr) {
	ip := addr.Addr()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16(), ZoneId: zoneIndex(ip)}
}
