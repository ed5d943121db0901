package balance

import "strings"

// maxName is how long a host's name may be (RFC 1035 section 2.3.4, with a dot at its end).
const maxName = 254

// Key is what an algorithm chooses by.
type Key uint8

const (
	// KeyNone means nothing that is the client's.
	KeyNone Key = iota
	// KeyHost is the name in a request's Host, without the port.
	KeyHost
	// KeyServerName is the server name in a TLS hello.
	KeyServerName
	// KeyClient is the client's address, as text.
	KeyClient
	// KeyTemplate is what the configuration says.
	KeyTemplate
)

// AnyName is the name of a host that takes every key that is no other host's name, the missing one too.
const AnyName = "*"

var (
	hostAlgorithm = Algorithm{
		Name: "host",
		Doc:  "(`http`) the host whose name the request asks for, else 421",
		Key:  KeyHost,
		make: newByName,
	}
	sniAlgorithm = Algorithm{
		Name: "sni",
		Doc:  "the host whose name the TLS client asks for, else 421, in `stream` a close",
		Key:  KeyServerName,
		make: newByName,
	}
)

// byName takes the host whose name is the key, else one called AnyName. Of several with one name, it is the first that is
// usable. While a host has the name, those called AnyName do not stand in for it: they may not know of what is asked for.
type byName struct {
	by      Key
	indices map[string][]int // by canonical name, in the configured order
	others  []int            // those called AnyName
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

// named lists the hosts for a key.
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
