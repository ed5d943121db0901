package balance

import (
	"cmp"
	"container/heap"
)

// maxCycle is how long a cycle may be. Up to that the weights hold exactly: for 65 hosts of any weights at least. Of more, each
// host's share is off by half a turn of some 65 at most, and no host that has a weight goes without a turn.
const maxCycle = 1 << 16

// newCycle makes the order in which things get their turns by weight, each as often as it weighs, over and over again. It is smooth:
// after any number of turns each thing has had its share but for less than one turn. Things of equal weight come in their own
// order. One that weighs nothing has no turn. Weights are not negative, and there are at most MaxHosts things.
//
// The k-th turn of a thing that has a share s of all is not before the time k/s and not after (k+1)/s: that is what smooth means.
// Of those whose time has come, the one that has the least time left is next. This never comes too late for any
// (R. Tijdeman, The chairman assignment problem, 1980), and unlike nginx's way of counting credits it costs no look at all things for each
// turn.
func newCycle(weights []int) []uint16 {
	weights = reduced(weights)
	total := 0
	for _, w := range weights {
		total += w
	}
	var early, ready agenda // those whose time is still to come, by when that is; and the others, by how long they may wait
	had := make([]int, len(weights))
	enter := func(i int) {
		if k, w := had[i], weights[i]; k < w {
			heap.Push(&early, entry{at: k * total / w, thing: i})
		}
	}
	for i := range weights {
		enter(i)
	}
	order := make([]uint16, total)
	for now := range order {
		for len(early) > 0 && early[0].at <= now {
			e := heap.Pop(&early).(entry)
			e.at, e.since = ((had[e.thing]+1)*total-1)/weights[e.thing], e.at
			heap.Push(&ready, e)
		}
		i := heap.Pop(&ready).(entry).thing
		order[now] = uint16(i)
		had[i]++
		enter(i)
	}
	return order
}

// reduced makes weights small without changing what they say, as far as that is possible within maxCycle.
func reduced(weights []int) []int {
	total, divisor := 0, 0
	for _, w := range weights {
		total += w
		for a, b := divisor, w; ; a, b = b, a%b {
			if b == 0 {
				divisor = a
				break
			}
		}
	}
	small := make([]int, len(weights))
	for i, w := range weights {
		switch {
		case w == 0:
		case total/divisor <= maxCycle:
			small[i] = w / divisor
		default:
			small[i] = max((w*maxCycle+total/2)/total, 1)
		}
	}
	return small
}

// entry is a thing and a time, in turns. Of two for the same time the one that has waited less long is first, for it is the one
// that weighs more; then the one that comes first in the order of the file.
type entry struct{ at, since, thing int }

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.at, o.at), cmp.Compare(o.since, e.since), cmp.Compare(e.thing, o.thing))
}

// agenda is a heap of entries.
type agenda []entry

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].compare(a[j]) < 0 }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(e any) { *a = append(*a, e.(entry)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}
