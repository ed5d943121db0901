package balance

import "math/rand/v2"

// A choice by load compares only some hosts of a large group. Comparing all of them would read a word per host that other
// writers change all the time; keeping them sorted would take a lock, or a walk at each release. The best of a few is nearly as good
// as the best of all (M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
const (
	lookAtAll  = 16 // a tier of at most this many hosts is compared as a whole, and the choice is exact
	lookAtSome = 4  // how many hosts of a larger tier are compared, beside the host whose turn it is
)

// sample holds the hosts that a choice by load compares: all hosts of a small tier; of a larger tier, the host whose turn it is and
// some others, which vary from choice to choice.
type sample struct {
	hosts  [1 + lookAtAll]uint16 // the first is the host whose turn it is; it may appear twice
	loads  [1 + lookAtAll]uint64 // filled in by the algorithm
	size   int
	takes  bool // the first host is usable and takes its turn; false while weights are overridden, since the turns follow the configured weights
	even   bool // all hosts weigh the same
	tier   *tier
	random uint64
}

// sample fills s, which must be zero. The size stays zero if there are no hosts.
func (h *Hosts) sample(s *sample, tried *Tried) {
	t := h.currentTier(tried)
	weights, list := h.ordered().weights(), t.members
	if weights {
		list = t.all
	}
	n := len(list)
	if n == 0 {
		return
	}
	s.tier, s.even = t, h.even && !weights
	if weights {
		s.hosts[0], s.random = list[0], rand.Uint64()
	} else {
		first, random := t.take(tried)
		s.hosts[0], s.random = uint16(first), random
		s.takes = h.Usable(first, tried) && h.acceptsTurn(first, random, tried)
	}
	if n <= lookAtAll {
		s.size = 1 + copy(s.hosts[1:], list)
		return
	}
	// Adjacent hosts are taken, because their counts are adjacent in memory.
	at := share(s.random, n)
	s.size = 1 + copy(s.hosts[1:1+lookAtSome], list[at:])
	s.size += copy(s.hosts[s.size:1+lookAtSome], list)
}

// settled reports whether the first host, whose load has just been filled in, is chosen at once because it is idle. This is common
// in a group with little load.
func (s *sample) settled(k int) bool { return k == 0 && s.loads[0] == 0 && s.takes }

// least returns the host with the least load for its weight, or -1 if there is none. Of equally loaded hosts it prefers the one
// whose turn it is; else it draws one by weight, so that equal hosts get equal shares whatever their order in the file.
func (s *sample) least(hosts *Hosts, tried *Tried) int {
	best, least, among := -1, 0.0, 0 // among: total weight of the hosts that tie for the best
	for k := range s.size {
		i, load, weight := int(s.hosts[k]), float64(s.loads[k]), 1
		if !s.even {
			if weight = hosts.Weight(i, tried); weight == 0 {
				continue
			}
			load /= float64(weight)
		}
		switch {
		case best >= 0 && (load > least || load == least && among == 0):
		case k == 0:
			if s.takes {
				best, least = i, load
			}
		case !hosts.Usable(i, tried):
		case best < 0 || load < least:
			best, least, among = i, load, weight
		default:
			among += weight
			if s.random = mix(s.random); share(s.random, among) < weight {
				best = i
			}
		}
	}
	if best < 0 && s.size > 0 {
		return s.tier.draw(hosts, s.random, tried)
	}
	return best
}
