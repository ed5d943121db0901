package balance

import "strings"

// maxName is the greatest length of a host name (RFC 1035 section 2.3.4, plus a trailing dot).
const maxName = 254

// Key is the kind of key that an algorithm chooses by.
type Key uint8

const (
	// KeyNone means that the choice does not depend on the client.
	KeyNone Key = iota
	// KeyHost is the name in a request's Host field, without the port.
	KeyHost
	// KeyServerName is the server name in a TLS ClientHello.
	KeyServerName
	// KeyClient is the client's address as text.
	KeyClient
	// KeyTemplate is the expansion of a template in the configuration.
	KeyTemplate
)

// AnyName is the name of a host that takes every key that is not another host's name, including a missing key.
const AnyName = "*"

var (
	hostAlgorithm = Algorithm{
		Name: "host",
		Doc:  "(`http`) the host with the name that the request asks for, else 421",
		Key:  KeyHost,
		make: newByName,
	}
	sniAlgorithm = Algorithm{
		Name: "sni",
		Doc:  "the host with the name that the TLS client asks for; else 421, or in `stream` the connection is closed",
		Key:  KeyServerName,
		make: newByName,
	}
)

// byName chooses the host whose name is the key, or else a host called AnyName. If several hosts share the name, the first usable one
// is chosen. While a host has the name, hosts called AnyName do not stand in for it: they may not serve what the client asks for.
type byName struct {
	by      Key
	indices map[string][]int // by canonical name, in configured order
	others  []int            // hosts called AnyName
}

func newByName(by Key, hosts []Spec) Balancer {
	b := byName{by: by, indices: make(map[string][]int, len(hosts))}
	for i, h := range hosts {
		name := h.Name
		if name == AnyName {
			b.others = append(b.others, i)
			continue
		}
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		b.indices[name] = append(b.indices[name], i)
	}
	return b
}

// Key implements Keyed.
func (b byName) Key() Key { return b.by }

// Pick implements Balancer.
func (b byName) Pick(hosts *Hosts, key []byte, tried *Tried) int {
	for _, i := range b.named(key) {
		if hosts.Usable(i, tried) {
			return i
		}
	}
	return -1
}

// named implements namer.
func (b byName) named(key []byte) []int {
	if len(key) > maxName {
		return b.others
	}
	var name [maxName]byte
	for i, c := range key {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		name[i] = c
	}
	n := len(key)
	if n > 0 && name[n-1] == '.' {
		n--
	}
	if list := b.indices[string(name[:n])]; list != nil {
		return list
	}
	return b.others
}
