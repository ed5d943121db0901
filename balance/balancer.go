package balance

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Balancer is an algorithm that chooses a host. One Balancer serves one group, from all loops at once.
type Balancer interface {
	// Pick returns the index of a host that tried does not hold, or -1 if the algorithm has none to offer. Key is what
	// the client asked for: the name in a request's Host or in a TLS hello, in any letter case, or nil. It is not kept.
	Pick(hosts *Hosts, key []byte, tried *Tried) int
}

// algorithms maps the names used in the configuration to makers of balancers.
var algorithms = map[string]func(names []string) Balancer{
	"round_robin": func([]string) Balancer { return new(roundRobin) },
	"first":       func([]string) Balancer { return first{} },
	"least_conn":  func([]string) Balancer { return new(leastConn) },
	"host":        newByName,
	"sni":         newByName,
}

// Algorithms lists the known names, sorted.
func Algorithms() []string {
	names := make([]string, 0, len(algorithms))
	for name := range algorithms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// New makes the balancer of that name for a group of hosts with these names, in the configured order.
func New(name string, hosts []string) (Balancer, error) {
	make, ok := algorithms[name]
	if !ok {
		return nil, fmt.Errorf("balance: no algorithm %q; there are %s", name, strings.Join(Algorithms(), ", "))
	}
	return make(hosts), nil
}

// turn is a counter that all loops advance, on a cache line of its own.
type turn struct {
	_ [64]byte
	n atomic.Uint64
	_ [56]byte
}

// next returns 0, 1, 2, ... modulo n.
func (t *turn) next(n int) int { return int((t.n.Add(1) - 1) % uint64(n)) }
