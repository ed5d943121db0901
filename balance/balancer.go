package balance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Balancer is an algorithm that chooses a host. One Balancer serves one group, from all loops at once. What it remembers
// from choice to choice is in Hosts, which all processes share.
type Balancer interface {
	// Pick returns the index of a host that is usable (Hosts.Usable), or -1 if the algorithm has none to offer. Key is what
	// hosts are chosen by, or nil: Group.Key says what that is. It is not kept.
	Pick(hosts *Hosts, key []byte, tried *Tried) int
}

// Keyed is a Balancer that chooses by a key.
type Keyed interface {
	Balancer
	// Key says by which.
	Key() Key
}

// Observer is a Balancer that learns from how leases end.
type Observer interface {
	Balancer
	// Observe is told of each lease of host i that ended Served or Erred, with the latency, which is zero if it is not known, and
	// the time, in ms on CLOCK_MONOTONIC. All loops call it at once.
	Observe(hosts *Hosts, i int, latency time.Duration, now int64)
}

// namer is a Balancer that offers only hosts of some name.
type namer interface {
	Balancer
	// named lists the hosts for a key.
	named(key []byte) []int
}

// algorithms maps the names used in the configuration to makers of balancers.
var algorithms = map[string]func(hosts []Spec) Balancer{
	"round_robin": func([]Spec) Balancer { return roundRobin{} },
	"first":       func([]Spec) Balancer { return first{} },
	"least_conn":  func([]Spec) Balancer { return leastConn{} },
	"host":        func(hosts []Spec) Balancer { return newByName(KeyHost, hosts) },
	"sni":         func(hosts []Spec) Balancer { return newByName(KeyServerName, hosts) },
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

// New makes the balancer of that name for a group of these hosts, in the configured order.
func New(name string, hosts []Spec) (Balancer, error) {
	make, ok := algorithms[name]
	if !ok {
		return nil, fmt.Errorf("balance: no algorithm %q; there are %s", name, strings.Join(Algorithms(), ", "))
	}
	return make(hosts), nil
}
