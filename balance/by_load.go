package balance

import "math/rand/v2"

// How many hosts a choice by load compares. To compare all of a large group would cost a look at each, at words that others write all
// the time; to keep them sorted would cost a lock, or each release a walk. The best of a few is nearly the best of all
// (M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
const (
	lookAtAll  = 16 // of a tier that has no more hosts than this all are compared, and the choice is exact
	lookAtSome = 4  // of a larger one so many, beside the one whose turn it is
)

// sample is the hosts that a choice by load compares: of a tier with few hosts all, of a larger one the one whose turn it is
// and some others, which are other ones each time.
type sample struct {
	hosts [1 + lookAtAll]uint16 // the first is the one whose turn it is, which is perhaps there once more
	loads [1 + lookAtAll]uint64 // filled by whoever has the sample
	size  int
	takes bool // the first is usable and takes its turn; it takes none where weights were ordered, and its turns were made by others
	even  bool // all weigh the same
	tier  *tier
	lots  uint64
}

// sample draws one, into s, which is new. Its size is zero if there are no hosts.
func (h *Hosts) sample(s *sample, tried *Tried) {
	t := h.inTurn(tried)
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
		s.hosts[0], s.lots = list[0], rand.Uint64()
	} else {
		first, lots := t.take(tried)
		s.hosts[0], s.lots = uint16(first), lots
		s.takes = h.Usable(first, tried) && h.takes(first, lots, tried)
	}
	if n <= lookAtAll {
		s.size = 1 + copy(s.hosts[1:], list)
		return
	}
	// They lie together, for their counts do too.
	at := share(s.lots, n)
	s.size = 1 + copy(s.hosts[1:1+lookAtSome], list[at:])
	s.size += copy(s.hosts[s.size:1+lookAtSome], list)
}

// settled reports whether the first, whose load is there now, is the choice at once since it has none: as in a group with little to do.
func (s *sample) settled(k int) bool { return k == 0 && s.loads[0] == 0 && s.takes }

// least is the host with the least load for its weight; -1 if there is none. Among equals it is the one whose turn it is, else lots are
// drawn by weight, so that equal hosts get equal shares whatever stands between them in the file.
func (s *sample) least(hosts *Hosts, tried *Tried) int {
	best, least, among := -1, 0.0, 0 // among: what those that are as good as the best weigh together
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
			if s.lots = mix(s.lots); share(s.lots, among) < weight {
				best = i
			}
		}
	}
	if best < 0 && s.size > 0 {
		return s.tier.draw(hosts, s.lots, tried)
	}
	return best
}
