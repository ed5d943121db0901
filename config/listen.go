package config

import (
	"io/fs"
	"net/netip"
	"strconv"
	"time"
)

// Listen is one socket that a server takes its clients from.
type Listen struct {
	Path string // its JSON path, for problems

	// Address is what is listened on. The zero value is all IPv4 addresses; "::"
	// is all of both families, unless IPv6Only.
	Address  netip.Addr
	Port     uint16 // 0 if Unix is set
	IPv6Only bool

	Unix     string      // path of a Unix-domain socket instead; "" if it is none
	UnixMode fs.FileMode // its permissions; 0 if it is none

	TLS bool // clients speak TLS

	// ProxyProtocol are networks whose connections have to begin with a PROXY
	// header (version 1 or 2), and all others are refused; nil is without.
	// Peers of a Unix-domain socket are in all networks.
	ProxyProtocol []netip.Prefix

	Backlog      int           // of connections not yet accepted; 0 is as many as the system allows
	TCPKeepalive time.Duration // between two probes of a silent client; 0 is none
}

// Key returns which socket it is: entries with one key are one socket, however
// else they differ.
func (l Listen) Key() string {
	switch {
	case l.Unix != "":
		return "unix " + l.Unix
	case !l.Address.IsValid():
		return "tcp 0.0.0.0:" + strconv.Itoa(int(l.Port))
	default:
		return "tcp " + netip.AddrPortFrom(l.Address, l.Port).String()
	}
}
