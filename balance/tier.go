package balance

import (
	"math/bits"
	"sync/atomic"
)

// tier is the hosts of one tier of a group, in the form that algorithms use.
type tier struct {
	members []uint16 // hosts with a configured weight, in configured order
	all     []uint16 // all hosts, including those of weight zero, which an order may give a weight; in configured order
	order   []uint16 // the members' turns, see newCycle; empty if there are no members
	turn    *uint64  // in the counters: how many turns were taken; nil if there are no members
}

// newTiers groups hosts by tier; n is the number of tiers.
func newTiers(hosts []standing, n int) []tier {
	tiers, weights := make([]tier, n), make([][]int, n)
	for i, h := range hosts {
		t := &tiers[h.tier]
		t.all = append(t.all, uint16(i))
		if h.weight > 0 {
			t.members = append(t.members, uint16(i))
			weights[h.tier] = append(weights[h.tier], int(h.weight))
		}
	}
	for n := range tiers {
		t := &tiers[n]
		t.order = newCycle(weights[n])
		for turn, at := range t.order {
			t.order[turn] = t.members[at]
		}
	}
	return tiers
}

// noTier is the tier of a group without hosts.
var noTier tier

// currentTier returns the tier from which a host is being chosen.
func (h *Hosts) currentTier(tried *Tried) *tier {
	if tried.tier >= len(h.tiers) {
		return &noTier
	}
	return &h.tiers[tried.tier]
}

// take returns the host whose turn it is, and a random number that differs from choice to choice. There must be members. Each turn goes to
// one caller, over all loops and all processes that share the counters. If unfit hosts are chosen from as a last resort, the host is drawn
// at random instead: the turns taken in vain before would fall into step with the order.
func (t *tier) take(tried *Tried) (host int, random uint64) {
	n := atomic.AddUint64(t.turn, 1) - 1
	random = mix(n)
	if tried.lastResort {
		return int(t.order[share(random, len(t.order))]), mix(random)
	}
	return int(t.order[n%uint64(len(t.order))]), random
}

// draw takes one of the tier's usable hosts by weight; the argument random is any random number. It looks at all hosts, so it is the last resort where
// cheaper ways have found none.
func (t *tier) draw(hosts *Hosts, random uint64, tried *Tried) int {
	total, last := 0, -1
	for _, m := range t.all {
		if i := int(m); hosts.Usable(i, tried) {
			if w := hosts.Weight(i, tried); w > 0 {
				total, last = total+w, i
			}
		}
	}
	at := share(random, total)
	for _, m := range t.all {
		if i := int(m); hosts.Usable(i, tried) {
			if at -= hosts.Weight(i, tried); at < 0 {
				return i
			}
		}
	}
	return last // other processes have changed which hosts are usable in between
}

// share maps random numbers evenly to 0 … n-1.
func share(random uint64, n int) int {
	high, _ := bits.Mul64(random, uint64(n))
	return int(high)
}

// acceptsTurn reports whether host i, whose turn it is, accepts the turn. During slow start a host declines turns so that it gets only its share.
// While orders override weights, all hosts decline turns so that each gets its share. The number random is as for draw.
func (h *Hosts) acceptsTurn(i int, random uint64, tried *Tried) bool {
	orders := h.ordered()
	if !orders.weights() {
		return h.even || share(random, int(h.standings[i].weight)*WeightUnit) < h.Weight(i, tried)
	}
	return orders.raise() < fromNothing && share(random, int(int64(h.standings[i].weight)*orders.raise())) < h.Weight(i, tried)
}
