package balance

// leastConn takes the host with the fewest connections in hand, over all loops and worker processes. Among equals it
// takes turns, so that an idle group is used evenly.
type leastConn struct{}

// Pick implements Balancer.
func (leastConn) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	n := hosts.Len()
	if tried.Count() >= n {
		return -1
	}
	start := hosts.Turn()
	active := hosts.counters.column(cellActive)
	best, fewest := -1, int64(0)
	for k := range n {
		i := start + k
		if i >= n {
			i -= n
		}
		if tried.Has(i) {
			continue
		}
		if held := active.sum(hosts.ids[i]); best < 0 || held < fewest {
			best, fewest = i, held
		}
	}
	return best
}
