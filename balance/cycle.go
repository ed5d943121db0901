package balance

import (
	"cmp"
	"container/heap"
)

// maxCycle is the greatest length of a cycle. Within that the weights hold exactly, which is so for 65 hosts of any weights at least. With
// more hosts, a share is off by at most half a turn in some 65,536, and every host with a weight still gets a turn.
const maxCycle = 1 << 16

// newCycle returns the order of turns in weighted round robin: each thing appears as often as it weighs. The order is smooth: after any
// number of turns each thing has had its share to within one turn. Things of equal weight keep their order. A thing of weight zero has
// no turn. Weights must not be negative, and there are at most MaxHosts things.
//
// Smooth means: the k-th turn of a thing with share s is neither before time k/s nor after (k+1)/s. Of the things whose time has come, the
// one with the earliest deadline is next. No deadline is ever missed that way (R. Tijdeman, The chairman assignment problem, 1980), and
// unlike nginx's credits this does not look at all things for each turn.
func newCycle(weights []int) []uint16 {
	weights = reduceWeights(weights)
	total := 0
	for _, w := range weights {
		total += w
	}
	var early, ready entryHeap // early: things whose time has not come, by that time; ready: the others, by deadline
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

// reduceWeights makes the weights small while keeping their ratios, exactly if that fits into maxCycle.
func reduceWeights(weights []int) []int {
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

// entry is a thing and a time, in turns. Of two with the same time, the one that has waited less long comes first, because it weighs more;
// then the one that is first in the file.
type entry struct{ at, since, thing int }

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.at, o.at), cmp.Compare(o.since, e.since), cmp.Compare(e.thing, o.thing))
}

// entryHeap is a heap of entries.
type entryHeap []entry

func (a entryHeap) Len() int           { return len(a) }
func (a entryHeap) Less(i, j int) bool { return a[i].compare(a[j]) < 0 }
func (a entryHeap) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *entryHeap) Push(e any) { *a = append(*a, e.(entry)) }

// Pop implements heap.Interface.
func (a *entryHeap) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}
