package upstream

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// Self knows which addresses lead back to this proxy: those that it listens on and, for a wildcard address, all addresses of the
// machine. A connection to one of these would arrive as a new client, be proxied again, and so on until some resource runs
// out. Its methods may be called from any goroutine; a nil *Self knows no addresses.
//
// Self does not detect loops through port forwarding and other proxies. Watch.Crowded does.
type Self struct {
	listening atomic.Pointer[[]netip.AddrPort]
	paths     atomic.Pointer[[]string]
	machine   atomic.Pointer[map[netip.Addr]struct{}]
	start     time.Time
	due       atomic.Int64 // when the machine's addresses are to be read again, in nanoseconds since start
}

// selfFresh is how long the machine's addresses are used before they are read again.
const selfFresh = 5 * time.Second

// NewSelf returns a Self that has read the machine's addresses and knows of no listeners.
func NewSelf() *Self {
	s := &Self{start: time.Now()}
	s.read()
	return s
}

// Listen sets the addresses that the proxy listens on. The list must not be changed afterwards.
func (s *Self) Listen(addrs []netip.AddrPort) { s.listening.Store(&addrs) }

// ListenUnix sets the paths of the unix sockets that the proxy listens on.
func (s *Self) ListenUnix(paths []string) {
	clean := make([]string, len(paths))
	for i, path := range paths {
		clean[i] = cleanPath(path)
	}
	s.paths.Store(&clean)
}

// IsUnix reports whether the unix socket at path leads back.
func (s *Self) IsUnix(path string) bool {
	if s == nil {
		return false
	}
	list := s.paths.Load()
	return list != nil && len(*list) > 0 && slices.Contains(*list, cleanPath(path))
}

// LeadsBack returns an error that wraps ErrLoop if a connection to the host would lead back: at that address, or at the host's unix
// socket if it has one.
func (s *Self) LeadsBack(h *Host, addr netip.AddrPort) error {
	switch {
	case h.Unix == "" && s.Is(addr):
		return errOwnAddress
	case h.Unix != "" && s.IsUnix(h.Unix):
		return errOwnSocket
	}
	return nil
}

// cleanPath returns a canonical spelling of path. It does not follow symbolic links.
func cleanPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Is reports whether addr leads back. It neither blocks nor makes a system call; now and then it has the machine's addresses
// read again in the background.
func (s *Self) Is(addr netip.AddrPort) bool {
	if s == nil {
		return false
	}
	listening := s.listening.Load()
	if listening == nil {
		return false
	}
	for _, l := range *listening {
		if l.Port() == addr.Port() && s.accepts(l.Addr(), addr.Addr().Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// accepts reports whether a listener on address l gets connections to address a.
func (s *Self) accepts(l, a netip.Addr) bool {
	if l.Is4() != a.Is4() {
		return false
	}
	if a.IsUnspecified() { // the kernel takes it for the loopback address
		return l.IsUnspecified() || l.IsLoopback()
	}
	if !l.IsUnspecified() {
		return l == a
	}
	return a.IsLoopback() || s.owns(a)
}

// owns reports whether an interface has the address.
func (s *Self) owns(a netip.Addr) bool {
	if due, now := s.due.Load(), int64(time.Since(s.start)); now >= due && s.due.CompareAndSwap(due, now+int64(selfFresh)) {
		go s.read()
	}
	_, own := (*s.machine.Load())[a]
	return own
}

// read reads the machine's addresses. If it fails, the known addresses stay.
func (s *Self) read() {
	list, err := net.InterfaceAddrs()
	if err != nil && s.machine.Load() != nil {
		return
	}
	addrs := make(map[netip.Addr]struct{}, len(list))
	for _, one := range list {
		if n, ok := one.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				addrs[a.Unmap()] = struct{}{}
			}
		}
	}
	s.machine.Store(&addrs)
	s.due.Store(int64(time.Since(s.start) + selfFresh))
}
