package service

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// openSockets opens n listening sockets for l, in addition to any that this program already has.
func openSockets(cfg *config.Config, l config.Listen, n int) ([]int, error) {
	var list []int
	for range n {
		fd, err := endpoint(l).Listen()
		if err != nil {
			closeAll(list)
			return nil, listenProblem(cfg, l, err)
		}
		list = append(list, fd)
	}
	return list, nil
}

// listenAddr returns the address of a listener that has a port.
func listenAddr(l config.Listen) netip.AddrPort {
	if !l.Address.IsValid() {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), l.Port)
	}
	return netip.AddrPortFrom(l.Address, l.Port)
}

// listenName returns a listener's name for messages: its port, its address and port, or its path.
func listenName(l config.Listen) string {
	switch {
	case l.Unix != "":
		return l.Unix
	case !l.Address.IsValid():
		return fmt.Sprint("port ", l.Port)
	}
	return listenAddr(l).String()
}

// servingOn returns the log attributes that say where cfg's servers listen.
func servingOn(cfg *config.Config) []any {
	var modes, names []string
	all := proxy.Listeners(cfg)
	for _, s := range cfg.Servers {
		if mode := s.Mode.String(); !slices.Contains(modes, mode) {
			modes = append(modes, mode)
		}
	}
	for _, l := range all {
		names = append(names, l.Key())
	}
	mode := []any{"mode", strings.Join(modes, "+")}
	if len(all) == 1 && all[0].Unix == "" && !all[0].Address.IsValid() {
		return append([]any{"port", all[0].Port}, mode...)
	}
	return append([]any{"listen", strings.Join(names, ", ")}, mode...)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// listenProblem returns an error that says why listening on l failed, and the remedy.
func listenProblem(cfg *config.Config, l config.Listen, err error) error {
	var errno syscall.Errno
	errors.As(err, &errno)
	name := listenName(l)
	if l.Unix != "" {
		return unixProblem(cfg, l, err, errno)
	}
	switch errno {
	case unix.EADDRINUSE:
		return cfg.ErrorAt(l.Path, name+" is in use by another program",
			fmt.Sprintf("choose another port, or stop that program (ss -ltnp 'sport = :%d' names it)", l.Port))
	case unix.EACCES:
		return cfg.ErrorAt(l.Path, "this user may not listen on "+name,
			"choose a port of 1024 or above, or grant the capability CAP_NET_BIND_SERVICE")
	case unix.EADDRNOTAVAIL:
		return cfg.ErrorAt(l.Path, fmt.Sprintf("this machine does not have the address %s", l.Address),
			`write one that it has ("ip address" lists them), or omit address to listen on all`)
	case unix.EINVAL:
		if l.Address.Is6() && l.Address.IsLinkLocalUnicast() {
			what := " without its interface"
			if zone := l.Address.Zone(); zone != "" {
				what = ", and this machine has no interface " + zone
			}
			return cfg.ErrorAt(l.Path, fmt.Sprintf("%s is a link-local address%s", l.Address, what),
				`write the interface behind it, as in "fe80::1%eth0" ("ip address" lists them)`)
		}
	case unix.EAFNOSUPPORT:
		return cfg.ErrorAt(l.Path, "this machine has no IPv6", "omit address to listen on all IPv4 addresses")
	}
	return cfg.ErrorAt(l.Path, err.Error(), "see the error")
}

// unixProblem is listenProblem for a Unix socket.
func unixProblem(cfg *config.Config, l config.Listen, err error, errno syscall.Errno) error {
	dir := filepath.Dir(l.Unix)
	what, remedy := err.Error(), "see the error"
	switch {
	case errors.Is(err, engine.ErrNotSocket):
		what, remedy = fmt.Sprintf("%q exists and is not a socket", l.Unix), "choose another path, or remove that file"
	case errno == unix.EADDRINUSE:
		what, remedy = fmt.Sprintf("the socket %q is in use by another program", l.Unix), fmt.Sprintf("choose another path, or stop that program (ss -lxp src %s names it)", l.Unix)
	case errno == unix.ENAMETOOLONG:
		what, remedy = fmt.Sprintf("the path of the socket has %d bytes", len(l.Unix)), fmt.Sprintf("choose one of at most %d; a relative path counts as it is written, not as an absolute path", engine.MaxUnixPath)
	case errno == unix.ENOENT:
		what, remedy = fmt.Sprintf("the directory %q does not exist", dir), thisProcess().mkdir(dir)
	case errno == unix.ENOTDIR:
		what, remedy = fmt.Sprintf("%q is not a directory", dir), "name a file in a directory"
	case errno == unix.EACCES || errno == unix.EPERM || errno == unix.EROFS:
		what, remedy = fmt.Sprintf("%s may not create a socket in %q: %v", thisProcess().name, dir, errno), thisProcess().elsewhere()
	}
	return cfg.ErrorAt(l.Path, what, remedy)
}
