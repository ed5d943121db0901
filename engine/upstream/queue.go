package upstream

import (
	"bytes"
	"time"

	"kroxy-ev/engine"
)

// Queue says who may wait for a place at a host of a group, when each has as many clients as it may have (max_conns). The zero value
// lets nobody wait.
type Queue struct {
	// Size bounds those that wait, over all processes.
	Size int
	// Timeout bounds the wait; zero is no bound.
	Timeout time.Duration
}

const (
	// queueLook is how often, in ms, a loop on which somebody waits looks for places that others have given back. Those that it gives back
	// itself are passed on at once.
	queueLook = 20
	// Where clients of other loops wait too, a loop leaves its places to whoever looks for queueYield of each queueRound, in ms. Else it
	// would serve its own clients for as long as any come, and the others never. Loops do so at different times: two that left their places
	// at the same time would find none of each other's.
	queueRound, queueYield = 240, 40
)

// queue holds the attempts of one loop that wait for a host of a group, in the order in which they came. Groups whose places are counted
// together, such as those before and after a reload, have one.
type queue struct {
	connector   *Connector
	first, last *Attempt
	length      int
	plain       int // of length, those that take any host
	serving     bool
	timer       engine.Timer // when it is time to look
}

// queued is an attempt's place in a queue.
type queued struct {
	queue      *queue // nil unless it waits
	next, prev *Attempt
	plain      bool // see Attempt.isPlain
}

// granted is an attempt that is to go on. It is over, or somebody else's, if the serial has changed.
type granted struct {
	attempt *Attempt
	serial  uint64
}

// isPlain reports whether the attempt takes whatever host is free, as all others of its kind do: if it gets none, neither do they.
func (a *Attempt) isPlain() bool {
	return a.prefer < 0 && a.tried.Count() == 0 && !a.group.Balance.ByName()
}

// queueFor is where the clients of g wait; nil if nobody ever has.
func (k *Connector) queueFor(g *Group) *queue { return k.queues[g.Balance.ID()] }

// isQueued reports whether a client of g that comes now and takes any host has to wait behind others: behind those of this loop that also take
// any, or, while this loop leaves its places to other loops, behind theirs.
func (k *Connector) isQueued(g *Group) bool {
	if k.waiting > 0 {
		if q := k.queueFor(g); q != nil && q.plain > 0 {
			return true
		}
	}
	return k.leaves(g)
}

// leaves reports whether a client of g that comes now has to wait, though there may be places, because this loop leaves them to other loops; only if
// the queue has room for it. Otherwise clients that come back at once would take each place again as soon as they give it back, and those of other loops would never get it.
func (k *Connector) leaves(g *Group) bool {
	if g.Queue.Size == 0 { // nearly always
		return false
	}
	if t := g.Queue.Timeout; t > 0 && t < queueRound*time.Millisecond { // the client could time out while there is a place
		return false
	}
	length := 0
	if q := k.queueFor(g); q != nil {
		length = q.length
	}
	return k.yields(g, length) && g.Balance.Queued() < int64(g.Queue.Size)
}

// join has the attempt wait for a place, or fail.
func (a *Attempt) join() {
	if err := a.enqueue(); err != nil {
		a.last = err
		a.fail()
	}
}

// enqueue puts the attempt at the end of its group's queue. The error says why it may not wait.
func (a *Attempt) enqueue() error {
	k, g := a.connector, a.group
	if g.Queue.Size <= 0 {
		return ErrFull
	}
	if !g.Balance.Enqueue(k.row) {
		return ErrQueueFull
	}
	q := k.queueFor(g)
	if q == nil {
		q = &queue{connector: k}
		q.timer.Handler = q
		k.queues[g.Balance.ID()] = q
	}
	now := k.loop.Now()
	a.state, a.since = attemptQueued, now
	q.push(a)
	if t := g.Queue.Timeout; t > 0 {
		k.loop.Arm(&a.timer, now+t.Milliseconds())
	}
	return nil
}

// push puts a at the end.
func (q *queue) push(a *Attempt) {
	k := q.connector
	a.place = queued{queue: q, prev: q.last, plain: a.isPlain()}
	if q.last != nil {
		q.last.place.next = a
	} else {
		q.first = a
		k.loop.Arm(&q.timer, k.loop.Now()+queueLook)
	}
	q.last = a
	q.length++
	group := k.metrics.Group(a.group.Place)
	group.Waited.Add(1)
	group.Queued.Add(1)
	k.waiting++
	if a.place.plain {
		q.plain++
	}
}

