package balance

import (
	"math/bits"
	"sync/atomic"
)

// tier is those hosts of one tier of a group that have a weight, as algorithms go over them.
type tier struct {
	members []uint16 // in the order of the file
	all     []uint16 // these and those that weigh nothing, unless it is ordered otherwise, in the order of the file
	order   []uint16 // the members' turns, see newCycle; empty if there are no members
	turn    *uint64  // in the counters: how many were taken; nil if there are no members
}

// newTiers sorts hosts by tier; n is how many tiers there are.
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

// noTier is the tier in turn of a group without hosts.
var noTier tier

// inTurn is the tier that a choice is made from.
func (h *Hosts) inTurn(tried *Tried) *tier {
	if tried.tier >= len(h.tiers) {
		return &noTier
	}
	return &h.tiers[tried.tier]
}

// take answers whose turn it is, and a number to draw lots with, which is like that of no other choice. There must be members. Each turn
// is given to one caller, over all loops and all processes that share the counters. Where hosts that are down are chosen from because
// there are no others, it is anybody's: turns that were taken in vain before would fall into step with the order.
func (t *tier) take(tried *Tried) (host int, lots uint64) {
	n := atomic.AddUint64(t.turn, 1) - 1
	lots = mix(n)
	if tried.desperate {
		return int(t.order[share(lots, len(t.order))]), mix(lots)
	}
	return int(t.order[n%uint64(len(t.order))]), lots
}

// draw takes one of the tier's usable hosts by weight; lots may be any number, and as many numbers lead to a host as it weighs. It
// looks at all hosts: it is the last resort where what is cheaper has found none.
func (t *tier) draw(hosts *Hosts, lots uint64, tried *Tried) int {
	total, last := 0, -1
	for _, m := range t.all {
		if i := int(m); hosts.Usable(i, tried) {
			if w := hosts.Weight(i, tried); w > 0 {
				total, last = total+w, i
			}
		}
	}
	at := share(lots, total)
	for _, m := range t.all {
		if i := int(m); hosts.Usable(i, tried) {
			if at -= hosts.Weight(i, tried); at < 0 {
				return i
			}
		}
	}
	return last // others have changed what is usable in between
}

// share maps numbers evenly to 0 … n-1.
func share(lots uint64, n int) int {
	high, _ := bits.Mul64(lots, uint64(n))
	return int(high)
}

// takes reports whether host i, whose turn it is, takes it: one that starts slowly lets so many go by that it gets its share of
// those; and one that weighs more by order gets its share since all others do. Lots are as for draw.
func (h *Hosts) takes(i int, lots uint64, tried *Tried) bool {
	orders := h.ordered()
	if !orders.weights() {
		return h.even || share(lots, int(h.standings[i].weight)*WeightUnit) < h.Weight(i, tried)
	}
	return orders.raise() < fromNothing && share(lots, int(int64(h.standings[i].weight)*orders.raise())) < h.Weight(i, tried)
}
