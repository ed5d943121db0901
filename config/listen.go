package config

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Listen is one listening socket of a server.
type Listen struct {
	Path string // JSON path, for problems

	// Address is the listening address. The zero value means all IPv4 addresses;
	// "::" means all addresses of both families, unless IPv6Only.
	Address  netip.Addr
	Port     uint16 // 0 if Unix is set
	IPv6Only bool

	Unix     string      // path of a Unix socket instead of an address; "" if there is none
	UnixMode fs.FileMode // permissions of the Unix socket; 0 if there is none

	TLS bool // clients use TLS

	// Protocols are the protocols that clients may speak, the preferred one first: ProtocolHTTP1, and ProtocolHTTP2 with TLS or ProtocolH2C
	// without. It is nil in stream mode.
	Protocols []string

	// ProxyProtocol are networks whose connections must begin with a PROXY header
	// (version 1 or 2); connections from elsewhere are refused. Nil
	// disables the PROXY protocol. Peers of a Unix socket are in all networks.
	ProxyProtocol []netip.Prefix

	Backlog      int           // connections that are not accepted yet; 0 for the system's maximum
	TCPKeepalive time.Duration // a client that is silent for this long is sent a probe; 0 for no probes
}

// Key identifies the socket: entries with the same key are one socket, however else
// they differ. Whether a socket of "::" accepts IPv4 cannot
// be changed later, so it is part of the key.
func (l Listen) Key() string {
	switch {
	case l.IPv6Only:
		return "tcp " + netip.AddrPortFrom(l.Address, l.Port).String() + " ipv6_only"
	case l.Unix != "":
		return "unix " + l.Unix
	case !l.Address.IsValid():
		return "tcp 0.0.0.0:" + strconv.Itoa(int(l.Port))
	default:
		return "tcp " + netip.AddrPortFrom(l.Address, l.Port).String()
	}
}

// defaultMode is the default of a Unix socket's permissions.
const defaultMode = 0o660

// listens decodes the listeners of o, a server.
func (o object) listens() []Listen {
	const example = `[{ "port": 80 }]`
	usual := o.boolean("tls_enabled")
	var list []Listen
	m := o.node.get("listen")
	if m == nil || o.node.get("port") != nil {
		l := Listen{Path: keyPath(o.path, "port"), Port: uint16(o.integer("port")), TLS: usual, TCPKeepalive: o.duration("tcp_keepalive")}
		if o.modes == inHTTP {
			l.Protocols = usualProtocols(usual)
		}
		list = append(list, l)
	}
	if m == nil {
		return list
	}
	path := keyPath(o.path, "listen")
	if m.value.kind == kindArray && len(m.value.elements) == 0 {
		o.fail(&m.value, path, "there is nothing in it", "write "+example)
	}
	if m.value.kind != kindArray {
		o.fail(&m.value, path, "must be an array, not "+m.value.describe(), "write "+listenExample(&m.value, example))
		return list
	}
	for i := range m.value.elements {
		e := &m.value.elements[i]
		in, ok := o.object(e, indexPath(path, i), ofListen, strings.Trim(listenExample(e, example), "[]"))
		if ok {
			list = append(list, in.within(o).listen(usual))
		}
	}
	return list
}

// listenExample returns the correct form of an entry in another program's notation:
// a port, or "address:port".
func listenExample(n *node, example string) string {
	switch address, port := splitAddress(n.literal()); {
	case n.kind == kindObject:
		return "[" + string("{ ... }") + "]"
	case n.kind == kindNumber && isInteger(n.literal()):
		return `[{ "port": ` + n.literal() + ` }]`
	case n.kind == kindString && isInteger(n.text()):
		return `[{ "port": ` + n.text() + ` }]`
	case n.kind == kindString && strings.HasPrefix(n.text(), "unix:"):
		return `[{ "unix": ` + quote(strings.TrimPrefix(n.text(), "unix:")) + ` }]`
	case n.kind == kindString && strings.HasPrefix(n.text(), "/"):
		return `[{ "unix": ` + quote(n.text()) + ` }]`
	case n.kind == kindString && port != "" && strings.Trim(address, "[]*") == "":
		return `[{ "port": ` + port + ` }]`
	case n.kind == kindString && port != "":
		return `[{ "address": ` + quote(strings.Trim(address, "[]")) + `, "port": ` + port + ` }]`
	}
	return example
}

// listen decodes an entry of "listen".
func (o object) listen(tls bool) Listen {
	o.unknown()
	l := Listen{Path: o.path, TLS: tls}
	o.fill(ofListen, &target{listen: &l})
	if o.node.get("tls") != nil {
		l.TLS = o.boolean("tls")
	}
	o.protocols(&l)
	if n, path := o.child("proxy_protocol"); n != nil && n.kind == kindArray && len(n.elements) == 0 {
		o.fail(n, path, "there are no networks in it, so every connection would be refused", `write the networks that send PROXY headers, such as ["10.0.0.0/8"], or remove it`)
	}
	n, path := o.child("unix")
	if n == nil {
		o.tcp(&l)
		return l
	}
	l.Unix, l.UnixMode = o.unixPath(n, path), o.socketMode()
	o.besideUnix("address", "port", "ipv6_only")
	o.idle("tcp_keepalive", l.TCPKeepalive > 0, "it is ignored: a Unix-domain socket has no probes", "remove it")
	l.TCPKeepalive, l.IPv6Only = 0, false
	return l
}

