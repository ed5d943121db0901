package balance

var leastConnAlgorithm = Algorithm{
	Name: "least_conn",
	Doc:  "the host with the fewest active sessions or requests for its `weight`, over all workers; of more than 16 hosts, the best of five, which change each time",
	make: func(Key, []Spec) Balancer { return leastConn{} },
}

// leastConn takes the host with the fewest leases for its weight, over all loops and worker processes.
type leastConn struct{}

// Pick implements Balancer.
func (leastConn) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	var s sample
	hosts.sample(&s, tried)
	active := hosts.counters.column(cellActive)
	for k := range s.size {
		s.loads[k] = uint64(active.sum(hosts.ids[s.hosts[k]]))
		if s.settled(k) {
			return int(s.hosts[0])
		}
	}
	return s.least(hosts, tried)
}
