package balance

import (
	"fmt"
	"slices"
	"strings"
)

// Balancer is an algorithm that chooses a host. One Balancer serves one group, from all loops at once. What it remembers
// from choice to choice is in Hosts, which all processes share.
type Balancer interface {
	// Pick returns the index of a host that is usable (Hosts.Usable), or -1 if the algorithm has none to offer. Key is what
	// the client asked for, in any letter case, or nil: Group.Key says which name that is. It is not kept.
	Pick(hosts *Hosts, key []byte, tried *Tried) int
}

// algorithms maps the names used in the configuration to makers of balancers.
var algorithms = map[string]func(names []string) Balancer{
	"round_robin": func([]string) Balancer { return roundRobin{} },
	"first":       func([]string) Balancer { return first{} },
	"least_conn":  func([]string) Balancer { return leastConn{} },
	"host":        func(names []string) Balancer { return newByName(KeyHost, names) },
	"sni":         func(names []string) Balancer { return newByName(KeyServerName, names) },
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
