package balance

// roundRobin takes the hosts in turn. The turn is shared by all loops, so the order is exact for the whole process. A
// host that was tried is passed over by taking a further turn, so what it would have got is spread over all others and
// not heaped on its neighbour.
type roundRobin struct{ turn turn }

// Pick implements Balancer.
func (r *roundRobin) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	n := hosts.Len()
	if tried.Count() >= n {
		return -1
	}
	for range n {
		if i := r.turn.next(n); !tried.Has(i) {
			return i
		}
	}
	// Other loops took the turns in between: any host that was not tried will do.
	return first{}.Pick(hosts, nil, tried)
}
