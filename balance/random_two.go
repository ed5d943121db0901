package balance

import "math/rand/v2"

var randomTwoAlgorithm = Algorithm{
	Name: "random_two",
	Doc:  "of two hosts chosen at random by `weight`, the one with fewer active sessions or requests for its `weight`",
	make: func(Key, []Spec) Balancer { return randomTwo{} },
}

// randomTwo draws two hosts by weight and takes the one with fewer leases for its weight (the power of two choices). It writes no
// shared memory.
type randomTwo struct{}

// draws bounds the number of draws for two different usable hosts: of two equal hosts, both are found in all but one of 4 billion choices.
const draws = 32

// Pick implements Balancer.
func (randomTwo) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	t := hosts.currentTier(tried)
	if len(t.order) == 0 {
		return t.draw(hosts, rand.Uint64(), tried)
	}
	active := hosts.counters.column(cellActive)
	best, least := -1, 0.0
	for range draws {
		random := rand.Uint64()
		i := int(t.order[share(random, len(t.order))])
		if i == best || !hosts.Usable(i, tried) || !hosts.acceptsTurn(i, mix(random), tried) {
			continue
		}
		load := float64(active.sum(hosts.ids[i])) / float64(hosts.Weight(i, tried))
		if best < 0 {
			if best, least = i, load; len(t.members) == 1 {
				return i
			}
			continue
		}
		if load < least {
			best = i
		}
		return best
	}
	if best < 0 {
		best = t.draw(hosts, rand.Uint64(), tried)
	}
	return best
}
