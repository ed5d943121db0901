package check

import (
	"container/heap"
	"time"
)

// task is the checking of a target. It belongs to a Checker; that Checker's mutex guards its fields.
type task struct {
	target *Target
	health
	since time.Time // when the state changed
	due   time.Time // when the next check should begin
	place int       // index in the queue; -1 while a check is in progress
	gone  bool      // the target was removed; the result of a check in progress is ignored
}

const (
	// startWithin is the time over which the first checks of new targets are spread, unless their interval is shorter.
	startWithin = 2 * time.Second
	// shortest is the minimum interval.
	shortest = 10 * time.Millisecond
	// jitter is the largest fraction by which an interval is randomly shortened, so that hosts and proxies that started together do not
	// stay synchronized.
	jitter = 0.1
)

// spread schedules the first checks of new targets evenly over the time in which they all begin; the first of them begins
// at once.
func spread(tasks []*task, now time.Time) {
	for i, t := range tasks {
		within := min(t.target.Check.Interval, startWithin)
		t.due = now.Add(within * time.Duration(i) / time.Duration(len(tasks)))
	}
}

// again schedules the check after one that began at began and has ended now. chance is in [0, 1).
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

// queue holds the tasks that wait for their next check. The zero value is empty.
type queue struct{ list byDue }

// push adds t, ordered by t.due.
func (q *queue) push(t *task) { heap.Push(&q.list, t) }

// next returns when the first check is due. It returns false if the queue is empty.
func (q *queue) next() (time.Time, bool) {
	if len(q.list) == 0 {
		return time.Time{}, false
	}
	return q.list[0].due, true
}

// pop removes and returns the task that has been due the longest; nil if none is due.
func (q *queue) pop(now time.Time) *task {
	if at, ok := q.next(); !ok || at.After(now) {
		return nil
	}
	return heap.Pop(&q.list).(*task)
}

// remove removes t if it is in the queue.
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
