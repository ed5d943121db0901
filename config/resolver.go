package config

import (
	"net/netip"
	"strings"
	"time"
)

// Resolver configures the lookup of hosts' addresses.
type Resolver struct {
	Servers        []netip.AddrPort // nil for the system's
	MinTTL, MaxTTL time.Duration    // bounds on how long an answer is used; MinTTL is at most MaxTTL
	Search         []string         // domains appended to names without a dot; no trailing dot; nil for the system's
}

// resolver decodes "resolver" of the file.
func (o object) resolver() (r Resolver) {
	in, _ := o.section("resolver")
	in.fill(ofResolver, &target{resolver: &r})
	if r.MinTTL > r.MaxTTL {
		key := "min_ttl"
		if in.node.get(key) == nil {
			key = "max_ttl"
		}
		n, path := in.child(key)
		in.fail(n, path, `"min_ttl" is `+r.MinTTL.String()+`, more than "max_ttl", `+r.MaxTTL.String(), "change one of the two")
	}
	return r
}

// nameServers is one or several addresses, with or without a port.
type nameServers struct{}

const nameServersExample = `["10.0.0.53", "127.0.0.1:5353"]`

func (nameServers) fallback() any { return []netip.AddrPort(nil) }
func (nameServers) spell() string { return "those of `/etc/resolv.conf`" }

func (nameServers) schema(m modes) schema {
	return oneOrMore(func(modes) schema {
		return schema{"type": "string", "pattern": `^(\[[0-9A-Fa-f:.]+(%[^\]]+)?\](:[0-9]+)?|[0-9.]+(:[0-9]+)?|[0-9A-Fa-f:.]+(%.+)?)$|` + reference}
	})(m)
}

func (nameServers) decode(o object, n *node, path string) any {
	var list []netip.AddrPort
	o.texts(n, path, nameServersExample, func(n *node, path, s string) {
		if at, what := nameServer(s); what == "" {
			list = append(list, at)
		} else {
			o.fail(n, path, quote(s)+" "+what, "write addresses as in "+nameServersExample)
		}
	})
	return list
}

// nameServer parses the address of a DNS server, or returns what is wrong with it.
func nameServer(s string) (at netip.AddrPort, what string) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		if at.Port() == 0 {
			return at, "has the port 0"
		}
		return at, ""
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	switch {
	case err == nil:
		return netip.AddrPortFrom(addr, 53), ""
	case strings.Contains(s, "://"):
		return at, "is a URL, and DNS over TLS or HTTP is not supported"
	default:
		return at, "is not an address: the name of a DNS server cannot be looked up"
	}
}

// searchList is one or several domains; an empty array means none.
type searchList struct{}

func (searchList) fallback() any { return []string(nil) }
func (searchList) spell() string { return "those of `/etc/resolv.conf`" }

func (searchList) schema(modes) schema {
	return anyOf(schema{"type": "string"}, schema{"type": "array", "items": schema{"type": "string"}})
}

func (searchList) decode(o object, n *node, path string) any {
	const example = `["corp.example"]`
	list := []string{}
	if n.kind == kindArray && len(n.elements) == 0 {
		return list
	}
	o.texts(n, path, example, func(n *node, path, s string) {
		name, what, _ := hostName(strings.TrimPrefix(s, "."))
		if what == "" && isAddress(name) {
			what = quote(s) + " is an address, not a domain"
		}
		if what != "" {
			o.fail(n, path, what, "write domains as in "+example)
			return
		}
		list = append(list, strings.TrimSuffix(name, "."))
	})
	return list
}
