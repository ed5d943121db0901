package balance

// roundRobin takes the hosts in turn. The turn lies with the counters, so the order is exact over all loops and all worker
// processes: if each had its own, the first connection of each would go to the same host. What they pay for it is a cache
// line that is written at every choice: some 20 ns of CPU at worst (BenchmarkTurnAmongWriters). A host that was
// tried or is down is passed over by taking a further turn, so each of the others gets every turn that is its own, and as
// many as any: what the host would have got is not heaped on its neighbour.
type roundRobin struct{}

// Pick implements Balancer.
func (roundRobin) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	n := hosts.Len()
	if tried.Count() >= n {
		return -1
	}
	for range n {
		if i := hosts.Turn(); hosts.Usable(i, tried) {
			return i
		}
	}
	// Other loops took the turns in between: any usable host will do.
	return first{}.Pick(hosts, nil, tried)
}
