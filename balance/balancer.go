package balance

import (
	"fmt"
	"strings"
)

// Balancer is an algorithm that chooses a host. One Balancer serves one group and is used by all loops at once. State that
// outlives a choice is kept in Hosts, which all processes share.
type Balancer interface {
	// Pick returns the index of a usable host (Hosts.Usable), or -1 if the algorithm has none to offer. Group.Key says what key holds;
	// it may be nil. Pick must not retain key.
	Pick(hosts *Hosts, key []byte, tried *Tried) int
}

// Keyed is a Balancer that chooses by a key.
type Keyed interface {
	Balancer
	// Key returns the kind of key.
	Key() Key
}

// Observer is a Balancer that learns from how leases end.
type Observer interface {
	Balancer
	// Observe is called when a lease of host i ends, unless the host could not be reached. The time now is in ms on CLOCK_MONOTONIC.
	// Loops call Observe concurrently.
	Observe(hosts *Hosts, i int, o Outcome, now int64)
}

// namer is a Balancer that offers only hosts with a matching name.
type namer interface {
	Balancer
	// named returns the hosts that match a key.
	named(key []byte) []int
}

// Algorithm is a way to choose hosts. Each algorithm has its own file and an entry in algorithms.
type Algorithm struct {
	// Name is the algorithm's name in the configuration.
	Name string
	// Doc says which host gets the next session or request; it is printed in the reference.
	Doc string
	// Key is the kind of key that hosts are chosen by.
	Key Key

	make func(by Key, hosts []Spec) Balancer
}

// algorithms lists all algorithms, the default first.
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

// Algorithms returns all algorithms, the default first, for the configuration and the reference. The caller owns the list.
func Algorithms() []Algorithm {
	list := algorithms
	return list[:]
}

// New makes the balancer with that name for a group of these hosts, given in configured order. It may take a few ms, so it must not
// run on an event loop.
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
