package balance

// leastConn takes the host with the fewest connections in hand, over all loops and worker processes. Among equals it
// takes turns, so that an idle group is used evenly. It looks no further than the first host that has nothing in hand: only
// a group whose hosts are all busy costs it a look at each.
type leastConn struct{}

// Pick implements Balancer.
func (leastConn) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	n := hosts.Len()
	if tried.Count() >= n {
		return -1
	}
	active := hosts.counters.column(cellActive)
	best, fewest := -1, int64(0)
	i := hosts.Turn()
	for range n {
		if held := active.sum(hosts.ids[i]); (best < 0 || held < fewest) && hosts.Usable(i, tried) {
			if held == 0 {
				return i
			}
			best, fewest = i, held
		}
		if i++; i == n {
			i = 0
		}
	}
	return best
}