// besideUnix reports keys that do not apply to a Unix socket.
func (o object) besideUnix(keys ...string) {
	for _, key := range keys {
		if m := o.node.get(key); m != nil {
			o.failAt(m.pos, keyPath(o.path, key), `it has no effect together with "unix"`, "remove one of the two")
		}
	}
}

// tcp decodes an address and a port.
func (o object) tcp(l *Listen) {
	if m := o.node.get("mode"); m != nil {
		o.failAt(m.pos, keyPath(o.path, "mode"), `it has no effect without "unix"`, `remove it, or write "unix" in place of "port"`)
	}
	if o.require("port", "", "the TCP port to listen on, such as 8080") {
		l.Port = uint16(o.integer("port"))
	}
	if n, path := o.child("address"); n != nil {
		remedy := `write an address such as "127.0.0.1" or "::"; without the key, the server listens on all IPv4 addresses`
		if o.place.level == ofAdminListen {
			remedy = `write an address such as "127.0.0.1", which is the default`
		}
		s := o.text("address")
		addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
		switch {
		case n.kind != kindString:
		case s == "*" || s == "":
			o.fail(n, path, quote(s)+" is not an address", remedy)
		case err != nil:
			if host, port := splitAddress(s); port != "" && strings.Count(s, ":") == 1 {
				o.fail(n, path, quote(s)+" has a port in it", "write the address alone: "+quote(host)+`, and "port": `+port)
			} else {
				o.fail(n, path, quote(s)+" is not an address", remedy)
			}
		default:
			l.Address = addr.Unmap()
		}
	}
	if l.IPv6Only && l.Address != netip.IPv6Unspecified() {
		m := o.node.get("ipv6_only")
		o.warn(m.pos, keyPath(o.path, "ipv6_only"), `it is ignored without "address": "::"`, "remove it")
		l.IPv6Only = false
	}
	if l.Address.Is4() && l.Address.IsUnspecified() {
		l.Address = netip.Addr{}
	}
}

// socketMode decodes "mode", which must be a string, because JSON numbers are
// decimal.
func (o object) socketMode() fs.FileMode {
	n, path := o.child("mode")
	if n == nil {
		return defaultMode
	}
	const remedy = `write octal digits in a string, such as "0660"`
	v, err := strconv.ParseUint(n.literal(), 8, 32)
	switch {
	case n.kind != kindString:
		o.fail(n, path, "must be a string, not "+n.describe(), remedy)
	case err != nil || v > 0o777:
		o.fail(n, path, quote(n.text())+" is not a mode", remedy)
	default:
		return fs.FileMode(v)
	}
	return defaultMode
}

// overlaps reports whether the kernel would refuse to bind l beside other without
// SO_REUSEPORT: one of them covers the other's address.
func (l Listen) overlaps(other Listen) bool {
	if l.Unix != "" || other.Unix != "" || l.Port != other.Port {
		return l.Unix != "" && l.Unix == other.Unix
	}
	covers := func(wide, narrow Listen) bool {
		switch {
		case !wide.Address.IsValid():
			return !narrow.Address.IsValid() || narrow.Address.Is4()
		case wide.Address.Is6() && wide.Address.IsUnspecified():
			return !wide.IPv6Only || narrow.Address.Is6()
		default:
			return wide.Address == narrow.Address
		}
	}
	return covers(l, other) || covers(other, l)
}

// String returns a description of l for messages.
func (l Listen) String() string {
	switch {
	case l.Unix != "":
		return quote(l.Unix)
	case !l.Address.IsValid():
		return "port " + strconv.Itoa(int(l.Port)) + " of all IPv4 addresses"
	case l.Address.IsUnspecified() && l.IPv6Only:
		return "port " + strconv.Itoa(int(l.Port)) + " of all IPv6 addresses"
	case l.Address.IsUnspecified():
		return "port " + strconv.Itoa(int(l.Port)) + " of all addresses"
	default:
		return netip.AddrPortFrom(l.Address, l.Port).String()
	}
}

// checkListen reports addresses that are listened on twice.
func (d *decoder) checkListen(c *Config) {
	before := map[uint16][]Listen{} // by port
	check := func(list []Listen, routed bool) {
		for _, l := range list {
			i := slices.IndexFunc(before[l.Port], l.overlaps)
			if known := l.Port != 0 || l.Unix != ""; known && i >= 0 {
				d.failTwice(c, l, before[l.Port][i], routed)
			}
			before[l.Port] = append(before[l.Port], l)
		}
	}
	for _, s := range c.Servers {
		check(s.Listen, true)
	}
	for i := range c.Admin {
		check(c.Admin[i].Listen, false)
	}
}

// failTwice reports that l is, or overlaps, another listener. Routed says that l belongs to a server.
func (d *decoder) failTwice(c *Config, l, other Listen, routed bool) {
	what, remedy := "is listened on twice", "remove one of the two, or give it another port: routes can distinguish requests for several names on one port"
	switch {
	case !routed && l.Unix == "" && l.Key() == other.Key():
		remedy = "give it another port"
	case l.Unix != "":
		remedy = "remove one of the two, or give it another path"
	case l.Key() != other.Key():
		what, remedy = "overlaps "+other.String(), "remove one of the two, or give it another port"
		if l.Address.Is6() != other.Address.Is6() {
			remedy += `; "ipv6_only": true leaves IPv4 out of "::"`
		}
	}
	at := c.root.locate(other.Path)
	d.failAt(c.root.locate(l.Path), l.Path, fmt.Sprintf("%s %s, first in %s (%s)", l, what, other.Path, d.input.place(at)), remedy)
}
