package upstream

import (
	"bytes"
	"time"

	"kroxy-ev/engine"
)

// Queue bounds the clients that wait when every host of a group has reached its max_conns. The zero value means no queue.
type Queue struct {
	// Size bounds the number of waiting clients, over all processes.
	Size int
	// Timeout bounds the wait; zero means no bound.
	Timeout time.Duration
}

const (
	// queuePoll is how often, in ms, a loop with waiting clients looks for places that other loops have released. Places that it releases
	// itself are passed on at once.
	queuePoll = 20
	// If clients of other loops wait too, a loop yields its places to them for queueYield ms of each queueRound. Otherwise it would serve
	// its own clients as long as any come, and those of other loops never. Each loop yields at a different time: two that yield at the same time
	// could not take each other's places.
	queueRound, queueYield = 240, 40
)

// queue holds the attempts of one loop that wait for a host of a group, in order of arrival. Groups whose places are counted together,
// such as a group before and after a reload, share one queue.
type queue struct {
	connector   *Connector
	first, last *Attempt
	length      int
	plain       int          // number of plain attempts among them, see Attempt.isPlain
	serving     bool         // serve is running
	timer       engine.Timer // fires when it is time to look for places
}

// queued is an attempt's position in a queue.
type queued struct {
	queue      *queue // nil unless the attempt waits
	next, prev *Attempt
	plain      bool // see Attempt.isPlain
}

// granted is an attempt that is to be continued, unless its serial has changed: then it has ended, and the struct may be in use again.
type granted struct {
	attempt *Attempt
	serial  uint64
}

// isPlain reports whether the attempt takes any free host. If one plain attempt finds none, neither do the others.
func (a *Attempt) isPlain() bool {
	return a.prefer < 0 && a.tried.Count() == 0 && !a.group.Balance.ByName()
}

// queueFor returns the queue for clients of g; nil if none has ever waited.
func (k *Connector) queueFor(g *Group) *queue { return k.queues[g.Balance.ID()] }

// isQueued reports whether a client of g that arrives now and takes any host must wait behind others: behind plain attempts of this
// loop, or, while this loop yields, behind clients of other loops.
func (k *Connector) isQueued(g *Group) bool {
	if k.waiting > 0 {
		if q := k.queueFor(g); q != nil && q.plain > 0 {
			return true
		}
	}
	return k.mustYield(g)
}

// mustYield reports whether a client of g that arrives now must wait, even if there are places, because this loop yields to other loops. It
// must only wait if the queue has room for it. Without this, clients that come back at once would take every place as soon as they release
// it, and clients of other loops would never get one.
func (k *Connector) mustYield(g *Group) bool {
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

// join makes the attempt wait for a place; if it may not wait, it fails.
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

// push appends a to the queue.
func (q *queue) push(a *Attempt) {
	k := q.connector
	a.place = queued{queue: q, prev: q.last, plain: a.isPlain()}
	if q.last != nil {
		q.last.place.next = a
	} else {
		q.first = a
		k.loop.Arm(&q.timer, k.loop.Now()+queuePoll)
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

// leave removes a from the queue and from the group's count of waiting clients.
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

// serve leases hosts to the waiting attempts, in their order, as long as there are places. The attempts continue later, because the caller
// that released a place is in the middle of something.
func (q *queue) serve() {
	if q.serving || q.first == nil || q.connector.yields(q.first.group, q.length) {
		return
	}
	q.serving = true // a probe that ends at once releases a place, which calls serve again
	var refused *Attempt
	for a := q.first; a != nil; {
		next := a.place.next
		switch {
		case refused != nil && a.sameChoice(refused):
		case a.choose() || !a.tried.Full(): // it has a host, or no full host is left to wait for
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

// sameChoice reports whether choose would give the attempt the same result as b.
func (a *Attempt) sameChoice(b *Attempt) bool {
	return a.group == b.group && a.prefer == b.prefer && a.tried.Count() == 0 && b.tried.Count() == 0 && bytes.Equal(a.key, b.key)
}

// yields reports whether this loop, with that many waiting clients of g, currently yields its places to other loops.
func (k *Connector) yields(g *Group, waiting int) bool {
	now := k.loop.Monotonic() // a clock that all processes share
	return now%queueRound/queueYield == yieldAt(k.row, now/queueRound) && g.Balance.Queued() > int64(waiting)
}

// yieldAt returns the part of a round in which the loop of a row yields. It is a hash of both, so that no two loops coincide in
// every round.
func yieldAt(row int, round int64) int64 {
	hash := (uint64(round)<<16 + uint64(row)) * 0x9e3779b97f4a7c15
	return int64((hash ^ hash>>32) * 0xd6e8feb86659fd93 >> 33 % (queueRound / queueYield))
}

// Ready implements engine.Handler. It is never called: no connection has a queue as its handler.
func (q *queue) Ready(*engine.Conn) {}

// Expired implements engine.Handler: it is time to look for places.
func (q *queue) Expired(*engine.Timer) {
	q.serve()
	if q.first != nil {
		loop := q.connector.loop
		loop.Arm(&q.timer, loop.Now()+queuePoll)
	}
}

// freed passes on a place that a client of g has released.
func (k *Connector) freed(g *Group) {
	if k.waiting == 0 { // nearly always
		return
	}
	mine := k.queueFor(g)
	if mine == nil || mine.length < k.waiting {
		for _, q := range k.queues {
			// If a reload has changed the group's first host, clients that came before the reload wait in another queue.
			if q != mine && q.first != nil && q.first.group.Name == g.Name {
				q.serve()
			}
		}
	}
	if mine != nil {
		mine.serve()
	}
}

// grant makes an attempt that has left its queue continue after this batch of events.
func (k *Connector) grant(a *Attempt) {
	k.loop.Disarm(&a.timer)
	now := k.loop.Now()
	a.trace.Began += now - a.since
	a.extendDeadline(now)
	a.state = attemptGranted
	if len(k.granted) == 0 {
		k.loop.Post(k.proceed)
	}
	k.granted = append(k.granted, granted{a, a.serial})
}

// continueGranted continues the granted attempts, in their order.
func (k *Connector) continueGranted() {
	list := k.granted
	k.granted, k.passed = k.passed[:0], list
	for i, g := range list {
		list[i] = granted{}
		if g.attempt.serial == g.serial {
			g.attempt.proceed()
		}
	}
}
