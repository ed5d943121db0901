package balance

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

// minRetries is how many retries may be under way however little else is.
const minRetries = 3

// Retry begins a retry, counted in the given row, which is over with Retried. It reports false if so many are under way, over all
// rows, that another would be more than the budget allows: when most requests fail, trying each again would only break what is left.
func (g *Group) Retry(row int) bool {
	if len(g.hosts.ids) == 0 {
		return false
	}
	c := g.hosts.counters
	return c.take(row, g.ID(), cellRetries, minRetries) || c.take(row, g.ID(), cellRetries, g.retries())
}

// retries is how many retries the budget allows now.
func (g *Group) retries() int64 {
	active, all := g.hosts.counters.column(cellActive), int64(0)
	for _, id := range g.hosts.ids {
		all += active.sum(id)
	}
	return max(all*g.budget/100, minRetries)
}

// Retried says that a retry is over that was counted in that row.
func (g *Group) Retried(row int) { g.hosts.counters.add(row, g.ID(), cellRetries, -1) }
