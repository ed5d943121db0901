package balance

import (
	"fmt"
	"strings"
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
	// Observe is told how each lease of host i ended whose host could be reached. Now is in ms on CLOCK_MONOTONIC. All loops call it at
	// once.
	Observe(hosts *Hosts, i int, o Outcome, now int64)
}

// namer is a Balancer that offers only hosts of some name.
type namer interface {
	Balancer
	// named lists the hosts for a key.
	named(key []byte) []int
}

// Algorithm is a way to choose hosts. Each has a file of its own, and a line in algorithms.
type Algorithm struct {
	// Name is what the configuration calls it.
	Name string
	// Doc says who gets the next session or request, for the reference.
	Doc string
	// Key is what hosts are chosen by.
	Key Key

	make func(by Key, hosts []Spec) Balancer
}

// algorithms are all that there are, the default first.
var algorithms = [...]Algorithm{
	roundRobinAlgorithm,
	firstAlgorithm,
	leastConnAlgorithm,
	randomTwoAlgorithm,
	leastTimeAlgorithm,
	hashAlgorithm,
	ipHashAlgorithm,
	hostAlgorithm,
	sniAlgorithm,
}

// Algorithms lists all that there are, the default first, for the configuration and the reference. The list is the caller's.
func Algorithms() []Algorithm {
	list := algorithms
	return list[:]
}

// New makes the balancer of that name for a group of these hosts, in the configured order. It may take a few ms: it is not for a
// loop.
func New(name string, hosts []Spec) (Balancer, error) {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		if a.Name == name {
			return a.make(a.Key, hosts), nil
		}
		names[i] = a.Name
	}
	return nil, fmt.Errorf("balance: no algorithm %q; there are %s", name, strings.Join(names, ", "))
}
