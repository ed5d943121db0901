package balance

import "sync/atomic"

// Queue places and retries of a group are counted in the cells of its first host, in the row of the writer that holds them.

// ID returns the id of the group's first host in the counters, or -1 if there is none. Groups with the same ID share their queue places,
// retries and turn.
func (g *Group) ID() int {
	if len(g.hosts.ids) == 0 {
		return -1
	}
	return g.hosts.ids[0]
}

// Enqueue takes a place in the group's queue, counted in the given row, until Dequeue. It returns false if the queue is full, counted over
// all rows.
func (g *Group) Enqueue(row int) bool {
	return g.queue > 0 && len(g.hosts.ids) > 0 && g.hosts.counters.take(row, g.ID(), cellQueued, g.queue)
}

// Dequeue gives back a place that Enqueue took in the same row.
func (g *Group) Dequeue(row int) { g.hosts.counters.add(row, g.ID(), cellQueued, -1) }

// Queued returns how many places are taken, over all rows.
func (g *Group) Queued() int64 {
	if len(g.hosts.ids) == 0 {
		return 0
	}
	return g.hosts.counters.column(cellQueued).sum(g.ID())
}

const (
	// minRetries is how many retries are allowed at a time, and on debt, even in an idle group; maxRetries is the upper bound.
	minRetries = 10
	maxRetries = 1000
	// retryCost is the cost of a retry, in percent of a request. Each request earns the budget.
	retryCost = 100
	// maxDebt is more than a writer can owe: a word that says more is damaged.
	maxDebt = maxRetries * retryCost
)

// Retry begins a retry, counted in the given row, until Retried. It returns false if the budget does not allow another retry: if most
// requests fail, repeating them all would break the remaining hosts. The budget bounds the retries in total by the number of requests,
// except for a small reserve per row, and the concurrent retries by the number of leases over all rows.
func (g *Group) Retry(row int) bool {
	if len(g.hosts.ids) == 0 {
		return false
	}
	c := g.hosts.counters
	debt := c.at(row, g.ID(), cellDebt)
	owed, most := min(atomic.LoadUint64(debt), maxDebt)+retryCost, int64(minRetries)
	if owed > minRetries*retryCost || g.retrying() >= minRetries {
		most = g.retries()
	}
	if owed > uint64(most)*retryCost || !c.take(row, g.ID(), cellRetries, most) {
		return false
	}
	atomic.StoreUint64(debt, owed)
	return true
}

// earnRetry pays off retry debt in the given row, because a request got its first host.
func (g *Group) earnRetry(row int) {
	debt := g.hosts.counters.at(row, g.ID(), cellDebt)
	if owed := atomic.LoadUint64(debt); owed != 0 {
		owed = min(owed, maxDebt)
		atomic.StoreUint64(debt, owed-min(owed, uint64(g.budget)))
	}
}

// retries returns how many concurrent retries the budget allows.
func (g *Group) retries() int64 {
	active, all := g.hosts.counters.column(cellActive), int64(0)
	for _, id := range g.hosts.ids {
		all += active.sum(id)
	}
	return min(max(all*g.budget/100, minRetries), maxRetries)
}

// retrying returns how many retries are under way.
func (g *Group) retrying() int64 { return g.hosts.counters.column(cellRetries).sum(g.ID()) }

// Retried ends a retry that was counted in the given row.
func (g *Group) Retried(row int) { g.hosts.counters.add(row, g.ID(), cellRetries, -1) }
