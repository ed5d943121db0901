package balance

import "sync/atomic"

// What a group holds beside leases lies in the cells of its first host, in the row of the writer that holds it.

// ID is the id of the group's first host in the counters; -1 if it has none. Groups with the same one share the queue's places, the
// retries and the turn.
func (g *Group) ID() int {
	if len(g.hosts.ids) == 0 {
		return -1
	}
	return g.hosts.ids[0]
}

// Enqueue takes a place in the group's queue, counted in the given row, for one who leaves it by Dequeue. It reports false if there are
// as many as there may be, over all rows.
func (g *Group) Enqueue(row int) bool {
	return g.queue > 0 && len(g.hosts.ids) > 0 && g.hosts.counters.take(row, g.ID(), cellQueued, g.queue)
}

// Dequeue gives a place back that Enqueue has taken in that row.
func (g *Group) Dequeue(row int) { g.hosts.counters.add(row, g.ID(), cellQueued, -1) }

// Queued is how many places are taken, over all rows.
func (g *Group) Queued() int64 {
	if len(g.hosts.ids) == 0 {
		return 0
	}
	return g.hosts.counters.column(cellQueued).sum(g.ID())
}

const (
	// minRetries is how many retries may be under way, and may be owed for, however little else is in hand; maxRetries is the most.
	minRetries = 10
	maxRetries = 1000
	// retryCost is what a retry costs. A request earns the budget, in percent of that.
	retryCost = 100
	// maxDebt is more than any writer owes: a word that says more is damaged.
	maxDebt = maxRetries * retryCost
)

// Retry begins a retry, counted in the given row, which is over with Retried. It reports false if the budget does not allow
// another: when most requests fail, trying each again would only break what is left. There are no more retries than the budget has
// for the requests that there were, but for those that each row has at hand, and at a time for those that are in hand over all rows.
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

// earn says that a request has got its first host, counted in that row.
func (g *Group) earn(row int) {
	debt := g.hosts.counters.at(row, g.ID(), cellDebt)
	if owed := atomic.LoadUint64(debt); owed != 0 {
		owed = min(owed, maxDebt)
		atomic.StoreUint64(debt, owed-min(owed, uint64(g.budget)))
	}
}

// retries is how many retries the budget allows at a time.
func (g *Group) retries() int64 {
	active, all := g.hosts.counters.column(cellActive), int64(0)
	for _, id := range g.hosts.ids {
		all += active.sum(id)
	}
	return min(max(all*g.budget/100, minRetries), maxRetries)
}

// retrying is how many retries are under way.
func (g *Group) retrying() int64 { return g.hosts.counters.column(cellRetries).sum(g.ID()) }

// Retried says that a retry is over that was counted in that row.
func (g *Group) Retried(row int) { g.hosts.counters.add(row, g.ID(), cellRetries, -1) }
