package balance

import "strings"

// maxName is how long a host's name may be (RFC 1035 section 2.3.4, with a dot at its end).
const maxName = 254

// Key is which name of those that a client gives an algorithm chooses by.
type Key uint8

const (
	// KeyNone means that no name matters.
	KeyNone Key = iota
	// KeyHost is the name in a request's Host, without the port.
	KeyHost
	// KeyServerName is the server name in a TLS hello.
	KeyServerName
)

// byName takes the host whose name is the key. Of several with one name, on different ports, the first that was not tried.
type byName struct {
	key     Key
	indices map[string][]int // by canonical name, in the configured order
}

func newByName(key Key, names []string) Balancer {
	b := byName{key, make(map[string][]int, len(names))}
	for i, name := range names {
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		b.indices[name] = append(b.indices[name], i)
	}
	return b
}

// Pick implements Balancer.
func (b byName) Pick(_ *Hosts, key []byte, tried *Tried) int {
	if len(key) > maxName {
		return -1
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
	for _, i := range b.indices[string(name[:n])] {
		if !tried.Has(i) {
			return i
		}
	}
	return -1
}