// leave takes a out, and gives its place back.
func (q *queue) leave(a *Attempt) {
	k, at := q.connector, &a.place
	if at.prev != nil {
		at.prev.place.next = at.next
	} else {
		q.first = at.next
	}
	if at.next != nil {
		at.next.place.prev = at.prev
	} else {
		q.last = at.prev
	}
	if at.plain {
		q.plain--
	}
	q.length--
	k.waiting--
	*at = queued{}
	a.group.Balance.Dequeue(k.row)
	k.metrics.Group(a.group.Place).Queued.Add(-1)
	if q.first == nil {
		k.loop.Disarm(&q.timer)
	}
}

// serve leases hosts to those who wait, in their order, as far as there are places. They go on later: whoever has given a place back is
// in the middle of something.
func (q *queue) serve() {
	if q.serving || q.first == nil || q.connector.yields(q.first.group, q.length) {
		return
	}
	q.serving = true // a probe that ends at once gives a place back, too
	var refused *Attempt
	for a := q.first; a != nil; {
		next := a.place.next
		switch {
		case refused != nil && a.asksLike(refused):
		case a.choose() || !a.tried.Full(): // it has a host, or there is none to wait for any more
			q.leave(a)
			q.connector.grant(a)
		case a.place.plain:
			next = nil
		default:
			refused = a
		}
		a = next
	}
	q.serving = false
}

// asksLike reports whether the attempt would find what b has found.
func (a *Attempt) asksLike(b *Attempt) bool {
	return a.group == b.group && a.prefer == b.prefer && a.tried.Count() == 0 && b.tried.Count() == 0 && bytes.Equal(a.key, b.key)
}

// yields reports whether this loop, on which so many clients of g wait, leaves its places to other loops at the moment.
func (k *Connector) yields(g *Group, waiting int) bool {
	now := k.loop.Monotonic() // a clock that all processes share
	return now%queueRound/queueYield == yieldAt(k.row, now/queueRound) && g.Balance.Queued() > int64(waiting)
}

// yieldAt is the part of a round in which the loop of a row leaves its places to others. It is a hash of both, so that no two loops coincide in
// every round.
func yieldAt(row int, round int64) int64 {
	hash := (uint64(round)<<16 + uint64(row)) * 0x9e3779b97f4a7c15
	return int64((hash ^ hash>>32) * 0xd6e8feb86659fd93 >> 33 % (queueRound / queueYield))
}

// Ready implements engine.Handler; no connection has a queue as its handler.
func (q *queue) Ready(*engine.Conn) {}

// Expired implements engine.Handler: it is time to look.
func (q *queue) Expired(*engine.Timer) {
	q.serve()
	if q.first != nil {
		loop := q.connector.loop
		loop.Arm(&q.timer, loop.Now()+queueLook)
	}
}

// freed passes a place on that a client of g has given back.
func (k *Connector) freed(g *Group) {
	if k.waiting == 0 { // nearly always
		return
	}
	mine := k.queueFor(g)
	if mine == nil || mine.length < k.waiting {
		for _, q := range k.queues {
			// After a reload that has changed the group's first host, who came before that waits in another queue.
			if q != mine && q.first != nil && q.first.group.Name == g.Name {
				q.serve()
			}
		}
	}
	if mine != nil {
		mine.serve()
	}
}

// grant has an attempt that has left its queue go on, behind this batch of events.
func (k *Connector) grant(a *Attempt) {
	k.loop.Disarm(&a.timer)
	now := k.loop.Now()
	a.trace.Began += now - a.since
	a.excuse(now)
	a.state = attemptGranted
	if len(k.granted) == 0 {
		k.loop.Post(k.proceed)
	}
	k.granted = append(k.granted, granted{a, a.serial})
}

// goOn has those who were granted a place go on, in their order.
func (k *Connector) goOn() {
	list := k.granted
	k.granted, k.passed = k.passed[:0], list
	for i, g := range list {
		list[i] = granted{}
		if g.attempt.serial == g.serial {
			g.attempt.proceed()
		}
	}
}
