package balance

// leastConn takes the host with the fewest connections in hand, over all loops. Among equals it takes turns, so that
// an idle group is used evenly.
type leastConn struct{ turn turn }

// Pick implements Balancer.
func (l *leastConn) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	n := hosts.Len()
	start := l.turn.next(n)
	best, fewest := -1, int64(0)
	for k := range n {
		i := start + k
		if i >= n {
			i -= n
		}
		if tried.Has(i) {
			continue
		}
		if active := hosts.Active(i); best < 0 || active < fewest {
			best, fewest = i, active
		}
	}
	return best
}
