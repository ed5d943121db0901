package check

import (
	"container/heap"
	"time"
)

// task is a target while it is checked. It belongs to a Checker, and what it holds to that one's mutex.
type task struct {
	target *Target
	health
	since time.Time // when the state changed
	due   time.Time // when the next check is to begin
	place int       // in the queue; -1 while a check is on its way
	gone  bool      // the target is not wanted any more: what is found out of it is of no interest
}

const (
	// startWithin is the time over which the first checks of targets are spread, if their interval is not shorter.
	startWithin = 2 * time.Second
	// shortest is the shortest interval; those that are shorter are taken for it.
	shortest = 10 * time.Millisecond
	// jitter is by which share of itself an interval is shortened at most, by chance: hosts and proxies that began together do not
	// stay together.
	jitter = 0.1
)

// spread plans the first checks of targets that are new: each has its share of the time in which they all begin, the first of them begins
// at once.
func spread(tasks []*task, now time.Time) {
	for i, t := range tasks {
		within := min(t.target.Check.Interval, startWithin)
		t.due = now.Add(within * time.Duration(i) / time.Duration(len(tasks)))
	}
}

// again plans the check after one that began then and is over now. Chance is from 0 up to 1.
func (t *task) again(began, now time.Time, chance float64) {
	interval := t.target.Check.Interval
	if t.changing() {
		interval = t.target.Check.FastInterval
	}
	interval = max(interval, shortest)
	t.due = began.Add(interval - time.Duration(float64(interval)*jitter*chance))
	if t.due.Before(now) {
		t.due = now
	}
}

// queue is tasks that wait for their next check. The zero value is empty.
type queue struct{ list byDue }

// push puts t, whose due says when, into its place.
func (q *queue) push(t *task) { heap.Push(&q.list, t) }

// next is when the first check is due. It reports false if there is none.
func (q *queue) next() (time.Time, bool) {
	if len(q.list) == 0 {
		return time.Time{}, false
	}
	return q.list[0].due, true
}

// pop takes the task out that has been due for longest; nil if none is due.
func (q *queue) pop(now time.Time) *task {
	if at, ok := q.next(); !ok || at.After(now) {
		return nil
	}
	return heap.Pop(&q.list).(*task)
}

// remove takes t out, if it is in it.
func (q *queue) remove(t *task) {
	if t.place >= 0 {
		heap.Remove(&q.list, t.place)
	}
}

// byDue implements heap.Interface.
type byDue []*task

func (l byDue) Len() int           { return len(l) }
func (l byDue) Less(i, j int) bool { return l[i].due.Before(l[j].due) }

func (l byDue) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

// Push implements heap.Interface.
func (l *byDue) Push(x any) {
	t := x.(*task)
	t.place = len(*l)
	*l = append(*l, t)
}

// Pop implements heap.Interface.
func (l *byDue) Pop() any {
	last := len(*l) - 1
	t := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	t.place = -1
	return t
}
