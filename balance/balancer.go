package balance

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Balancer is an algorithm that chooses a host. One Balancer serves one group, from all loops at once.
type Balancer interface {
	// Pick returns the index of a host that tried does not hold, or -1 if the algorithm has none to offer.
	Pick(hosts *Hosts, tried *Tried) int
}

// algorithms maps the names used in the configuration to makers of balancers.
var algorithms = map[string]func() Balancer{
	"round_robin": func() Balancer { return new(roundRobin) },
	"first":       func() Balancer { return first{} },
	"least_conn":  func() Balancer { return new(leastConn) },
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

// New makes the balancer of that name.
func New(name string) (Balancer, error) {
	make, ok := algorithms[name]
	if !ok {
		return nil, fmt.Errorf("balance: no algorithm %q; there are %s", name, strings.Join(Algorithms(), ", "))
	}
	return make(), nil
}

// turn is a counter that all loops advance, on a cache line of its own.
type turn struct {
	_ [64]byte
	n atomic.Uint64
	_ [56]byte
}

// next returns 0, 1, 2, ... modulo n.
func (t *turn) next(n int) int { return int((t.n.Add(1) - 1) % uint64(n)) }
